import t from 'tap'
import { type Lock, RangeLocks, type Release } from '../../../../targets/mirror/range-locks.ts'
import { settle } from '../../../support/manual-clock.ts'
import { seededRandom } from '../../../support/seeded-random.ts'

function had(lock: Lock): Release {
  if (lock instanceof Promise) throw new Error('the lock is not free')
  return lock
}

function waits(lock: Lock): Promise<Release | undefined> {
  if (!(lock instanceof Promise)) throw new Error('the lock is free')
  return lock
}

t.test('a free range is had at once; reads share, a write does not', async (t) => {
  const locks = new RangeLocks()
  const one = had(locks.read(0, 8))
  const two = had(locks.read(4, 8))
  const apart = had(locks.write(12, 8))
  const writer = waits(locks.write(7, 1))
  one()
  await settle()
  t.notOk(locks.idle)
  let got = false
  const granted = writer.then((release) => {
    got = true
    return release
  })
  await settle()
  t.notOk(got, 'the other reader is still there')
  two()
  const release = await granted
  release?.()
  apart()
  t.ok(locks.idle)
  t.throws(() => apart(), /given back once/)
})

t.test('a waiting writer stops later readers of its range, and no others', async (t) => {
  const locks = new RangeLocks()
  const reader = had(locks.read(0, 10))
  const writer = waits(locks.write(5, 10))
  const later = waits(locks.read(9, 2))
  const elsewhere = had(locks.read(0, 5))
  elsewhere()
  const order: string[] = []
  const done = [
    writer.then((release) => {
      order.push('writer')
      release?.()
    }),
    later.then((release) => {
      order.push('later')
      release?.()
    }),
  ]
  reader()
  await Promise.all(done)
  t.same(order, ['writer', 'later'])
  t.ok(locks.idle)
})

t.test('an abandoned wait lets those behind it go on', async (t) => {
  const locks = new RangeLocks()
  const reader = had(locks.read(0, 10))
  const writer = waits(locks.write(0, 10))
  const later = waits(locks.read(0, 10))
  t.ok(locks.abandon(writer))
  t.equal(await writer, undefined)
  const release = await later
  t.type(release, 'function')
  t.notOk(locks.abandon(later), 'too late: it was given')
  release?.()
  const behind = waits(locks.write(0, 4))
  reader()
  t.notOk(locks.abandon(behind), 'given in that turn, though not seen yet')
  ;(await behind)?.()
  t.ok(locks.idle)
})

t.test('any history: never a writer beside another, and everyone gets in, in order', async (t) => {
  const random = seededRandom(4)
  const locks = new RangeLocks()
  const blocks = 24
  const readers = new Array<number>(blocks).fill(0)
  const writers = new Array<number>(blocks).fill(0)
  let ended = 0
  const held: (() => void)[] = []
  const enter = (first: number, count: number, exclusive: boolean, release: Release): void => {
    const mine = exclusive ? writers : readers
    for (let at = first; at < first + count; at++) {
      if (writers[at] !== 0 || (exclusive && readers[at] !== 0)) t.fail(`both in block ${at}`)
      mine[at]!++
    }
    held.push(() => {
      for (let at = first; at < first + count; at++) mine[at]!--
      release()
      ended++
    })
  }
  let abandoned = 0
  for (let i = 0; i < 3000; i++) {
    const first = random.below(blocks)
    const count = 1 + random.below(Math.min(6, blocks - first))
    const exclusive = random.below(3) === 0
    const lock = exclusive ? locks.write(first, count) : locks.read(first, count)
    if (lock instanceof Promise) {
      lock.then((release) => release && enter(first, count, exclusive, release))
      if (random.below(5) === 0 && locks.abandon(lock)) abandoned++
    } else enter(first, count, exclusive, lock)
    while (held.length > 0 && random.below(2) === 0) {
      held.splice(random.below(held.length), 1)[0]!()
    }
    if (random.below(4) === 0) await settle()
  }
  while (held.length > 0) {
    for (const release of held.splice(0)) release()
    await settle()
  }
  t.equal(ended + abandoned, 3000)
  t.ok(abandoned > 50)
  t.ok(locks.idle)
})

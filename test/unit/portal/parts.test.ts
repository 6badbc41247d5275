/** The small parts around a portal: budget of bytes, buffers used again, LUN fields. */
import t from 'tap'
import { BufferPool } from '../../../src/base/buffer-pool.ts'
import { portal as limits } from '../../../src/base/limits.ts'
import { decodeLun, encodeLun, noLun } from '../../../src/iscsi/lun-field.ts'
import { ByteBudget } from '../../../src/portal/byte-budget.ts'
import { HalfOpenLogins } from '../../../src/portal/half-open.ts'
import { readShareBytes } from '../../../src/portal/read-share.ts'

t.test('a budget of bytes', async (t) => {
  const all = new ByteBudget(100)
  const one = new ByteBudget(60, all)
  const two = new ByteBudget(60, all)
  t.equal(one.tryTake(50), true)
  t.equal(one.tryTake(20), false, 'beyond its own cap')
  t.equal(two.tryTake(40), true)
  t.equal(two.tryTake(15), false, 'beyond what is left for all')
  let told = 0
  two.whenGiven(() => told++)
  one.give(50, 50)
  t.equal(told, 1, 'told when another one gives back')
  one.give(0, 0)
  t.equal(told, 1, 'and only once')
  const never = (): void => {
    told += 100
  }
  one.whenGiven(never)
  one.forget(never)
  two.give(40, 40)
  t.equal(told, 1)
  t.equal(one.tryTake(1000), true, 'the first request is granted, however large')
  t.equal(two.tryTake(1), true, 'and whatever others hold')
  t.equal(two.tryTake(1), false)
  two.take(7)
  t.equal(all.heldBytes, 1008, 'what came unasked counts too')
  t.throws(() => two.give(9, 1), 'more than was taken')
  t.throws(() => two.give(8, 2), 'more than was granted')
  two.give(8, 1)
  two.take(100)
  t.equal(two.tryTake(1), true, 'what came unasked keeps nothing from going on')
})

t.test('buffers are used again, up to a cap', async (t) => {
  const pool = new BufferPool(10_000)
  const first = pool.take(4096)
  t.equal(first.length, 4096)
  pool.give(first)
  t.equal(pool.take(4096), first)
  t.not(pool.take(4096), first, 'never given to two at a time')
  pool.give(first)
  pool.give(Buffer.alloc(8192))
  t.not(pool.take(4096), first, 'the oldest make room')
  const huge = Buffer.alloc(20_000)
  pool.give(huge)
  t.not(pool.take(20_000), huge, 'what is larger than the cap is not kept')
})

t.test('LUN fields', async (t) => {
  for (const lun of [0, 1, 255, 256, 16383]) t.equal(decodeLun(encodeLun(lun)), lun)
  t.equal(decodeLun(Buffer.from('4005000000000000', 'hex')), 5, 'flat addressing of a small number')
  for (const field of ['0100000000000000', '8000000000000000', 'c101000000000000']) {
    t.equal(decodeLun(Buffer.from(field, 'hex')), noLun, field)
  }
  t.equal(decodeLun(Buffer.from('0001000100000000', 'hex')), noLun, 'a second level')
})

t.test('read data are divided among those who want some', async (t) => {
  t.equal(readShareBytes(1), limits.sessionReadBytes)
  t.equal(readShareBytes(16), limits.sessionReadBytes)
  t.equal(readShareBytes(64), limits.programReadBytes / 64)
  t.equal(readShareBytes(limits.sessions), limits.readShareFloorBytes)
})

t.test('who gives up a login that is not over', async (t) => {
  const logins = new HalfOpenLogins()
  const abandoned: string[] = []
  const make = (name: string, remoteHost: string, isDeciding = false) => {
    const login = { remoteHost, isDeciding, abandon: () => abandoned.push(name) }
    logins.add(login)
    return login
  }
  make('lone', '10.0.0.1')
  make('deciding', '10.0.0.2', true)
  const first = make('first', '10.0.0.2')
  make('second', '10.0.0.2')
  for (let left = limits.halfOpenLogins - 4; left > 0; left--) make('more', '10.0.0.2')
  t.equal(logins.size, limits.halfOpenLogins)
  logins.progressed(first)
  make('new', '10.0.0.1')
  t.same(abandoned, ['second'], 'of the address with most, idle for longest, not nearly done')
  t.equal(logins.size, limits.halfOpenLogins)
  logins.delete(first)
  make('newer', '10.0.0.1')
  t.equal(abandoned.length, 1)
  logins.abandonAll()
  t.ok(abandoned.includes('lone') && abandoned.includes('deciding'))
})

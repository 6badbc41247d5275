/** A replica that is behind is brought up; random histories and failures are in test/model. */
import t from 'tap'
import { BringUp, type BringUpOptions } from '../../../../targets/mirror/bring-up.ts'
import { RegionMask } from '../../../../targets/mirror/region-mask.ts'
import { sampleRegions } from '../../../../targets/mirror/sample.ts'
import { Throttle } from '../../../../targets/mirror/throttle.ts'
import { ManualClock, settle } from '../../../support/manual-clock.ts'
import {
  MemoryMirror,
  memoryBlockBytes,
  memoryMasks,
  regionBlocks,
} from '../../../support/memory-mirror.ts'
import { MemoryPartner } from '../../../support/memory-partner.ts'
import { MemoryReplica } from '../../../support/memory-replica.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import { seededRandom } from '../../../support/seeded-random.ts'
import { testUuid } from '../../../support/volume-maps.ts'

const regionCount = 40
const blocks = regionCount * regionBlocks
const regionBytes = regionBlocks * memoryBlockBytes
const mib = 1024 * 1024
const [back, other] = [testUuid(9), testUuid(8)]

interface Rig {
  readonly primary: MemoryMirror
  readonly partner: MemoryPartner
  readonly clock: ManualClock
  readonly states: string[]
  readonly begin: (rest?: Partial<BringUpOptions>) => BringUp
}

/** `lacked` regions were written wholly while it was away; label and own generation are 1. */
async function rig(lacked: readonly number[]): Promise<Rig> {
  const clock = new ManualClock()
  const primary = new MemoryMirror({ blocks, masks: await memoryMasks(blocks), clock })
  const masks = await memoryMasks(blocks)
  const store = new MemoryReplica({ blocks })
  const { digests } = primary
  const partner = new MemoryPartner({ serverId: back, store, masks, digests })
  await primary.masks.leave(back, 1)
  primary.behind = [partner]
  for (const region of lacked) {
    const data = Buffer.alloc(regionBytes, `region ${region}`)
    await primary.write(region * regionBlocks, data)
  }
  await clock.advance(10)
  const states: string[] = []
  const begin = (rest: Partial<BringUpOptions> = {}): BringUp => {
    const bringUp: BringUp = new BringUp({
      partner,
      inSync: [],
      generation: 1,
      store: primary.store,
      masks: primary.masks,
      activity: primary.activity,
      regions: primary.regions,
      copy: primary.copy,
      locks: primary.locks,
      throttle: new Throttle(clock, 0),
      clock,
      random: seededRandom(1),
      log: quietLog,
      flushOwn: () => primary.store.flush(),
      changed: () => states.push(bringUp.state),
      ...rest,
    })
    primary.bringUp = bringUp
    return bringUp
  }
  return { primary, partner, clock, states, begin }
}

async function eventually(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 5_000) throw new Error('it never happens')
    await settle()
  }
}

async function stopped(bringUp: BringUp): Promise<void> {
  bringUp.stop()
  await bringUp.ended
}

t.test('progress, and the limit on it', async (t) => {
  const { primary, partner, clock, begin } = await rig([1, 2, 3, 4, 5, 6])
  const bringUp = begin({ throttle: new Throttle(clock, 4 * mib) })
  t.equal(bringUp.state, 'behind')
  t.same(bringUp.progress, {
    state: 'behind',
    behindBytes: 6 * regionBytes,
    totalBytes: 6 * regionBytes,
    bytesPerSecond: 0,
    copiedBytes: 0,
  })
  await eventually(() => bringUp.state === 'copying')
  await clock.advance(3_000)
  const { behindBytes, totalBytes, bytesPerSecond, copiedBytes } = bringUp.progress
  t.equal(totalBytes, 6 * regionBytes)
  t.ok(behindBytes >= 2 * regionBytes && behindBytes <= 5 * regionBytes, `${behindBytes} behind`)
  t.ok(bytesPerSecond >= 2 * mib && bytesPerSecond <= 6 * mib, `${bytesPerSecond} a second`)
  t.equal(copiedBytes, totalBytes - behindBytes)
  t.equal(bringUp.state, 'copying', 'six seconds at this limit')
  await clock.advance(4_500)
  t.equal(bringUp.state, 'up-to-date')
  t.same(primary.store.differences(partner.store), [])
  t.equal(partner.resyncBytes, 6 * regionBytes)
  await stopped(bringUp)
  t.notOk(bringUp.receivesWrites)
})

t.test('what was copied may be forgotten, what was not may not', async (t) => {
  const { primary, partner, clock, begin } = await rig([1, 2, 3, 4])
  const bringUp = begin({ throttle: new Throttle(clock, 4 * mib) })
  t.ok(bringUp.pending(1) && bringUp.pending(30), 'nothing is known yet')
  await eventually(() => bringUp.state === 'copying')
  t.ok(bringUp.pending(4))
  t.notOk(bringUp.pending(30), 'it does not lack that one')
  await eventually(() => partner.calls.includes('digests'))
  await clock.advance(2_200)
  const copied = [1, 2, 3, 4].filter((region) => !bringUp.pending(region))
  t.ok(copied.length > 0 && copied.length < 4, `${copied}`)
  for (const region of [1, 2, 3, 4]) await primary.clear(region)
  t.same(
    [...primary.masks.lacks(back)!],
    [1, 2, 3, 4].filter((region) => !copied.includes(region)),
  )
  // The next attempt goes on from there.
  partner.cut()
  await eventually(() => bringUp.state === 'behind')
  t.ok(bringUp.pending(copied[0]!))
  await partner.connect()
  await clock.advance(100)
  await eventually(() => bringUp.state === 'copying')
  t.equal(bringUp.progress.totalBytes, (4 - copied.length) * regionBytes)
  await clock.advance(10_000)
  t.equal(bringUp.state, 'up-to-date')
  t.same(primary.store.differences(partner.store), [])
  await stopped(bringUp)
})

t.test('a full comparison lets no mark of it go, for the label is not true of it', async (t) => {
  const { primary, partner, clock, begin } = await rig([1, 2])
  partner.inSyncGeneration = 0
  const bringUp = begin({ throttle: new Throttle(clock, 16 * mib) })
  await eventually(() => bringUp.state === 'copying')
  t.ok(bringUp.pending(30))
  await clock.advance(1_000)
  await eventually(() => bringUp.state === 'up-to-date')
  t.ok(bringUp.pending(1))
  await primary.clear(1)
  t.same([...primary.masks.lacks(back)!], [1, 2])
  await stopped(bringUp)
})

t.test('a write that fails there ends it in that turn, and all begins anew', async (t) => {
  const { primary, partner, clock, states, begin } = await rig([3])
  const bringUp = begin()
  await eventually(() => bringUp.state === 'up-to-date')
  bringUp.failed()
  t.notOk(bringUp.receivesWrites)
  t.equal(bringUp.state, 'behind')
  await primary.write(7 * regionBlocks, Buffer.alloc(memoryBlockBytes, 'missed'))
  t.equal(primary.forwarded, 0)
  await clock.advance(1_000)
  await eventually(() => bringUp.state === 'up-to-date')
  t.same(primary.store.differences(partner.store), [])
  t.same(states, ['copying', 'up-to-date', 'behind', 'copying', 'up-to-date'])
  partner.cut()
  await eventually(() => bringUp.state === 'behind')
  await stopped(bringUp)
})

t.test('a replica that does not have this map yet is asked again', async (t) => {
  const { partner, clock, begin } = await rig([3])
  partner.generation = 0
  const bringUp = begin()
  await clock.advance(10_000)
  t.equal(bringUp.state, 'behind')
  partner.generation = 1
  await clock.advance(2_000)
  t.equal(bringUp.state, 'up-to-date')
  await stopped(bringUp)
  partner.cut()
  const waiting = begin()
  await settle()
  await stopped(waiting)
})

t.test('a stop waits for no lock and no limit', async (t) => {
  const { primary, clock, begin } = await rig([3])
  const lock = primary.locks.write(3 * regionBlocks, 10)
  const bringUp = begin()
  await eventually(() => bringUp.state === 'copying')
  await stopped(bringUp)
  if (!(lock instanceof Promise)) lock()
  t.ok(primary.locks.idle)
  const throttle = new Throttle(clock, 1)
  throttle.spend(1000 * mib)
  const slow = begin({ throttle })
  await eventually(() => slow.state === 'copying')
  slow.stop()
  await clock.advance(1_000)
  await slow.ended
  t.pass('within a second')
})

t.test('it takes over what others lack, and forgets old doubts of its own', async (t) => {
  const { primary, partner, begin } = await rig([3])
  await primary.masks.leave(other, 1)
  await primary.masks.mark(20, 21, [other], false)
  await partner.heldMasks.mark(5, 7, [])
  primary.inSync = []
  await primary.masks.mark(6, 7, [])
  primary.store.put(5 * regionBlocks, Buffer.alloc(memoryBlockBytes, 'other'))
  const bringUp = begin()
  await eventually(() => bringUp.state === 'up-to-date')
  t.same([...(partner.heldMasks.lacks(other) ?? [])], [20])
  t.equal(partner.heldMasks.label(other), 1)
  t.equal(partner.heldMasks.lacks(back), undefined, 'of itself it knows nothing')
  t.same([...partner.heldMasks.inSync], [6], 'in doubt here too, so it stays')
  t.same(primary.store.differences(partner.store), [])
  t.ok(primary.store.flushes > 0, 'what it was given is durable where it came from')
  t.ok(partner.store.flushes > 0)
  await stopped(bringUp)
})

t.test('what this server may still lose stays marked there', async (t) => {
  const { primary, partner, begin } = await rig([3, 5])
  const takeMasks = partner.takeMasks.bind(partner)
  partner.takeMasks = async (...given) => {
    // After the flush, before old marks are cleared.
    await primary.write(5 * regionBlocks, Buffer.alloc(memoryBlockBytes, 'late'))
    return takeMasks(...given)
  }
  const bringUp = begin()
  await eventually(() => bringUp.state === 'up-to-date')
  t.same(primary.store.differences(partner.store), [])
  t.same([...partner.heldMasks.inSync], [5])
  primary.store.loseUnflushed()
  t.same(primary.store.differences(partner.store), [5 * 64])
  await stopped(bringUp)
})

t.test('a replica here that cannot be read is tried again', async (t) => {
  const { primary, partner, clock, begin } = await rig([3])
  primary.store.unreadable.add(3 * regionBlocks)
  const bringUp = begin()
  await clock.advance(5_000)
  t.not(bringUp.state, 'up-to-date')
  primary.store.unreadable.clear()
  await clock.advance(5_000)
  t.equal(bringUp.state, 'up-to-date')
  t.same(primary.store.differences(partner.store), [])
  await stopped(bringUp)
  t.ok(primary.locks.idle)
})

t.test('the sample: regions with content first, none twice, all where there are few', (t) => {
  const store = new MemoryReplica({ blocks })
  const regions = new MemoryMirror({ blocks, masks: undefined as never }).regions
  const filled = [0, 3, 4, 17, 39]
  for (const region of filled) store.put(region * regionBlocks + 900, Buffer.alloc(4096, 'x'))
  const without = RegionMask.fromBuffer(Buffer.from([0b1000]), regionCount)
  const random = seededRandom(3)
  const sample = sampleRegions({ regions, store, random, without, count: 16 })
  t.equal(sample.length, 16)
  t.equal(new Set(sample).size, 16)
  t.same(
    sample.slice(0, 4).sort((one, two) => one - two),
    [0, 4, 17, 39],
  )
  t.notOk(sample.includes(3))
  const all = sampleRegions({ regions, store, random, without, count: 100 })
  t.equal(all.length, regionCount - 1)
  const few = sampleRegions({ regions, store, random, without, count: 2 })
  t.ok(few.every((region) => filled.includes(region)))
  t.end()
})

/** What is marked is compared before it is served; random histories are in test/model. */
import t from 'tap'
import { Comparison } from '../../../../targets/mirror/comparison.ts'
import { CountedPartner } from '../../../../targets/mirror/counted-partner.ts'
import { type Partner, PartnerFailure } from '../../../../targets/mirror/partner.ts'
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
import { testUuid } from '../../../support/volume-maps.ts'

const regionCount = 12
const blocks = regionCount * regionBlocks
const data = (text: string): Buffer => Buffer.alloc(memoryBlockBytes, text)

interface Rig {
  readonly primary: MemoryMirror
  readonly partners: readonly MemoryPartner[]
  readonly clock: ManualClock
  readonly failures: string[]
  readonly begin: () => Comparison
}

/** Every marked region differs from the partners in one block. */
async function rig(marked: readonly number[], copies = 2): Promise<Rig> {
  const primary = new MemoryMirror({ blocks, masks: await memoryMasks(blocks) })
  const clock = new ManualClock()
  for (let number = 2; number <= copies; number++) {
    const masks = await memoryMasks(blocks)
    const store = new MemoryReplica({ blocks })
    const { digests } = primary
    primary.inSync.push(new MemoryPartner({ serverId: testUuid(number), store, masks, digests }))
  }
  for (const region of marked) {
    await primary.masks.mark(region, region + 1, [])
    primary.store.put(region * regionBlocks + 7, data(`own ${region}`))
    for (const { store } of primary.inSync) store.put(region * regionBlocks + 7, data('other'))
  }
  const failures: string[] = []
  const counted = (partner: MemoryPartner): Partner =>
    new CountedPartner({
      partner,
      async call(run) {
        try {
          return await run(partner)
        } catch (error) {
          failures.push((error as PartnerFailure).kind)
          throw error
        }
      },
    })
  const begin = (): Comparison =>
    new Comparison({
      masks: primary.masks,
      partners: primary.inSync.map(counted),
      behind: [],
      generation: 1,
      regions: primary.regions,
      copy: primary.copy,
      locks: primary.locks,
      clock,
      log: quietLog,
    })
  return { primary, partners: primary.inSync, clock, failures, begin }
}

async function eventually(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    if (turns > 5_000) throw new Error('it never happens')
    await settle()
  }
}

t.test('only what is marked anywhere is compared, and then nobody waits', async (t) => {
  const { primary, partners, begin } = await rig([2, 5])
  const [partner] = partners as [MemoryPartner]
  await partner.heldMasks.mark(9, 10, [])
  const comparison = begin()
  t.notOk(comparison.merged)
  t.ok(comparison.pending(0), 'before the masks are known every mark must stay')
  const early = comparison.ensure(0, 1)
  t.ok(early, 'nothing is served before that')
  await early
  t.ok(comparison.merged)
  t.same([...primary.masks.inSync], [2, 5, 9])
  await comparison.ended
  t.ok(comparison.done)
  t.equal(comparison.ensure(0, regionCount), undefined)
  t.notOk(comparison.pending(2))
  t.same(primary.store.differences(partner.store), [])
  t.equal(partner.calls.filter((call) => call === 'digests').length, 3)
  t.same(comparison.progress, {
    regions: 3,
    pendingRegions: 0,
    pendingBytes: 0,
    differingPages: 2,
    copiedBytes: 2 * 65_536,
  })
})

t.test('what clients ask for goes first, and each waits for its own only', async (t) => {
  const { primary, partners, begin } = await rig([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
  const [partner] = partners as [MemoryPartner]
  const locks = [0, 1, 2].map((region) => primary.locks.read(region * regionBlocks, regionBlocks))
  const compared: number[] = []
  const digests = partner.digests.bind(partner)
  partner.digests = (call, lba, count) => {
    compared.push(lba / regionBlocks)
    return digests(call, lba, count)
  }
  const comparison = begin()
  await comparison.ensure(11, 12)
  t.equal(compared[0], 11)
  t.notOk(primary.store.differences(partner.store).includes(11 * 64))
  const waits = comparison.ensure(1, 2)
  t.ok(waits, 'somebody still reads there')
  await eventually(() => comparison.progress.pendingRegions === 3)
  t.equal(comparison.progress.pendingBytes, 3 * regionBlocks * memoryBlockBytes)
  for (const lock of locks) if (!(lock instanceof Promise)) lock()
  await comparison.ensure(0, 3)
  await waits
  await comparison.ended
  t.same(primary.store.differences(partner.store), [])
})

t.test('a partner that is away is waited for; one that cannot is told of', async (t) => {
  const { primary, partners, clock, failures, begin } = await rig([3], 3)
  const [one, two] = partners as [MemoryPartner, MemoryPartner]
  one.cut()
  const comparison = begin()
  await clock.advance(10_000)
  t.notOk(comparison.merged)
  await one.connect()
  await eventually(() => comparison.merged)
  await comparison.ended
  const failing = await rig([3])
  const again = failing.begin()
  await eventually(() => again.merged)
  await again.ended
  t.same(failures, ['lost'])
  t.same(primary.store.differences(two.store), [])
  t.same(primary.store.differences(one.store), [])
})

t.test('a refusal is tried again, with growing delays', async (t) => {
  const { partners, clock, failures, begin } = await rig([3])
  const [partner] = partners as [MemoryPartner]
  partner.generation = 0
  const comparison = begin()
  await clock.advance(5_000)
  t.ok(failures.length >= 5 && failures.length < 15, `${failures.length} attempts in 5 s`)
  t.same(new Set(failures), new Set(['refused']))
  partner.generation = 1
  await clock.advance(2_000)
  await comparison.ended
  t.ok(comparison.done)
})

t.test('when it is stopped whoever waits is told, and no lock is kept', async (t) => {
  const { primary, begin } = await rig([0, 1])
  const lock = primary.locks.read(0, regionBlocks)
  const comparison = begin()
  await eventually(() => comparison.merged)
  const waits = comparison.ensure(0, 1)
  comparison.stop()
  await t.rejects(Promise.resolve(waits), { code: 'conflict' })
  await comparison.ended
  t.notOk(comparison.done)
  await t.rejects(Promise.resolve(comparison.ensure(0, 1)), { code: 'conflict' })
  if (!(lock instanceof Promise)) lock()
  t.ok(primary.locks.idle)
})

t.test('what cannot be read here is an error to who wants it, and tried again', async (t) => {
  const { primary, partners, clock, begin } = await rig([0, 4])
  const [partner] = partners as [MemoryPartner]
  primary.store.unreadable.add(7)
  const comparison = begin()
  await eventually(() => comparison.merged)
  await t.rejects(Promise.resolve(comparison.ensure(0, 1)), { code: 'io-error' })
  await comparison.ensure(4, 5)
  t.notOk(comparison.done)
  t.ok(comparison.pending(0))
  primary.store.unreadable.clear()
  await clock.advance(2_000)
  await comparison.ended
  t.ok(comparison.done)
  t.same(primary.store.differences(partner.store), [])
})

t.test('masks that cannot be kept end it', async (t) => {
  const { primary, partners, begin } = await rig([0])
  const [partner] = partners as [MemoryPartner]
  await primary.masks.abandon()
  const comparison = begin()
  await t.rejects(comparison.ended, { code: 'io-error' })
  await t.rejects(Promise.resolve(comparison.ensure(0, 1)), { code: 'io-error' })
  t.notOk(partner.calls.includes('digests'))
})

t.test('a failure in the middle of a copy leaves the region to be compared', async (t) => {
  const { primary, partners, clock, failures, begin } = await rig([6])
  const [partner] = partners as [MemoryPartner]
  const { digests } = partner
  partner.digests = () => {
    partner.digests = digests
    return Promise.reject(new PartnerFailure('failed', 'its disk'))
  }
  const comparison = begin()
  await eventually(() => failures.length > 0)
  t.same(failures, ['failed'])
  t.ok(comparison.pending(6))
  await clock.advance(1_000)
  await comparison.ended
  t.same(primary.store.differences(partner.store), [])
})

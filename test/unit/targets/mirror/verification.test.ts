/** Copies in sync are compared while clients go on. */
import t from 'tap'
import { mirror } from '../../../../src/base/limits.ts'
import { Throttle } from '../../../../targets/mirror/throttle.ts'
import { Verification, type VerificationOptions } from '../../../../targets/mirror/verification.ts'
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

const regionCount = 8
const blocks = regionCount * regionBlocks - 100
const block = (text: string): Buffer => Buffer.alloc(memoryBlockBytes, text)

interface Rig {
  readonly primary: MemoryMirror
  readonly one: MemoryPartner
  readonly two: MemoryPartner
  readonly clock: ManualClock
  readonly begin: (rest?: Partial<VerificationOptions>) => Verification
}

async function rig(): Promise<Rig> {
  const primary = new MemoryMirror({ blocks, masks: await memoryMasks(blocks) })
  const clock = new ManualClock()
  const copy = async (number: number): Promise<MemoryPartner> => {
    const masks = await memoryMasks(blocks)
    const store = new MemoryReplica({ blocks })
    const { digests } = primary
    return new MemoryPartner({ serverId: testUuid(number), store, masks, digests })
  }
  const one = await copy(2)
  const two = await copy(3)
  primary.inSync = [one, two]
  for (let region = 0; region < regionCount; region++) {
    for (const { store } of [primary, one, two]) {
      store.put(region * regionBlocks + 20, block(`region ${region}`))
    }
  }
  const begin = (rest: Partial<VerificationOptions> = {}): Verification =>
    new Verification({
      partners: primary.inSync,
      store: primary.store,
      regions: primary.regions,
      copy: primary.copy,
      locks: primary.locks,
      throttle: new Throttle(clock, 0),
      log: quietLog,
      repair: false,
      ...rest,
    })
  return { primary, one, two, clock, begin }
}

t.test('equal copies: everything is compared once, and nothing is said', async (t) => {
  const { primary, one, begin } = await rig()
  const verification = begin()
  t.equal(verification.progress.state, 'running')
  await verification.ended
  t.same(verification.progress, {
    state: 'done',
    why: undefined,
    totalRegions: regionCount,
    nextRegion: regionCount,
    comparedBytes: blocks * memoryBlockBytes,
    differingPages: 0,
    repairedPages: 0,
    differences: [],
  })
  t.notOk(one.calls.includes('write'))
  t.ok(primary.locks.idle)
})

t.test('differences are found, named, and repaired from the primary where asked for', async (t) => {
  const { primary, one, two, begin } = await rig()
  one.store.put(2 * regionBlocks + 33, block('rotten'))
  two.store.put(5 * regionBlocks, Buffer.alloc(2 * 65_536, 'lost'))
  const looked = begin()
  await looked.ended
  const { differingPages, repairedPages, differences } = looked.progress
  t.same({ differingPages, repairedPages }, { differingPages: 3, repairedPages: 0 })
  t.same(differences, [
    { serverId: one.serverId, lba: 2 * regionBlocks + 32, blocks: 16 },
    { serverId: two.serverId, lba: 5 * regionBlocks, blocks: 32 },
  ])
  t.not(primary.store.differences(one.store).length, 0, 'looking changes nothing')
  const repaired = begin({ repair: true })
  await repaired.ended
  t.equal(repaired.progress.repairedPages, 3)
  t.same(primary.store.differences(one.store), [])
  t.same(primary.store.differences(two.store), [])
  const again = begin()
  await again.ended
  t.equal(again.progress.differingPages, 0)
})

t.test('of very many differences the first are named, and all are counted', async (t) => {
  const { one, begin } = await rig()
  for (let page = 0; page < 100; page += 2) one.store.put(page * 16 + 3, block('rotten'))
  const verification = begin()
  await verification.ended
  t.equal(verification.progress.differingPages, 50)
  t.equal(verification.progress.differences.length, mirror.namedDifferences)
})

t.test('clients read meanwhile, and a write under way is no difference', async (t) => {
  const { primary, one, begin } = await rig()
  const reading = primary.locks.read(0, blocks)
  const first = begin()
  await first.ended
  t.equal(first.progress.state, 'done')
  if (!(reading instanceof Promise)) reading()
  const writing = primary.locks.write(4 * regionBlocks, 10)
  one.store.put(4 * regionBlocks, block('not here yet'))
  const second = begin()
  for (let turns = 0; turns < 500; turns++) await settle()
  t.equal(second.progress.nextRegion, 4)
  primary.store.put(4 * regionBlocks, block('not here yet'))
  primary.inSync[1]!.store.put(4 * regionBlocks, block('not here yet'))
  if (!(writing instanceof Promise)) writing()
  await second.ended
  t.equal(second.progress.differingPages, 0)
})

t.test('it is stopped, and goes on where it was', async (t) => {
  const { primary, clock, one, begin } = await rig()
  one.store.put(7 * regionBlocks, block('rotten'))
  const lock = primary.locks.write(3 * regionBlocks, 1)
  const first = begin()
  for (let turns = 0; turns < 500; turns++) await settle()
  first.stop()
  await first.ended
  t.equal(first.progress.state, 'stopped')
  t.equal(first.progress.nextRegion, 3)
  if (!(lock instanceof Promise)) lock()
  t.ok(primary.locks.idle)
  one.calls.length = 0
  const slow = new Throttle(clock, 65_536 / mirror.comparedPerCopied)
  const second = begin({ firstRegion: first.progress.nextRegion, throttle: slow })
  await clock.advance(3_500)
  t.ok(second.progress.nextRegion > 3 && second.progress.nextRegion < 8, 'at its own speed')
  await clock.advance(3_000)
  await second.ended
  t.equal(second.progress.state, 'done')
  t.equal(second.progress.differingPages, 1)
})

t.test('a partner that is lost ends it; a region in doubt is compared before', async (t) => {
  const { one, begin } = await rig()
  const ensured: number[] = []
  const ensure = (region: number): Promise<void> | undefined => {
    ensured.push(region)
    if (region === 2) one.cut()
    return undefined
  }
  const verification = begin({ ensure })
  await verification.ended
  t.same(ensured, [0, 1, 2])
  const { state, why, nextRegion } = verification.progress
  t.same({ state, nextRegion }, { state: 'failed', nextRegion: 2 })
  t.match(why, /the session ended/)
})

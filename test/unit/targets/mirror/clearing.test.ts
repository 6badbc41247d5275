/** When marks are taken back: only what was flushed everywhere and not touched since. */
import t from 'tap'
import { StorageError } from '../../../../src/base/errors.ts'
import { mirror as limits } from '../../../../src/base/limits.ts'
import type { BlockFiles } from '../../../../src/ports/block-file.ts'
import { Clearing, type ClearingPartner } from '../../../../targets/mirror/clearing.ts'
import { usualClearing } from '../../../../targets/mirror/clearing-choice.ts'
import { MaskStore } from '../../../../targets/mirror/mask-store.ts'
import { PartnerFailure } from '../../../../targets/mirror/partner.ts'
import { RegionActivity } from '../../../../targets/mirror/region-activity.ts'
import type { SegmentMasks } from '../../../../targets/mirror/segment-masks.ts'
import { describe } from '../../../support/initiator.ts'
import { ManualClock, settle } from '../../../support/manual-clock.ts'
import { MemoryBlockFiles } from '../../../support/memory-block-files.ts'
import { MemoryCluster } from '../../../support/memory-cluster.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import { testUuid } from '../../../support/volume-maps.ts'

const [x, y] = [testUuid(2), testUuid(3)]

/** A replica that does as the test says, and notes what it was asked for. */
class PlayedPartner implements ClearingPartner {
  readonly asked: string[] = []
  sentWrites = true
  attempt: object | undefined
  pendingRegions = new Set<number>()
  failing = false
  #held: Promise<void> | undefined
  readonly serverId: string
  readonly inSync: boolean

  constructor(serverId: string, inSync: boolean) {
    this.serverId = serverId
    this.inSync = inSync
    if (!inSync) this.attempt = {}
  }

  /** Flushes from now on do not end before the answer is called. */
  hold(): () => void {
    let release = (): void => undefined
    this.#held = new Promise((resolve) => {
      release = resolve
    })
    return () => {
      this.#held = undefined
      release()
    }
  }

  pending(region: number): boolean {
    return this.pendingRegions.has(region)
  }

  async flush(): Promise<void> {
    this.asked.push('flush')
    await this.#held
    if (this.failing) throw new PartnerFailure('failed', 'the test wants it')
  }

  async clear(regions: readonly number[], what: { inSync: boolean; lacks: readonly string[] }) {
    const of = [...(what.inSync ? ['in sync'] : []), ...what.lacks.map((id) => `lacks ${id}`)]
    this.asked.push(`clear ${regions.join(' ')} of ${of.join(', ')}`)
    if (this.failing) throw new PartnerFailure('lost', 'the test wants it')
  }
}

interface Rig {
  readonly clock: ManualClock
  readonly masks: SegmentMasks
  readonly activity: RegionActivity
  readonly clearing: Clearing
  readonly own: { flushes: number; fails: boolean }
  readonly pending: Set<number>
  /** A write of these regions that ends at once. */
  write(first: number, end: number): Promise<void>
}

async function rig(partners: readonly ClearingPartner[], regions = 2_000): Promise<Rig> {
  const clock = new ManualClock()
  const store = MaskStore.open({ files: new MemoryBlockFiles(), log: quietLog })
  const masks = await store.segment(testUuid(1), regions * 1_024, 4_096)
  const activity = new RegionActivity(clock)
  const own = { flushes: 0, fails: false }
  const pending = new Set<number>()
  const clearing = new Clearing({
    ...{ clock, masks, activity, partners, times: usualClearing },
    pending: (region) => pending.has(region),
    flushOwn: async () => {
      own.flushes += 1
      if (own.fails) throw new StorageError('io-error', 'the test wants it')
    },
  })
  const behind = partners.flatMap(({ inSync, serverId }) => (inSync ? [] : [serverId]))
  const write = async (first: number, end: number): Promise<void> => {
    const marked = masks.mark(first, end, behind)
    const ended = activity.begin(first, end)
    await marked
    ended()
  }
  return { clock, masks, activity, clearing, own, pending, write }
}

t.test('idle regions are cleared everywhere after one flush of all', async (t) => {
  const partner = new PlayedPartner(x, true)
  const { clock, masks, own, write, clearing } = await rig([partner])
  await write(1, 3)
  await clock.advance(4_000)
  await write(7, 8)
  await clock.advance(1_000)
  t.same([...masks.inSync], [7], 'what was written a second ago stays')
  t.same(partner.asked, ['flush', 'clear 1 2 of in sync'])
  t.equal(own.flushes, 1)
  await clock.advance(5_000)
  t.equal(masks.inSync.count, 0)
  await clock.advance(20_000)
  t.equal(own.flushes, 2, 'where nothing is marked nothing is flushed')
  clearing.stop()
  t.equal(clock.timers, 0)
})

t.test('what is written while the flush is under way stays marked', async (t) => {
  const partner = new PlayedPartner(x, true)
  const { clock, masks, activity, write } = await rig([partner])
  await write(1, 6)
  const early = activity.begin(3, 4)
  await clock.advance(4_000)
  const release = partner.hold()
  await clock.advance(1_000)
  t.same(partner.asked, ['flush'])
  early()
  await write(1, 2)
  const late = activity.begin(5, 6)
  release()
  await settle()
  t.same([...masks.inSync], [1, 3, 5], 'written, ended, and begun meanwhile')
  t.equal(partner.asked.at(-1), 'clear 2 4 of in sync')
  late()
  await clock.advance(5_000)
  t.equal(masks.inSync.count, 0)
})

t.test('what fails leaves every mark', async (t) => {
  const [first, second] = [new PlayedPartner(x, true), new PlayedPartner(y, false)]
  const { clock, masks, own, write } = await rig([first, second])
  await write(1, 2)
  const nothing = (what: string): void => {
    t.equal(masks.inSync.count, 1, what)
    t.equal(masks.lacks(y)?.count, 1, what)
    t.ok(
      [...first.asked, ...second.asked].every((each) => each === 'flush'),
      what,
    )
  }
  own.fails = true
  await clock.advance(5_000)
  nothing('the own disk')
  own.fails = false
  first.failing = true
  await clock.advance(5_000)
  nothing('one in sync')
  first.failing = false
  second.failing = true
  await clock.advance(5_000)
  nothing('one that is brought up')
  second.failing = false
  await clock.advance(5_000)
  t.equal(masks.inSync.count, 0)
  t.equal(own.flushes, 4)
})

t.test('a clear that does not arrive is no harm', async (t) => {
  const partner = new PlayedPartner(x, true)
  const { clock, masks, write } = await rig([partner])
  await write(1, 2)
  const release = partner.hold()
  await clock.advance(5_000)
  partner.clear = async () => {
    throw new PartnerFailure('lost', 'the test wants it')
  }
  release()
  await settle()
  t.equal(masks.inSync.count, 0)
  await write(1, 2)
  await clock.advance(10_000)
  t.equal(masks.inSync.count, 0, 'it goes on')
})

t.test('what is to be compared first stays', async (t) => {
  const partner = new PlayedPartner(x, true)
  const { clock, masks, pending, write } = await rig([partner])
  await write(1, 4)
  pending.add(1).add(2)
  await clock.advance(4_900)
  const release = partner.hold()
  await clock.advance(100)
  pending.clear()
  pending.add(3)
  release()
  await settle()
  t.same([...masks.inSync], [1, 2, 3], 'compared after the flush began, and in doubt since')
  pending.clear()
  await clock.advance(5_000)
  t.equal(masks.inSync.count, 0)
})

t.test('what a replica lacks is cleared when it was copied before the flush', async (t) => {
  const [first, second] = [new PlayedPartner(x, true), new PlayedPartner(y, false)]
  const { clock, masks, write } = await rig([first, second])
  await write(1, 4)
  second.pendingRegions.add(2).add(3)
  await clock.advance(4_900)
  const release = second.hold()
  await clock.advance(100)
  second.pendingRegions.delete(2)
  release()
  await settle()
  t.same([...(masks.lacks(y) ?? [])], [2, 3])
  t.equal(masks.inSync.count, 0, 'which of the in-sync ones it is copied from does not matter')
  t.same(first.asked, ['flush', 'clear 1 2 3 of in sync', `clear 1 of lacks ${y}`])
  t.same(second.asked, ['flush', 'clear 1 of in sync'], 'its own marks stay where it may lack')
})

t.test('another attempt has copied nothing', async (t) => {
  const second = new PlayedPartner(y, false)
  const { clock, masks, write } = await rig([second])
  await write(1, 2)
  for (const change of [
    () => {
      second.attempt = {}
    },
    () => {
      second.sentWrites = false
    },
  ]) {
    const release = second.hold()
    await clock.advance(5_000)
    change()
    release()
    await settle()
    t.same([...(masks.lacks(y) ?? [])], [1])
  }
  const flushes = second.asked.length
  await clock.advance(20_000)
  t.equal(second.asked.length, flushes, 'one that is away is asked for nothing')
  t.same([...(masks.lacks(y) ?? [])], [1])
  second.sentWrites = true
  await clock.advance(5_000)
  t.equal(masks.lacks(y)?.count, 0)
})

t.test('too many marks: the oldest go at once, and who needs room waits', async (t) => {
  const partner = new PlayedPartner(x, true)
  const { clock, masks, own, clearing, write } = await rig([partner])
  let waits = 0
  for (let region = 0; region < limits.markedRegionsHigh; region++) {
    if (clearing.room(region, region + 1) !== undefined) waits += 1
    await write(region, region + 1)
    if (region % 100 === 0) await clock.advance(1)
  }
  t.equal(waits, 0)
  await write(0, 1)
  await clock.advance(1)
  t.equal(own.flushes, 0)
  t.notOk(clearing.room(0, 1), 'what is marked needs no room')
  t.notOk(clearing.room(1_000, 1_001), 'there is some, and more is made')
  await write(1_000, 1_001)
  await clock.advance(limits.clearHurryMs)
  t.equal(own.flushes, 1)
  t.equal(masks.inSync.count, limits.markedRegionsLow)
  t.ok(masks.inSync.hasAll(800, limits.markedRegionsHigh), 'the newer ones')
  t.ok(masks.inSync.has(0), 'what was written again')
  t.notOk(masks.inSync.has(1))
  const release = partner.hold()
  await write(1_001, 1_001 + limits.markedRegions - limits.markedRegionsLow)
  let roomy = 0
  const waiting = [1_900, 1_901].map((region) =>
    clearing.room(region, region + 1)?.then(() => {
      roomy += 1
    }),
  )
  t.ok(waiting.every((each) => each !== undefined))
  await clock.advance(limits.clearHurryMs)
  t.equal(roomy, 0, 'while the flush is under way')
  release()
  await Promise.all(waiting)
  t.ok(masks.inSync.count <= limits.markedRegionsLow)
})

t.test('nobody waits for room that cannot be had', async (t) => {
  const partner = new PlayedPartner(x, true)
  const { clock, masks, clearing, write } = await rig([partner])
  await write(0, limits.markedRegions)
  await clock.advance(1)
  partner.failing = true
  const inVain = clearing.room(1_500, 1_501)
  await clock.advance(limits.clearHurryMs)
  await inVain
  t.equal(masks.inSync.count, limits.markedRegions)
  const waiting = clearing.room(1_500, 1_501)
  clearing.stop()
  await waiting
  t.notOk(clearing.room(1_500, 1_501))
  t.equal(clock.timers, 0)
})

t.test('nothing is cleared after a stop, not even by a flush under way', async (t) => {
  const partner = new PlayedPartner(x, true)
  const { clock, masks, clearing, write } = await rig([partner])
  await write(1, 2)
  const release = partner.hold()
  await clock.advance(5_000)
  clearing.stop()
  release()
  await settle()
  t.same(partner.asked, ['flush'])
  t.equal(masks.inSync.count, 1)
  t.equal(clock.timers, 0)
})

t.test('in a cluster: marks are on every copy, and after a while on none', async (t) => {
  const sizeBytes = 3 * limits.regionBytes
  const volumes = [{ name: 'vol', sizeBytes, mirror: 2 }]
  const cluster = await MemoryCluster.start({ servers: 2, volumes })
  const { map } = await cluster.run(cluster.admin.showVolume({ name: 'vol' }, 5_000))
  const { segmentId, blocks } = map.segments[0]!
  const initiator = await cluster.attach('vol')
  const write = async (region: number) => {
    const lba = (region * limits.regionBytes) / 512
    t.equal(describe(await cluster.run(initiator.write(lba, 1, 1).answer)), 'good')
  }
  /** What is in the files now, of each server. */
  const marked = () =>
    Promise.all(
      cluster.servers.map(async ({ files }) => {
        const masks = await readMasks(files, segmentId, blocks)
        return [...masks.inSync, ...masks.lacking.flatMap((id) => [...(masks.lacks(id) ?? [])])]
      }),
    )
  await write(0)
  await write(2)
  t.same(await marked(), [
    [0, 2],
    [0, 2],
  ])
  await cluster.pass(7_000)
  await write(1)
  await cluster.pass(1_000)
  t.same(await marked(), [[1], [1]])
  await cluster.pass(10_000)
  t.same(await marked(), [[], []])
  await cluster.stop()
})

/** Without a word to the one whose file it is. */
async function readMasks(files: BlockFiles, segmentId: string, blocks: number) {
  const name = `masks/${segmentId}`
  const file = await files.open(name)
  const bytes = Buffer.alloc(file.sizeBytes)
  await file.read(bytes, 0)
  const copy = new MemoryBlockFiles()
  await (await copy.open(name, { create: true })).write([bytes], 0)
  return MaskStore.open({ files: copy, log: quietLog }).segment(segmentId, blocks, 512)
}

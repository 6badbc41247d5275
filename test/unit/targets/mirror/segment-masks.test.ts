/** The masks of one replica: what marks, clears and labels promise, and what they cost. */
import t from 'tap'
import { StorageError } from '../../../../src/base/errors.ts'
import { mirror } from '../../../../src/base/limits.ts'
import { regionsPerPage } from '../../../../targets/mirror/mask-page.ts'
import { MaskStore } from '../../../../targets/mirror/mask-store.ts'
import { RegionMask } from '../../../../targets/mirror/region-mask.ts'
import type { SegmentMasks } from '../../../../targets/mirror/segment-masks.ts'
import { FaultPlan } from '../../../support/fault-plan.ts'
import { GatedBlockFiles } from '../../../support/gated-block-files.ts'
import { LossyBlockFiles } from '../../../support/lossy-block-files.ts'
import { settle } from '../../../support/manual-clock.ts'
import { MemoryBlockFiles } from '../../../support/memory-block-files.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import { testUuid } from '../../../support/volume-maps.ts'

const segmentId = testUuid(1)
const [x, y, z] = [testUuid(2), testUuid(3), testUuid(4)]
const name = `masks/${segmentId}`
const blockBytes = 4096
const regionBlocks = mirror.regionBytes / blockBytes
const blocks = 40 * regionBlocks

function setUp(): { files: GatedBlockFiles; store: MaskStore; open: () => Promise<SegmentMasks> } {
  const files = new GatedBlockFiles(new MemoryBlockFiles())
  const store = MaskStore.open({ files, log: quietLog })
  return { files, store, open: () => store.segment(segmentId, blocks, blockBytes) }
}

const flushesIn = (files: GatedBlockFiles): number =>
  files.begun.filter((each) => each === `${name} flush`).length

t.test('marks of one turn share a flush; what is marked already costs nothing', async (t) => {
  const { files, open } = setUp()
  const masks = await open()
  await masks.mark(0, 1, [x])
  files.begun.length = 0
  await Promise.all([masks.mark(3, 5, [x]), masks.mark(9, 10, []), masks.mark(4, 6, [x])])
  t.equal(flushesIn(files), 1)
  t.equal(files.begun.filter((each) => each === `${name} write`).length, 2, 'a page a mask')
  t.equal(masks.mark(3, 6, [x]), undefined)
  t.equal(masks.mark(3, 6, [x], false), undefined)
  t.equal(masks.mark(9, 10, []), undefined)
  t.ok(masks.mark(9, 10, [x]), 'there x does not lack it yet')
  t.same([...masks.inSync], [0, 3, 4, 5, 9])
  await masks.mark(20, 21, [x], false)
  t.same([...masks.inSync], [0, 3, 4, 5, 9], 'with one copy in sync nothing can differ')
  t.same([...(masks.lacks(x) ?? [])], [0, 3, 4, 5, 9, 20])
  t.throws(() => masks.mark(39, 41, []), /inside the replica/)
})

t.test('what comes while a flush is under way waits for the next one, all together', async (t) => {
  const { files, open } = setUp()
  const masks = await open()
  files.begun.length = 0
  const release = files.hold(name, 'flush')
  let resolved = 0
  const count = (): void => {
    resolved += 1
  }
  const first = masks.mark(1, 2, [])?.then(count)
  await settle()
  const second = masks.mark(2, 3, [])?.then(count)
  const third = masks.mark(1, 2, [])?.then(count)
  await settle()
  t.equal(resolved, 0)
  t.ok(third, 'a mark that is not durable yet is no mark')
  release()
  await Promise.all([first, second, third])
  t.equal(flushesIn(files), 2)
})

t.test('a clear undoes no mark that is under way or comes after it', async (t) => {
  const { files, open } = setUp()
  const masks = await open()
  await masks.mark(1, 3, [x])
  const release = files.hold(name, 'flush')
  const marking = masks.mark(5, 6, [x])
  masks.clear([1, 5], { inSync: true, lacks: [x] })
  await settle()
  masks.clear([5], { inSync: true, lacks: [x] })
  release()
  await marking
  t.same([...masks.inSync], [2, 5])
  await settle()
  const marked = masks.mark(1, 2, [])
  t.ok(marked, 'its page was written without it')
  await marked
  masks.clear([1], { inSync: true, lacks: [] })
  t.equal(masks.mark(1, 2, []), undefined, 'its page was not written yet')
  await settle()
  const again = await reopened(files)
  t.same([...again.inSync], [1, 2, 5])
  t.same([...(again.lacks(x) ?? [])], [2, 5])
})

t.test('a clear undoes no part of a mark that waits for another part', async (t) => {
  const { files, open } = setUp()
  const masks = await open()
  await masks.mark(1, 2, [])
  const marking = masks.mark(1, 3, [x])
  t.equal(masks.mark(1, 2, []), undefined)
  masks.clear([1], { inSync: true, lacks: [x] })
  await marking
  const again = await reopened(files)
  t.same([...again.inSync], [1, 2])
  t.same([...(again.lacks(x) ?? [])], [1, 2])
})

t.test('a clear is written without a flush', async (t) => {
  const { files, open } = setUp()
  const masks = await open()
  await masks.mark(1, 3, [])
  files.begun.length = 0
  masks.clear([1], { inSync: true, lacks: [x] })
  await settle()
  t.same(files.begun, [`${name} write`])
  t.same([...(await reopened(files)).inSync], [2])
})

t.test('who leaves lacks what may differ, under a label that comes last', async (t) => {
  const { files, open } = setUp()
  const masks = await open()
  await masks.mark(4, 6, [])
  await masks.mark(1, 2, [y], false)
  await masks.leave(x, 12)
  t.same([...(masks.lacks(x) ?? [])], [4, 5])
  t.equal(masks.label(x), 12)
  t.same(masks.lacks(z), undefined)
  t.equal(masks.label(z), 0)
  const set = masks.snapshot(3)
  t.same(set, {
    inSync: Buffer.from('3000000000', 'hex'),
    lacks: [
      { serverId: y, label: 0, regions: Buffer.from('0200000000', 'hex') },
      { serverId: x, label: 12, regions: Buffer.from('3000000000', 'hex') },
    ],
    inSyncGeneration: 3,
  })
  await masks.forget(y)
  t.same((await reopened(files)).lacking, [x])
  await masks.forgetAll()
  const none = await reopened(files)
  t.same(none.lacking, [])
  t.same([...none.inSync], [4, 5], 'where it may differ itself it still knows')
})

t.test('masks of others are added, with their labels', async (t) => {
  const { files, open } = setUp()
  const masks = await open()
  await masks.mark(0, 1, [x])
  await masks.leave(y, 9)
  await masks.takeOver({
    inSync: Buffer.from('12', 'hex'),
    lacks: [
      { serverId: x, label: 5, regions: Buffer.from('0400000000', 'hex') },
      { serverId: y, label: 7, regions: Buffer.from('08ffffffffff', 'hex') },
    ],
    inSyncGeneration: 20,
  })
  await masks.mergeIntoLacks([x])
  const again = await reopened(files)
  t.same([...again.inSync], [0, 1, 4])
  t.same([...(again.lacks(x) ?? [])], [0, 1, 2, 4])
  t.equal(again.label(x), 5)
  t.equal(again.label(y), 9, 'both are true of both masks together')
  t.same([...(again.lacks(y) ?? [])].slice(0, 4), [0, 3, 8, 9])
  t.equal(again.lacks(y)?.count, 34, 'regions beyond the end are nobody’s')
})

t.test(
  'one that is not in sync keeps no labels from when it was given content before',
  async (t) => {
    const { open } = setUp()
    const masks = await open()
    const of = (serverId: string, label: number, region: number) => {
      return {
        serverId,
        label,
        regions: RegionMask.fromBuffer(Buffer.from([1 << region]), 8).toBuffer(),
      }
    }
    const given = { inSync: Buffer.alloc(0), inSyncGeneration: 9 }
    await masks.takeOver({ ...given, lacks: [of(x, 7, 1), of(y, 7, 2)] }, 'theirs')
    await masks.takeOver({ ...given, lacks: [of(x, 5, 3)] }, 'theirs')
    t.equal(masks.label(x), 5, 'what the primary says now, not what is newer')
    t.equal(masks.label(y), 0, 'of that one it does not know')
    t.same([...masks.lacks(x)!], [1, 3])
    t.same([...masks.lacks(y)!], [2])
    await masks.takeOver({ ...given, lacks: [of(x, 4, 0)] })
    t.equal(masks.label(x), 5, 'among those in sync both are true')
  },
)

t.test('what was forgotten gives its place to another only when that is durable', async (t) => {
  const { files, open } = setUp()
  const masks = await open()
  const servers = Array.from({ length: 16 }, (_, index) => testUuid(100 + index))
  const former = servers.slice(0, 8)
  for (const [index, serverId] of former.entries()) await masks.leave(serverId, index + 1)
  const done = former.map((serverId) => masks.forget(serverId))
  // All places are still theirs in the file.
  const marks = servers.slice(8).map((serverId, index) => masks.mark(index, index + 1, [serverId]))
  await Promise.all([...done, ...marks])
  const again = await reopened(files)
  t.same(again.lacking.sort(), servers.slice(8))
  for (const [index, serverId] of servers.slice(8).entries()) {
    t.same([...(again.lacks(serverId) ?? [])], [index])
    t.equal(again.label(serverId), 0)
  }
  t.throws(() => masks.mark(0, 1, [x]), /few replicas/)
})

t.test('the length of the replica', async (t) => {
  const { files, store, open } = setUp()
  const masks = await open()
  await masks.mark(39, 40, [])
  await masks.leave(x, 2)
  t.equal(masks.bytesOf(masks.inSync), mirror.regionBytes)
  const longer = blocks + regionsPerPage * regionBlocks + 1
  t.equal(await store.segment(segmentId, longer, blockBytes), masks, 'one object for all')
  t.equal(masks.regions, 40 + regionsPerPage + 1)
  await masks.mark(masks.regions - 1, masks.regions, [])
  t.equal(masks.bytesOf(masks.inSync), mirror.regionBytes + blockBytes, 'the last one is short')
  t.equal(masks.lacks(x)?.count, 2 + regionsPerPage, 'x has none of what was added')
  await store.segment(segmentId, 10 * regionBlocks, blockBytes)
  t.equal(masks.inSync.count, 0)
  t.equal(masks.lacks(x)?.count, 0)
  await store.segment(segmentId, longer, blockBytes)
  t.equal(masks.inSync.count, 0)
  t.equal(masks.lacks(x)?.count, Math.ceil(longer / regionBlocks) - 10)
  const again = await reopened(files, longer)
  t.equal(again.inSync.count, 0, 'nothing of the former length')
  t.equal(again.label(x), 2)
})

t.test('a file that fails fails for good, until it is opened again', async (t) => {
  const backing = new MemoryBlockFiles()
  const plan = new FaultPlan({ random: () => 0.9, failFlushAt: 5 })
  const store = MaskStore.open({ files: new LossyBlockFiles(backing, plan), log: quietLog })
  const masks = await store.segment(segmentId, blocks, blockBytes)
  t.equal(plan.flushes, 3, 'the bits, and two heads')
  await masks.mark(1, 2, [])
  const failing = [masks.mark(2, 3, []), masks.mark(3, 4, [])]
  for (const mark of failing) await t.rejects(mark ?? Promise.resolve(), { code: 'io-error' })
  t.match(masks.failure, { code: 'io-error' })
  await t.rejects(masks.mark(1, 2, []) ?? Promise.resolve(), StorageError, 'also what was durable')
  await t.rejects(masks.leave(x, 1), { code: 'io-error' })
  masks.clear([1], { inSync: true, lacks: [] })
  const again = await store.segment(segmentId, blocks, blockBytes)
  t.not(again, masks)
  t.ok(
    [1, 2, 3].every((region) => again.inSync.has(region)),
    'what it had is written anew',
  )
  await again.mark(4, 5, [])
  await store.close()
  t.ok((await reopened(backing)).inSync.hasAll(1, 5))
})

t.test('dropped, and made anew', async (t) => {
  const { files, store, open } = setUp()
  const masks = await open()
  await masks.mark(1, 2, [])
  await store.drop(segmentId)
  t.notOk(await files.exists(name))
  await t.rejects(masks.mark(2, 3, []) ?? Promise.resolve(), { code: 'io-error' })
  await store.drop(segmentId)
  const [dropped, anew] = [store.drop(segmentId), open()]
  await dropped
  t.equal((await anew).inSync.count, 0)
  t.equal(await open(), await anew)
  const marking = (await anew).mark(3, 4, [])
  const closing = store.close()
  await marking
  await closing
  t.same([...(await reopened(files)).inSync], [3])
})

function reopened(files: GatedBlockFiles | MemoryBlockFiles, length = blocks) {
  return MaskStore.open({ files, log: quietLog }).segment(segmentId, length, blockBytes)
}

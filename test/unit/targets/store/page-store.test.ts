/** What a page store promises apart from its content (test/model has that): errors, space, order. */
import t from 'tap'
import type { StorageError } from '../../../../src/base/errors.ts'
import { PageStore } from '../../../../targets/store/page-store.ts'
import { GatedBlockFiles } from '../../../support/gated-block-files.ts'
import { seededFractions } from '../../../support/seeded-random.ts'
import {
  pageBlocks,
  pageBytes,
  StoreMachine,
  stamped,
  stampsOf,
} from '../../../support/store-machine.ts'

const page = (stamp: number): Buffer[] => [stamped(stamp, pageBlocks)]

t.test('creation and what is refused', async (t) => {
  const machine = new StoreMachine(seededFractions(1))
  await t.rejects(machine.open({ capacityBytes: 100 }), { code: 'invalid' }, 'less than a page')
  const { capacityBytes: _, ...unsized } = machine.options()
  const store = await machine.open()
  t.equal(store.capacityPages, 16)
  t.equal(store.freePages, 16)
  t.equal(store.allocatedPages, 0)
  t.equal(store.pageBytes, pageBytes)
  const { identity, incarnation } = store
  await t.rejects(store.createReplica('a', 0), { code: 'invalid' })
  await store.createReplica('a', 100)
  await t.rejects(store.createReplica('a', 100), { code: 'conflict' })
  t.same(store.replicas(), [{ id: 'a', blocks: 100, mappedPages: 0 }])
  t.equal(store.replica('b'), undefined)
  await t.rejects(store.dropReplica('b'), { code: 'not-found' })
  await t.rejects(store.resizeReplica('b', 1), { code: 'not-found' })
  const replica = store.replica('a')!
  t.equal(replica.thin, true)
  for (const [lba, blocks] of [
    [0, 101],
    [100, 1],
    [-1, 1],
    [Number.NaN, 1],
  ] as const) {
    await t.rejects(replica.read(lba, blocks), { code: 'invalid' })
    await t.rejects(replica.unmap(lba, blocks), { code: 'invalid' })
    await t.rejects(replica.write(lba, [stamped(1, blocks)]), { code: 'invalid' })
  }
  await store.close()
  await t.rejects(replica.read(0, 1), { code: 'conflict' }, 'closed')
  await t.rejects(store.flush(), { code: 'conflict' })
  await t.rejects(store.createReplica('c', 1), { code: 'conflict' })

  await t.rejects(machine.open({ capacityBytes: 15 * pageBytes }), { code: 'invalid' }, 'no shrink')
  const grown = await machine.open({ capacityBytes: 20 * pageBytes })
  t.equal(grown.capacityPages, 20)
  t.equal(grown.identity, identity, 'a disk keeps its identity')
  t.equal(grown.incarnation, incarnation, 'and its incarnation after a clean shutdown')
  await grown.close()
  const again = await PageStore.open(unsized)
  t.equal(again.capacityPages, 20, 'the size need not be given again')
  await again.close()
})

t.test('what is no page store, or a damaged one', async (t) => {
  const made = async (): Promise<StoreMachine> => {
    const machine = new StoreMachine(seededFractions(1))
    const store = await machine.open()
    await store.createReplica('a', 2 * pageBlocks)
    await store.replica('a')!.write(0, page(1))
    await store.close()
    await machine.kill()
    return machine
  }
  const overwrite = async (name: string, bytes: string, offset: number): Promise<StoreMachine> => {
    const machine = await made()
    const file = await machine.backing.open(name)
    await file.write([Buffer.from(bytes, 'latin1')], offset)
    return machine
  }
  const other = await overwrite('superblock', 'something else', 0)
  await t.rejects(other.open(), { code: 'not-a-store', message: /does not begin with "PALISADE"/ })
  const future = await overwrite('superblock', '\0\0\0\x02', 8)
  await t.rejects(future.open(), { code: 'wrong-version', message: /format 2/ })
  const flipped = await overwrite('superblock', 'x', 30)
  await t.rejects(flipped.open(), { code: 'not-a-store', message: /checksum/ })

  const short = await made()
  await (await short.backing.open('pages')).resize(15 * pageBytes)
  await t.rejects(short.open(), { code: 'not-a-store', message: /pages should hold/ })
  const headless = await made()
  await headless.backing.remove('superblock')
  await t.rejects(headless.open(), { code: 'not-a-store', message: /lost its superblock/ })
  const forgetful = await made()
  await forgetful.metadata.transact({ remove: ['state'] })
  await t.rejects(forgetful.open(), { code: 'not-a-store', message: /lost its metadata/ })
  const garbled = await made()
  await garbled.metadata.transact({ put: [{ key: 'state', value: Buffer.from('{') }] })
  await t.rejects(garbled.open(), { code: 'not-a-store', message: /entry state is damaged/ })
  const doubled = await made()
  const [chunk] = await doubled.metadata.range('table/')
  const second = Buffer.from(chunk!.value)
  second.writeUInt32LE(second.readUInt32LE(0), 4)
  await doubled.metadata.transact({ put: [{ key: chunk!.key, value: second }] })
  await t.rejects(doubled.open(), { code: 'not-a-store', message: /page 0 of replica a/ })
  const nothing = new StoreMachine(seededFractions(1))
  const { capacityBytes: _, ...unsized } = nothing.options()
  await t.rejects(PageStore.open(unsized), { code: 'not-a-store', message: /give a size/ })
})

t.test('space: what is freed comes back after a flush, never before', async (t) => {
  const machine = new StoreMachine(seededFractions(1))
  const store = await machine.open({ capacityBytes: 2 * pageBytes })
  await store.createReplica('a', 3 * pageBlocks)
  const a = store.replica('a')!
  await a.write(0, page(1))
  await a.write(pageBlocks, page(2))
  await t.rejects(a.write(2 * pageBlocks, page(3)), { code: 'no-space', message: /all 2 pages/ })
  await t.rejects(a.write(pageBlocks - 1, [stamped(4, 200)]), { code: 'no-space' })
  t.same(stampsOf(await a.read(pageBlocks - 1, 2)), [1, 2], 'nothing of a refused write is there')
  await a.unmap(0, pageBlocks)
  t.equal(store.freePages, 0)
  await store.flush()
  t.equal(store.freePages, 1)
  await a.write(2 * pageBlocks, page(3))
  await a.unmap(pageBlocks, pageBlocks)
  await a.write(0, [stamped(5, 1)])
  t.same(stampsOf(await a.read(0, 2)), [5, 0], 'a write that needs it flushes by itself')
  await store.dropReplica('a')
  t.equal(store.freePages, 2)
  await t.rejects(a.read(0, 1), { code: 'not-found' })
  await store.close()
})

t.test('a page that is still being read is not handed out again', async (t) => {
  const machine = new StoreMachine(seededFractions(1))
  const files = new GatedBlockFiles(machine.files)
  const store = await machine.open({ files, capacityBytes: pageBytes })
  await store.createReplica('old', pageBlocks)
  await store.createReplica('new', pageBlocks)
  const old = store.replica('old')!
  await old.write(0, page(1))
  const release = files.hold('pages', 'read')
  const slow = old.read(0, pageBlocks)
  await old.unmap(0, pageBlocks)
  await old.flush()
  t.equal(store.freePages, 0, 'freed and flushed, and yet not free')
  const next = store.replica('new')!.write(0, page(2))
  await machine.clock.advance(1)
  t.equal(store.freePages, 0)
  release()
  t.same(new Set(stampsOf(await slow)), new Set([1]), 'its reader saw its own')
  await next
  t.same(new Set(stampsOf(await store.replica('new')!.read(0, pageBlocks))), new Set([2]))
  await store.close()
})

t.test('a flush covers no mapping whose data came too late for its sync', async (t) => {
  const machine = new StoreMachine(() => 0)
  const files = new GatedBlockFiles(machine.files)
  const store = await machine.open({ files, capacityBytes: 2 * pageBytes })
  await store.createReplica('a', pageBlocks)
  await store.createReplica('b', pageBlocks)
  await store.replica('a')!.write(0, page(1))
  const release = files.hold('pages', 'flush')
  const flushed = store.flush()
  await machine.clock.advance(1)
  t.ok(files.begun.includes('pages flush'), 'the data are being synced')
  await store.replica('b')!.write(0, page(2))
  release()
  await flushed
  // With this generator a crash keeps nothing that was not flushed.
  await machine.crash()
  const after = await machine.open({ capacityBytes: 2 * pageBytes })
  t.same(
    after.replicas().map(({ mappedPages }) => mappedPages),
    [1, 0],
  )
  t.same(stampsOf(await after.replica('a')!.read(0, 1)), [1])
  await after.close()
})

t.test('writers of one new page wait for the first, readers see zeros or the data', async (t) => {
  const machine = new StoreMachine(seededFractions(1))
  const files = new GatedBlockFiles(machine.files)
  const store = await machine.open({ files })
  await store.createReplica('a', pageBlocks)
  const a = store.replica('a')!
  const release = files.hold('pages', 'write')
  const first = a.write(0, [stamped(1, 1)])
  const second = a.write(1, [stamped(2, 1)])
  const unmapped = a.unmap(5, 1)
  t.same(stampsOf(await a.read(0, 2)), [0, 0])
  t.equal(files.begun.filter((operation) => operation === 'pages write').length, 1)
  release()
  await Promise.all([first, second, unmapped])
  t.same(stampsOf(await a.read(0, 3)), [1, 2, 0])
  t.equal(store.allocatedPages, 1)
  await store.close()
})

t.test('flushes made together share one sync, and an idle store makes none', async (t) => {
  const machine = new StoreMachine(seededFractions(1))
  const files = new GatedBlockFiles(machine.files)
  const store = await machine.open({ files })
  await store.createReplica('a', pageBlocks)
  const a = store.replica('a')!
  await a.write(0, page(1))
  const syncs = (): number => files.begun.filter((operation) => operation === 'pages flush').length
  const before = syncs()
  await Promise.all(Array.from({ length: 10 }, () => a.flush()))
  t.equal(syncs(), before + 1)
  await a.flush()
  t.equal(syncs(), before + 1, 'nothing was written since')
  await a.write(0, [stamped(2, 1)])
  await a.flush()
  t.equal(syncs(), before + 2, 'a write in place counts')
  const log = files.begun.filter((operation) => /^map.log.* flush/.test(operation)).length
  await a.write(0, [stamped(3, 1)])
  await a.flush()
  const logAfter = files.begun.filter((operation) => /^map.log.* flush/.test(operation)).length
  t.equal(logAfter, log, 'the log is synced only where a mapping changed')
  await store.close()
})

t.test('the store flushes and folds by itself', async (t) => {
  const machine = new StoreMachine(() => 0)
  const store = await machine.open()
  await store.createReplica('a', pageBlocks)
  await store.replica('a')!.write(0, page(1))
  const before = machine.backing.names()
  await machine.clock.advance(5_000)
  await machine.clock.advance(1)
  t.equal(machine.backing.names().length, before.length)
  t.notSame(machine.backing.names(), before, 'the log was cut')
  t.equal((await machine.metadata.range('table/')).length, 1)
  await machine.crash()
  const after = await machine.open()
  t.same(stampsOf(await after.replica('a')!.read(0, 1)), [1])
  t.not(after.incarnation, store.incarnation)
  await after.close()
  t.equal(machine.clock.timers, 1, 'only the timer of the store that died without closing')
})

t.test('a shrunken replica shows zeros when it grows again, after a crash too', async (t) => {
  const machine = new StoreMachine(() => 0)
  const store = await machine.open()
  await store.createReplica('a', 2 * pageBlocks)
  await store.replica('a')!.write(0, [stamped(1, 2 * pageBlocks)])
  await store.flush()
  await store.resizeReplica('a', 10)
  t.equal(store.replica('a')!.blocks, 10)
  await t.rejects(store.replica('a')!.read(0, 11), { code: 'invalid' })
  await machine.crash()
  const after = await machine.open()
  await after.resizeReplica('a', 2 * pageBlocks)
  const stamps = stampsOf(await after.replica('a')!.read(0, 2 * pageBlocks))
  t.same(stamps.slice(0, 10), new Array(10).fill(1))
  t.same(new Set(stamps.slice(10)), new Set([0]))
  t.same(after.replica('a')!.run(0), { mapped: true, blocks: pageBlocks })
  t.same(after.replica('a')!.run(pageBlocks + 1), { mapped: false, blocks: pageBlocks - 1 })
  await after.close()
})

t.test('a failure is told once, and closing after it is no clean shutdown', async (t) => {
  const machine = new StoreMachine(seededFractions(1), { failFlushAt: 5 })
  const told: StorageError[] = []
  const store = await machine.open({ failed: (error) => told.push(error) })
  await store.createReplica('a', pageBlocks)
  const a = store.replica('a')!
  await a.write(0, page(1))
  await t.rejects(a.flush(), { code: 'io-error' })
  await t.rejects(a.flush(), { code: 'io-error' })
  await t.rejects(store.createReplica('b', 1), { code: 'io-error' })
  await t.rejects(store.dropReplica('a'), { code: 'io-error' })
  t.equal(told.length, 1)
  t.equal(store.failure, told[0])
  await t.rejects(store.close(), { code: 'io-error' })
  const after = await machine.open()
  t.not(after.incarnation, store.incarnation)
  t.same(after.replicas(), [{ id: 'a', blocks: pageBlocks, mappedPages: 0 }])
  await after.close()
})

t.test('what a replica has allocated, and how much more it can', async (t) => {
  const machine = new StoreMachine(seededFractions(1))
  const store = await machine.open()
  await store.createReplica('a', 4 * pageBlocks)
  await store.createReplica('b', 4 * pageBlocks)
  const [a, b] = [store.replica('a')!, store.replica('b')!]
  await a.write(0, page(1))
  await a.write(2 * pageBlocks, page(2))
  await b.write(5, [stamped(3, 1)])
  t.equal(a.space?.usedBlocks(), 2 * pageBlocks)
  t.equal(b.space?.usedBlocks(), pageBlocks)
  for (const { space } of [a, b]) t.equal(space?.availableBlocks(), 13 * pageBlocks)
  await a.unmap(0, pageBlocks)
  await store.flush()
  t.equal(a.space?.usedBlocks(), pageBlocks)
  t.equal(a.space?.availableBlocks(), 14 * pageBlocks, 'a page that was given back is there again')
  await store.close()
})

/** What a page store does while its file system has no room, and afterwards. */
import t from 'tap'
import { StorageError } from '../../../../src/base/errors.ts'
import { store as limits } from '../../../../src/base/limits.ts'
import type { KeyValue } from '../../../../src/ports/key-value.ts'
import { MapLog } from '../../../../targets/store/map-log.ts'
import { readLogs } from '../../../../targets/store/map-log-reader.ts'
import type { MapRecord } from '../../../../targets/store/map-record.ts'
import { MemoryBlockFiles } from '../../../support/memory-block-files.ts'
import { ScarceBlockFiles } from '../../../support/scarce-block-files.ts'
import { pageBlocks, StoreMachine, stamped, stampsOf } from '../../../support/store-machine.ts'

const noSpace = { code: 'no-space' }
const pageUnits = 16
const page = (stamp: number): Buffer[] => [stamped(stamp, pageBlocks)]
const isLog = (name: string): boolean => name.startsWith('map.log')

/** With this generator a crash keeps nothing that was not flushed. */
function forgetful(): { machine: StoreMachine; files: ScarceBlockFiles } {
  const machine = new StoreMachine(() => 0)
  return { machine, files: new ScarceBlockFiles(machine.files) }
}

/** The log of records that were granted, in order, and how many were. */
async function fill(log: MapLog, record: MapRecord, granted: MapRecord[]): Promise<number> {
  for (let count = 0; ; count++) {
    const refusal = await log.append([record]).catch((error: unknown) => error)
    if (refusal instanceof StorageError && refusal.code === 'no-space') return count
    if (refusal !== undefined) throw refusal
    granted.push(record)
  }
}

t.test('a log without room: freed pages and flushes find some that pages leave them', async (t) => {
  const files = new ScarceBlockFiles(new MemoryBlockFiles())
  files.freeUnits = limits.logRoomBytes / 4096
  const log = await MapLog.create({ files, number: 1, firstSequence: 1, apply: () => undefined })
  const map: MapRecord = { kind: 'map', replica: 1, page: 2, physical: 3 }
  const free: MapRecord = { kind: 'free', replica: 1, page: 2, count: 1 }
  const granted: MapRecord[] = []
  const inFile = async (): Promise<readonly MapRecord[]> => {
    const { entries } = await readLogs(files, { number: 1, sequence: 0 })
    return entries.map(({ record }) => record)
  }
  const pages = await fill(log, map, granted)
  t.equal(pages, Math.floor((limits.logRoomBytes - limits.logReserveBytes - 32) / 36))
  const both = [log.append([map]), log.append([free]), log.append([{ kind: 'flush', covers: 1 }])]
  const [refused, ...others] = await Promise.allSettled(both)
  t.equal(refused?.status, 'rejected', 'refused alone, and not those that came with it')
  t.same(
    others.map(({ status }) => status),
    ['fulfilled', 'fulfilled'],
  )
  granted.push(free, { kind: 'flush', covers: 1 })
  const freed = await fill(log, free, granted)
  t.ok(freed > 800, `${freed} records in what is kept for them`)
  t.same(await inFile(), granted)
  await t.rejects(log.rotate(), noSpace, 'nor is there room for the next file')
  files.freeUnits = 100
  await log.append([map])
  granted.push(map)
  t.same(await inFile(), granted, 'the next record is where the last one ended')
  await log.rotate()
  await log.close()
})

t.test('what a refused write has left of its records does not count, now or later', async (t) => {
  for (let left = 0; left < 73; left++) {
    const files = new ScarceBlockFiles(new MemoryBlockFiles())
    const log = await MapLog.create({ files, number: 1, firstSequence: 1, apply: () => undefined })
    const map = (at: number): MapRecord => ({ kind: 'map', replica: 1, page: at, physical: at })
    const inFile = async (): Promise<unknown[]> => {
      const { entries } = await readLogs(files, { number: 1, sequence: 0 })
      return entries.map(({ record }) => (record as { page: number }).page)
    }
    await log.append([map(1)])
    files.refuses = isLog
    files.leftBytes = left
    await t.rejects(log.append([map(2), map(3)]), noSpace)
    t.same(await inFile(), [1], `${left} bytes were left`)
    files.refuses = () => false
    await log.append([map(4)])
    t.same(await inFile(), [1, 4])
    await log.close()
  }
})

t.test('full: what has its place goes on, and freed pages have theirs', async (t) => {
  const { machine, files } = forgetful()
  const store = await machine.open({ files })
  await store.createReplica('a', 9 * pageBlocks)
  const a = store.replica('a')!
  files.freeUnits = 3 * pageUnits + 5
  await a.write(0, [stamped(1, 3 * pageBlocks)])
  await t.rejects(a.write(3 * pageBlocks, page(2)), noSpace)
  await t.rejects(a.writeAtomic!(8 * pageBlocks, [stamped(2, 1)]), noSpace)
  await a.write(pageBlocks, page(3))
  await a.flush()
  await a.unmap(2 * pageBlocks, pageBlocks)
  await a.flush()
  await a.write(4 * pageBlocks, page(4))
  await t.rejects(a.write(5 * pageBlocks, page(5)), noSpace, 'that was the only one')
  t.same(
    stampsOf(await a.read(0, 9 * pageBlocks)).filter((_, block) => block % pageBlocks === 0),
    [1, 3, 0, 0, 4, 0, 0, 0, 0],
  )
  files.freeUnits = pageUnits
  await a.write(5 * pageBlocks, page(5))
  t.equal(store.failure, undefined)
  t.equal(store.allocatedPages, 4, 'nothing of what was refused keeps a page')
  files.freeUnits = 0
  await a.unmap(5 * pageBlocks, pageBlocks)
  const { incarnation } = store
  await store.close()
  await machine.crash()
  const after = await machine.open()
  t.equal(after.incarnation, incarnation, 'closed in order, although its tables found no room')
  t.same(after.replicas(), [{ id: 'a', blocks: 9 * pageBlocks, mappedPages: 3 }])
  await after.close()
})

t.test('what is seen of a refused write is made durable by the next flush', async (t) => {
  const { machine, files } = forgetful()
  const store = await machine.open({ files })
  await store.createReplica('a', 2 * pageBlocks)
  const a = store.replica('a')!
  await a.write(0, page(1))
  await a.flush()
  files.freeUnits = 0
  await t.rejects(a.write(0, [stamped(2, 2 * pageBlocks)]), noSpace)
  const seen = stampsOf(await a.read(0, 2 * pageBlocks))
  t.same(new Set(seen), new Set([2, 0]), 'where there was a page it is written')
  await a.flush()
  await machine.crash()
  const after = await machine.open()
  t.same(stampsOf(await after.replica('a')!.read(0, 2 * pageBlocks)), seen)
  await after.close()
})

t.test('a refused flush is no loss, and no success', async (t) => {
  const { machine, files } = forgetful()
  const store = await machine.open({ files })
  await store.createReplica('a', 2 * pageBlocks)
  await store.createReplica('b', 2 * pageBlocks)
  const a = store.replica('a')!
  await a.write(0, page(1))
  await a.flush()
  await a.write(pageBlocks, page(2))
  files.refuses = isLog
  for (let attempt = 0; attempt < 3; attempt++) await t.rejects(a.flush(), noSpace)
  t.equal(store.failure, undefined)
  files.refuses = () => false
  await a.flush()
  await machine.crash()
  const after = await machine.open()
  t.same(new Set(stampsOf(await after.replica('a')!.read(0, 2 * pageBlocks))), new Set([1, 2]))
  await after.close()
})

t.test('a replica whose shrinking was refused has its length, and can be shrunk', async (t) => {
  for (const refusedWrite of [1, 2]) {
    const { machine, files } = forgetful()
    const store = await machine.open({ files })
    await store.createReplica('a', 3 * pageBlocks)
    await store.replica('a')!.write(0, [stamped(1, 3 * pageBlocks)])
    await store.flush()
    let writes = 0
    files.refuses = (name) => isLog(name) && ++writes === refusedWrite
    await t.rejects(store.resizeReplica('a', pageBlocks), noSpace, `write ${refusedWrite}`)
    t.equal(store.replica('a')!.blocks, 3 * pageBlocks)
    await store.resizeReplica('a', pageBlocks)
    await machine.crash()
    const after = await machine.open()
    await after.resizeReplica('a', 3 * pageBlocks)
    const stamps = stampsOf(await after.replica('a')!.read(pageBlocks, 2 * pageBlocks))
    t.same(new Set(stamps), new Set([0]), 'what was beyond the end is not there again')
    await after.close()
  }
})

t.test('page tables that find no room: the log stays, and the state with it', async (t) => {
  const { machine, files } = forgetful()
  const { metadata } = machine
  let isFull = false
  const scarce: KeyValue = {
    get: (key) => metadata.get(key),
    range: (prefix) => metadata.range(prefix),
    // A small transaction still finds room.
    transact: async (transaction) => {
      if (isFull && (transaction.put?.length ?? 0) > 1 && !hasSuspects(transaction.put)) {
        throw new StorageError('no-space', 'the test leaves no room')
      }
      return metadata.transact(transaction)
    },
    close: () => metadata.close(),
  }
  const store = await machine.open({ files, metadata: scarce })
  await store.createReplica('a', 3 * pageBlocks)
  const a = store.replica('a')!
  await a.write(0, page(1))
  isFull = true
  for (let round = 0; round < 4; round++) {
    await machine.clock.advance(5_000)
    await machine.clock.advance(1)
  }
  await t.rejects(store.createReplica('b', 1), noSpace)
  t.equal(store.failure, undefined)
  t.ok(machine.backing.names().filter(isLog).length <= 2, 'no new file at every attempt')
  await a.write(pageBlocks, page(2))
  await a.flush()
  // A loss now: what the log had of the tables must still count.
  const { incarnation } = store
  files.refuses = (name) => {
    if (name === 'pages') throw new StorageError('io-error', 'the test lets it fail')
    if (isLog(name)) throw new StorageError('io-error', 'the test lets it fail')
    return false
  }
  await t.rejects(a.write(2 * pageBlocks, page(3)), { code: 'io-error' })
  await t.rejects(a.unmap(0, pageBlocks), { code: 'io-error' })
  await t.rejects(store.close(), { code: 'io-error' })
  const after = await machine.open()
  t.not(after.incarnation, incarnation)
  t.same(new Set(stampsOf(await after.replica('a')!.read(0, 2 * pageBlocks))), new Set([1, 2]))
  await after.close()
})

function hasSuspects(put: readonly { readonly key: string }[] = []): boolean {
  return put.some(({ key }) => key === 'suspects')
}

/**
 * Opens the files of a disk: makes them where there are none, and brings the page tables to the
 * state that counts. After the same boot that is everything in the log, because the kernel has kept
 * what was written; after another boot, or a failed write-back, only what a flush record covers.
 */
import { StorageError, toError } from '../../src/base/errors.ts'
import { pageBytes, smallestBlockBytes } from '../../src/base/limits.ts'
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'
import type { KeyValue } from '../../src/ports/key-value.ts'
import type { Log } from '../../src/ports/log.ts'
import type { Random } from '../../src/ports/random.ts'
import { foldChanges } from './fold.ts'
import { logName, MapLog, type MapLogOptions } from './map-log.ts'
import { type LogContent, readLogs } from './map-log-reader.ts'
import { PageAllocator } from './page-allocator.ts'
import { PageTable } from './page-table.ts'
import { type ReplicaRecord, StoreMetadata, suspectsKey } from './store-metadata.ts'
import { readSuperblock, superblockName, writeSuperblock } from './superblock.ts'

export interface DiskOptions {
  readonly files: BlockFiles
  readonly metadata: KeyValue
  readonly random: Random
  readonly log: Log
  readonly bootId: string
  /** A new store gets this size, a smaller one grows to it; without it an existing one is opened. */
  readonly capacityBytes?: number
}

export interface OpenReplica {
  readonly id: string
  readonly number: number
  blocks: number
  readonly blockBytes: number
  readonly table: PageTable
}

export interface OpenDisk {
  readonly identity: string
  readonly metadata: StoreMetadata
  readonly pages: BlockFile
  readonly allocator: PageAllocator
  readonly replicas: readonly OpenReplica[]
  /** Makes the log that the tables go on in, once. */
  startLog(apply: MapLogOptions['apply']): Promise<MapLog>
}

export async function openDisk(options: DiskOptions): Promise<OpenDisk> {
  const { files } = options
  const { identity, metadata } = await openOrCreate(options)
  const pages = await files.open('pages')
  try {
    await checkSize(options, metadata, pages)
    return { identity, pages, ...(await recover(options, metadata, pages)) }
  } catch (error) {
    await pages.close()
    throw error
  }
}

async function openOrCreate(
  options: DiskOptions,
): Promise<{ identity: string; metadata: StoreMetadata }> {
  const { files, metadata: keyValue, random } = options
  const fresh = !(await files.exists(superblockName))
  if (fresh && ((await files.exists('pages')) || (await keyValue.get('state')) !== undefined)) {
    throw new StorageError('not-a-store', 'the page store has lost its superblock: restore it')
  }
  if (fresh && options.capacityBytes === undefined) {
    throw new StorageError('not-a-store', 'there is no page store here: give a size to make one')
  }
  const file = await files.open(superblockName, { create: true })
  try {
    const found = await readSuperblock(file)
    if (found !== undefined && found.pageBytes !== pageBytes) {
      const why = `the page store has pages of ${found.pageBytes} bytes`
      throw new StorageError('wrong-version', `${why}, this program knows ${pageBytes}`)
    }
    if (found?.phase === 'complete') {
      const metadata = await StoreMetadata.read(keyValue)
      if (metadata !== undefined) return { identity: found.identity, metadata }
      throw new StorageError('not-a-store', 'the page store has lost its metadata: restore them')
    }
    const identity = found?.identity ?? random.uuid()
    await writeSuperblock(file, { phase: 'creating', pageBytes, identity })
    const metadata = await create(options)
    await writeSuperblock(file, { phase: 'complete', pageBytes, identity })
    return { identity, metadata }
  } finally {
    await file.close()
  }
}

async function create(options: DiskOptions): Promise<StoreMetadata> {
  const { files, metadata: keyValue, random, bootId, capacityBytes = 0 } = options
  const capacityPages = Math.floor(capacityBytes / pageBytes)
  if (capacityPages < 1) {
    throw new StorageError('invalid', `a page store needs at least ${pageBytes} bytes`)
  }
  const pages = await files.open('pages', { create: true })
  try {
    await pages.resize(capacityPages * pageBytes)
    await pages.flush()
  } finally {
    await pages.close()
  }
  const metadata = new StoreMetadata(keyValue, {
    incarnation: random.uuid(),
    bootId,
    clean: true,
    lossAfter: null,
    capacityPages,
    logNumber: 1,
    foldedSequence: 0,
    nextReplica: 1,
  })
  await metadata.commit({})
  return metadata
}

/** Grows the disk where more is asked for; refuses one that has lost its end. */
async function checkSize(
  options: DiskOptions,
  metadata: StoreMetadata,
  pages: BlockFile,
): Promise<void> {
  const { capacityPages } = metadata.state
  if (pages.sizeBytes < capacityPages * pageBytes) {
    const why = `should hold ${capacityPages * pageBytes} bytes and holds ${pages.sizeBytes}`
    throw new StorageError('not-a-store', `the file pages ${why}: restore it`)
  }
  if (options.capacityBytes === undefined) return
  const asked = Math.floor(options.capacityBytes / pageBytes)
  if (asked < capacityPages) {
    const why = `has ${capacityPages * pageBytes} bytes, ${options.capacityBytes} were asked for`
    throw new StorageError('invalid', `the page store ${why}: a store does not shrink`)
  }
  if (asked === capacityPages) return
  await pages.resize(asked * pageBytes)
  await pages.flush()
  await metadata.commit({ capacityPages: asked })
}

type Recovered = Pick<OpenDisk, 'metadata' | 'allocator' | 'replicas' | 'startLog'>

async function recover(
  options: DiskOptions,
  metadata: StoreMetadata,
  pages: BlockFile,
): Promise<Recovered> {
  const { files, bootId, random, log } = options
  const before = metadata.state
  const content = await readLogs(files, {
    number: before.logNumber,
    sequence: before.foldedSequence,
  })
  await cutLogs(files, content)
  const trust = await howFarToTrust(options, metadata, pages, content.coveredSequence)
  const limit = Math.min(
    content.coveredSequence,
    metadata.state.lossAfter ?? content.coveredSequence,
  )
  const counted = content.entries.filter(
    ({ sequence }) => trust === 'everything' || sequence <= limit,
  )
  const known = await metadata.replicas()
  const live = new Set([...known.values()].map(({ number }) => number))
  await metadata.commit(
    {
      incarnation: trust === 'everything' ? before.incarnation : random.uuid(),
      bootId,
      clean: false,
      logNumber: before.logNumber + content.numbers.length,
      // Sequences are contiguous, so this is the last one that counts.
      foldedSequence: before.foldedSequence + counted.length,
    },
    await foldChanges(metadata, counted, live),
  )
  await removeLogs(files, before.logNumber, content.numbers)
  const tables = await loadTables(metadata, known)
  if (trust === 'not even the cache') await rewriteSuspects(metadata, pages, tables.replicas)
  log.info('page store opened', {
    incarnation: metadata.state.incarnation,
    recordsReplayed: counted.length,
    recordsDropped: content.entries.length - counted.length,
    unflushedDataMayBeLost: trust !== 'everything',
  })
  return { metadata, ...tables, startLog: starter(files, metadata) }
}

/** The room that a log has ahead may be the last there is: the tables that take its place need some. */
async function cutLogs(files: BlockFiles, { numbers, endsBytes }: LogContent): Promise<void> {
  for (const [index, number] of numbers.entries()) {
    const file = await files.open(logName(number))
    try {
      const endBytes = endsBytes[index]!
      if (file.sizeBytes > endBytes) await file.resize(endBytes)
    } finally {
      await file.close()
    }
  }
}

/**
 * After the same boot, or a clean shutdown, all that was written is there. It is made durable
 * before it is folded; a write-back error that comes to light here is a loss like any other.
 */
async function howFarToTrust(
  { bootId, log }: DiskOptions,
  metadata: StoreMetadata,
  pages: BlockFile,
  coveredSequence: number,
): Promise<'everything' | 'what is covered' | 'not even the cache'> {
  const { lossAfter, clean, bootId: lastBootId } = metadata.state
  if (lossAfter !== null) return 'not even the cache'
  if (!clean && lastBootId !== bootId) return 'what is covered'
  try {
    await pages.flush()
    return 'everything'
  } catch (error) {
    log.error('write-back failed before the store was opened', { error: toError(error) })
    await metadata.commit({ lossAfter: coveredSequence })
    return 'not even the cache'
  }
}

/**
 * After a failed write-back the page cache may hold what the disk does not, and show it until it
 * forgets it. Written once more, both are the same, or this fails and the store is given up.
 */
async function rewriteSuspects(
  metadata: StoreMetadata,
  pages: BlockFile,
  replicas: readonly OpenReplica[],
): Promise<void> {
  const noted = await metadata.suspects()
  const suspects = noted && new Set(noted)
  const content = Buffer.alloc(pageBytes)
  for (const { table } of replicas) {
    for (const page of table.physicalPages()) {
      if (suspects?.has(page) === false) continue
      await pages.read(content, page * pageBytes)
      await pages.write([content], page * pageBytes)
    }
  }
  await pages.flush()
  await metadata.commit({ lossAfter: null }, { remove: [suspectsKey] })
}

/** Those just folded, and those that an interrupted fold left behind. */
async function removeLogs(
  files: BlockFiles,
  from: number,
  numbers: readonly number[],
): Promise<void> {
  for (const number of numbers) await files.remove(logName(number))
  for (let old = from - 1; await files.exists(logName(old)); old--) await files.remove(logName(old))
}

async function loadTables(
  metadata: StoreMetadata,
  known: ReadonlyMap<string, ReplicaRecord>,
): Promise<Pick<OpenDisk, 'allocator' | 'replicas'>> {
  const allocator = new PageAllocator(metadata.state.capacityPages)
  const replicas: OpenReplica[] = []
  for (const [id, { number, blocks, blockBytes = smallestBlockBytes }] of known) {
    const table = new PageTable()
    for (const { index, value } of await metadata.chunks(number)) table.load(index, value)
    for (const page of table.physicalPages()) {
      if (allocator.claim(page)) continue
      const why = `page ${page} of replica ${id} belongs to another one too, or to none of this disk`
      throw new StorageError('not-a-store', `the page store is damaged: ${why}`)
    }
    replicas.push({ id, number, blocks, blockBytes, table })
  }
  return { allocator, replicas }
}

function starter(files: BlockFiles, metadata: StoreMetadata): OpenDisk['startLog'] {
  const { logNumber, foldedSequence } = metadata.state
  return (apply) =>
    MapLog.create({ files, apply, number: logNumber, firstSequence: foldedSequence + 1 })
}

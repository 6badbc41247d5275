/**
 * The writing side of the mapping log: files `map.log.N`, one after the other. A record counts when
 * it is in the file; in that same turn it is applied to the tables, so that the tables are always
 * exactly what a replay of the file would give. One write is under way at a time, and what comes
 * meanwhile shares the next one.
 *
 * Records are written into room that was written ahead as zeros, where a reader sees the end. So a
 * full file system shows where more room is asked for, with no record in the file: who needs pages
 * is refused, and the rest of the room is for freed pages and flushes. Where even what is there
 * cannot be overwritten, the file is cut where it ended before. Any other failure is final: what
 * follows a torn record cannot be read.
 */
import { assert } from '../../src/base/assert.ts'
import { crc32c } from '../../src/base/crc32c.ts'
import { StorageError, toError } from '../../src/base/errors.ts'
import { physicalBlockBytes, store } from '../../src/base/limits.ts'
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'
import { encodeRecord, type MapRecord, recordBytes, type Sequenced } from './map-record.ts'
import { isNoSpace } from './no-space.ts'
import { zeros } from './zeros.ts'

export const logHeaderBytes = 32
const magic = Buffer.from('PLSDMAPL')

export interface MapLogOptions {
  readonly files: BlockFiles
  readonly number: number
  readonly firstSequence: number
  /** Called for each record, in order, in the turn in which it is in the file. */
  readonly apply: (entry: Sequenced<MapRecord>) => void
}

interface OpenLog {
  readonly number: number
  readonly file: BlockFile
  endBytes: number
  /** From `endBytes` up to here there are zeros. */
  roomEndBytes: number
  dirty: boolean
}

type Item = Records | Rotation
interface Records {
  readonly records: readonly MapRecord[]
  readonly done: () => void
  readonly failed: Failed
}
interface Rotation {
  readonly next: OpenLog
  readonly done: () => void
  readonly failed: Failed
}
type Failed = (error: StorageError) => void

export class MapLog {
  readonly #files: BlockFiles
  readonly #apply: (entry: Sequenced<MapRecord>) => void
  /** The last one is written to; those before wait until they are folded. */
  #open: OpenLog[]
  #nextSequence: number
  #queue: Item[] = []
  #writing = false
  #failure: StorageError | undefined

  private constructor(options: MapLogOptions, first: OpenLog) {
    this.#files = options.files
    this.#apply = options.apply
    this.#nextSequence = options.firstSequence
    this.#open = [first]
  }

  static async create(options: MapLogOptions): Promise<MapLog> {
    return new MapLog(options, await createLogFile(options.files, options.number))
  }

  /** Sequence of the last record in the file. */
  get lastSequence(): number {
    return this.#nextSequence - 1
  }

  get number(): number {
    return this.#current.number
  }

  /** Bytes in the file that is written to. */
  get bytes(): number {
    return this.#current.endBytes
  }

  /** Resolves when the records are in the file and applied; no-space: neither, now or later. */
  append(records: readonly MapRecord[]): Promise<void> {
    return new Promise((done, failed) => this.#enqueue({ records, done, failed }))
  }

  /** Later records go to a new file. Resolves with the last sequence of the files before it. */
  async rotate(): Promise<number> {
    const next = await createLogFile(this.#files, this.number + 1)
    let boundary = 0
    await new Promise<void>((resolve, failed) => {
      const done = (): void => {
        boundary = this.lastSequence
        resolve()
      }
      this.#enqueue({ next, done, failed })
    })
    return boundary
  }

  /** Makes durable what is in the files. */
  async sync(): Promise<void> {
    for (const log of [...this.#open]) {
      if (!log.dirty) continue
      log.dirty = false
      await log.file.flush()
    }
  }

  /** Removes the files before the one that is written to: they are folded. */
  async discardRetired(): Promise<void> {
    const retired = this.#open.slice(0, -1)
    this.#open = this.#open.slice(-1)
    for (const { file, number } of retired) {
      await file.close()
      await this.#files.remove(logName(number))
    }
  }

  async close(): Promise<void> {
    for (const { file } of this.#open) await file.close()
  }

  get #current(): OpenLog {
    return this.#open[this.#open.length - 1]!
  }

  #enqueue(item: Item): void {
    if (this.#failure !== undefined) {
      item.failed(this.#failure)
      return
    }
    this.#queue.push(item)
    if (!this.#writing) void this.#pump()
  }

  /** Never rejects: a failure goes to everyone who waits, now and later. */
  async #pump(): Promise<void> {
    this.#writing = true
    try {
      while (this.#queue.length > 0) {
        const head = this.#queue[0]!
        if ('next' in head) {
          this.#open.push(head.next)
          this.#queue.shift()
          head.done()
        } else await this.#writeBatch()
      }
    } catch (error) {
      this.#fail(error)
    }
    this.#writing = false
  }

  async #writeBatch(): Promise<void> {
    const rotation = this.#queue.findIndex((item) => 'next' in item)
    const asked = this.#queue.slice(0, rotation < 0 ? undefined : rotation).map(recordsOf)
    const log = this.#current
    const refusal = await giveRoom(log, bytesOf(asked) + store.logReserveBytes)
    const batch = refusal === undefined ? asked : this.#refuse(asked, roomFor(asked, log), refusal)
    if (batch.length === 0) return
    const entries: Sequenced<MapRecord>[] = []
    for (const record of batch.flatMap(({ records }) => records)) {
      entries.push({ sequence: this.#nextSequence + entries.length, record })
    }
    const bytes = Buffer.concat(
      entries.map(({ record, sequence }) => encodeRecord(record, sequence)),
    )
    try {
      await log.file.write([bytes], log.endBytes)
    } catch (error) {
      if (!isNoSpace(error)) throw error
      await cut(log)
      this.#refuse(batch, [], error)
      return
    }
    // In one turn: position, tables, answers.
    log.endBytes += bytes.length
    log.roomEndBytes = Math.max(log.roomEndBytes, log.endBytes)
    log.dirty = true
    this.#nextSequence += entries.length
    this.#queue.splice(0, batch.length)
    for (const entry of entries) this.#apply(entry)
    for (const item of batch) item.done()
  }

  /** Those of the queue's first ones that are not `kept` fail, alone. */
  #refuse(first: readonly Records[], kept: readonly Records[], why: StorageError): typeof kept {
    const refused = new Set<Item>(first.filter((item) => !kept.includes(item)))
    this.#queue = this.#queue.filter((item) => !refused.has(item))
    for (const { failed } of refused) failed(why)
    return kept
  }

  #fail(thrown: unknown): void {
    const isOwn = thrown instanceof StorageError && !isNoSpace(thrown)
    const error = isOwn ? thrown : failureOf(thrown)
    this.#failure = error
    for (const item of this.#queue.splice(0)) item.failed(error)
  }
}

function failureOf(thrown: unknown): StorageError {
  return new StorageError('io-error', `the mapping log: ${toError(thrown).message}`, thrown)
}

function recordsOf(item: Item): Records {
  assert('records' in item, 'a batch ends before a rotation')
  return item
}

function bytesOf(items: readonly Records[]): number {
  let bytes = 0
  for (const { records } of items) for (const record of records) bytes += recordBytes(record)
  return bytes
}

/**
 * Those that need no page of their own and find room in what the log has. Where none does the first
 * one is tried: the file may have more, where it was begun or is not zeros any more.
 */
function roomFor(items: readonly Records[], log: OpenLog): readonly Records[] {
  const candidates = items.filter(({ records }) => records.every(({ kind }) => kind !== 'map'))
  let leftBytes = log.roomEndBytes - log.endBytes
  const fitting = candidates.filter((item) => {
    const bytes = bytesOf([item])
    if (bytes > leftBytes) return false
    leftBytes -= bytes
    return true
  })
  return fitting.length > 0 ? fitting : candidates.slice(0, 1)
}

/** Zeros for so many bytes, or the reason why not: then nothing of them counts as room. */
async function giveRoom(log: OpenLog, wantedBytes: number): Promise<StorageError | undefined> {
  const missing = log.endBytes + wantedBytes - log.roomEndBytes
  if (missing <= 0) return undefined
  const generously = await extend(log, Math.ceil(missing / store.logRoomBytes) * store.logRoomBytes)
  return generously && extend(log, Math.ceil(missing / physicalBlockBytes) * physicalBlockBytes)
}

async function extend(log: OpenLog, bytes: number): Promise<StorageError | undefined> {
  try {
    await log.file.write(zeros(bytes), log.roomEndBytes)
  } catch (error) {
    if (isNoSpace(error)) return error
    throw error
  }
  log.roomEndBytes += bytes
  log.dirty = true
  return undefined
}

/**
 * Takes back what a refused write has left behind its end, before anyone hears of it: whoever opens
 * the log would believe it. Durably, for what is written there next has the same sequences.
 */
async function cut(log: OpenLog): Promise<void> {
  await log.file.resize(log.endBytes)
  log.roomEndBytes = log.endBytes
  await log.file.flush()
}

export function logName(number: number): string {
  return `map.log.${number}`
}

export function hasLogHeader(log: Buffer, number: number): boolean {
  return log.length >= logHeaderBytes && log.subarray(0, logHeaderBytes).equals(header(number))
}

function header(number: number): Buffer {
  const bytes = Buffer.alloc(logHeaderBytes)
  magic.copy(bytes)
  bytes.writeUInt32BE(1, 8)
  bytes.writeUInt32BE(number, 12)
  bytes.writeUInt32BE(crc32c([bytes.subarray(0, 16)]), 16)
  return bytes
}

/** A fresh file: whatever an interrupted start left under this name is removed first. */
async function createLogFile(files: BlockFiles, number: number): Promise<OpenLog> {
  const name = logName(number)
  await files.remove(name)
  const file = await files.open(name, { create: true })
  try {
    const roomEndBytes = await begin(file, header(number))
    return { number, file, endBytes: logHeaderBytes, roomEndBytes, dirty: true }
  } catch (error) {
    await file.close()
    throw error
  }
}

/** With room where that can be had; without it the log still takes what it finds room for. */
async function begin(file: BlockFile, head: Buffer): Promise<number> {
  try {
    await file.write([head, ...zeros(store.logRoomBytes - head.length)], 0)
    return store.logRoomBytes
  } catch (error) {
    if (!isNoSpace(error)) throw error
    await file.write([head], 0)
    return head.length
  }
}

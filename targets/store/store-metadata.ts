/**
 * What a page store keeps in its key-value store: its state, its replicas, and their page tables as
 * of the last fold.
 *
 *   state                  JSON, see StoreState
 *   replica/ID             JSON, see ReplicaRecord
 *   suspects               after a failed write-back, physical pages whose disk content is unknown
 *   table/NUMBER/CHUNK     a chunk of a page table; absent where nothing is mapped
 */
import { assert } from '../../src/base/assert.ts'
import { StorageError } from '../../src/base/errors.ts'
import type { KeyValue, Transaction } from '../../src/ports/key-value.ts'
import { SerialQueue } from './serial-queue.ts'

export interface StoreState {
  readonly incarnation: string
  readonly bootId: string
  /** It was closed in order; nothing is missing, whatever boot it is. */
  readonly clean: boolean
  readonly capacityPages: number
  /** Oldest log file that is not folded. */
  readonly logNumber: number
  /** Records up to this one are in the tables. */
  readonly foldedSequence: number
  /** Number of the next replica; never used again, so that old log records name nobody. */
  readonly nextReplica: number
  /** After a failed write-back: records above this one do not count. */
  readonly lossAfter: number | null
}

export interface ReplicaRecord {
  readonly number: number
  readonly blocks: number
  /** Absent in records of 512-byte blocks, as they were before there were others. */
  readonly blockBytes?: number
}

type Changes = Pick<Transaction, 'put' | 'remove'>

export class StoreMetadata {
  readonly #keyValue: KeyValue
  readonly #commits = new SerialQueue()
  #state: StoreState

  constructor(keyValue: KeyValue, state: StoreState) {
    this.#keyValue = keyValue
    this.#state = state
  }

  static async read(keyValue: KeyValue): Promise<StoreMetadata | undefined> {
    const stored = await keyValue.get('state')
    return stored && new StoreMetadata(keyValue, parse<StoreState>('state', stored))
  }

  get state(): StoreState {
    return this.#state
  }

  /**
   * Durable when it resolves. Changes come into force one after the other, in the order in which
   * they were asked for: the next one must not store the state of one that failed, without its
   * tables.
   */
  commit(patch: Partial<StoreState>, changes: Changes = {}): Promise<void> {
    return this.#commits.run(async () => {
      const next = { ...this.#state, ...patch }
      // If it fails, it may be stored all the same: then a number that it gave is taken.
      this.#state = { ...this.#state, nextReplica: next.nextReplica }
      const put = [{ key: 'state', value: json(next) }, ...(changes.put ?? [])]
      const applied = await this.#keyValue.transact({ put, remove: changes.remove ?? [] })
      assert(applied, 'a transaction without conditions is applied')
      this.#state = next
    })
  }

  async replicas(): Promise<Map<string, ReplicaRecord>> {
    const entries = await this.#keyValue.range('replica/')
    return new Map(
      entries.map(({ key, value }) => [
        key.slice('replica/'.length),
        parse<ReplicaRecord>(key, value),
      ]),
    )
  }

  /** Undefined where none were noted: then every page is suspect. */
  async suspects(): Promise<number[] | undefined> {
    const stored = await this.#keyValue.get(suspectsKey)
    if (stored === undefined) return undefined
    return Array.from({ length: stored.length / 4 }, (_, index) => stored.readUInt32LE(index * 4))
  }

  chunk(replica: number, index: number): Promise<Buffer | undefined> {
    return this.#keyValue.get(chunkKey(replica, index))
  }

  async chunks(replica: number): Promise<{ key: string; index: number; value: Buffer }[]> {
    const prefix = tablePrefix(replica)
    const entries = await this.#keyValue.range(prefix)
    return entries.map(({ key, value }) => ({
      key,
      value,
      index: Number(key.slice(prefix.length)),
    }))
  }
}

export const suspectsKey = 'suspects'

export function suspectsEntry(pages: Iterable<number>): { key: string; value: Buffer } {
  return { key: suspectsKey, value: Buffer.from(Uint32Array.from(pages).buffer) }
}

export function replicaEntry(id: string, record: ReplicaRecord): { key: string; value: Buffer } {
  return { key: replicaKey(id), value: json(record) }
}

export function replicaKey(id: string): string {
  return `replica/${id}`
}

export function chunkKey(replica: number, index: number): string {
  return `${tablePrefix(replica)}${pad(index)}`
}

function tablePrefix(replica: number): string {
  return `table/${pad(replica)}/`
}

/** So that the order of keys is the order of numbers. */
function pad(number: number): string {
  return String(number).padStart(10, '0')
}

function json(value: StoreState | ReplicaRecord): Buffer {
  return Buffer.from(JSON.stringify(value))
}

function parse<T>(key: string, stored: Buffer): T {
  try {
    const value: T = JSON.parse(stored.toString())
    return value
  } catch (error) {
    throw new StorageError('not-a-store', `the page store's entry ${key} is damaged`, error)
  }
}

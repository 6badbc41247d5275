/**
 * KeyValue on LMDB, one file. Transactions made in one turn become one LMDB transaction and one
 * sync; a transaction resolves only after that sync (`overlappingSync: false`). It owns the open
 * environment; the directory it is in is locked by the program that owns it.
 */
import { open as openFile } from 'node:fs/promises'
import { constants } from 'node:os'
import { dirname, resolve } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { StorageError, toError } from '../base/errors.ts'
import type { KeyValue, KeyValueEntry, Transaction } from '../ports/key-value.ts'
import { makeDirectory, syncDirectory } from './directory-sync.ts'
import { errorCode, fileError } from './node-errors.ts'

interface Waiting {
  readonly transaction: Transaction
  readonly resolve: (applied: boolean) => void
  readonly reject: (error: Error) => void
}

/** Opens or makes the store in the file `path`. */
export async function openLmdb(path: string): Promise<KeyValue> {
  const absolute = resolve(path)
  try {
    await makeDirectory(dirname(absolute))
    await mustBeLmdb(absolute)
    const database = open<Buffer, string>({
      path: absolute,
      noSubdir: true,
      encoding: 'binary',
      // The write promise must mean durable, not only visible.
      overlappingSync: false,
      // Batches are made here; of its own ones the library drops the failures, unhandled.
      eventTurnBatching: false,
    })
    await syncDirectory(dirname(absolute))
    return new LmdbKeyValue(absolute, database)
  } catch (error) {
    throw fileError('open', absolute, error)
  }
}

class LmdbKeyValue implements KeyValue {
  readonly #path: string
  readonly #database: RootDatabase<Buffer, string>
  #waiting: Waiting[] = []
  #committing: Promise<void> = Promise.resolve()
  #closed = false

  constructor(path: string, database: RootDatabase<Buffer, string>) {
    this.#path = path
    this.#database = database
  }

  async get(key: string): Promise<Buffer | undefined> {
    this.#mustBeOpen()
    return this.#database.getBinary(key)
  }

  async range(prefix: string): Promise<KeyValueEntry[]> {
    this.#mustBeOpen()
    const entries: KeyValueEntry[] = []
    for (const { key, value } of this.#database.getRange({ start: prefix })) {
      if (!key.startsWith(prefix)) break
      entries.push({ key, value })
    }
    return entries
  }

  async transact(transaction: Transaction): Promise<boolean> {
    this.#mustBeOpen()
    return new Promise<boolean>((resolve, reject) => {
      this.#waiting.push({ transaction, resolve, reject })
      if (this.#waiting.length === 1) {
        this.#committing = this.#committing.then(() => this.#commit())
      }
    })
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#committing
    await this.#database.close()
  }

  /** Never rejects: it is chained on. What came while the last commit ran shares this one. */
  async #commit(): Promise<void> {
    const batch = this.#waiting
    this.#waiting = []
    try {
      // The callback must not return a promise: the transaction would end before it settled.
      const applied = await this.#database.transaction(() => batch.map((each) => this.#apply(each)))
      batch.forEach(({ resolve }, index) => {
        resolve(applied[index] === true)
      })
    } catch (error) {
      const failure = await this.#commitFailure(error)
      for (const { reject } of batch) reject(failure)
    }
  }

  /** The library tells why in a promise of its own. Of what found no room nothing is stored. */
  async #commitFailure(error: unknown): Promise<StorageError> {
    if (!(error instanceof Error) || !('commitError' in error)) {
      return fileError('commit to', this.#path, error)
    }
    try {
      await error.commitError
    } catch (cause) {
      const why = `commit to ${this.#path}: ${toError(cause).message}`
      return new StorageError(isFull(cause) ? 'no-space' : 'io-error', why, cause)
    }
    return fileError('commit to', this.#path, error)
  }

  #apply({ transaction }: Waiting): boolean {
    const { require = [], put = [], remove = [] } = transaction
    for (const { key, value } of require) {
      const held = this.#database.getBinary(key)
      const same = value === undefined ? held === undefined : held?.equals(value) === true
      if (!same) return false
    }
    for (const { key, value } of put) {
      this.#database.putSync(key, Buffer.from(value.buffer, value.byteOffset, value.byteLength))
    }
    for (const key of remove) this.#database.removeSync(key)
    return true
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new StorageError('conflict', `${this.#path} is closed`)
  }
}

/** MDB_MAP_FULL, and what the system says of a full file system or a used up quota. */
const mapFull = -30_792
const { ENOSPC, EDQUOT } = constants.errno

function isFull(cause: unknown): boolean {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  return code === ENOSPC || code === EDQUOT || code === mapFull
}

/** The magic number of LMDB's first page stands after its page header (data format 2: 24 bytes). */
const magicOffsetBytes = 24
const lmdbMagic = 0xbeefc0de

/** The native library dies on a file that is not its own; so this looks first. */
async function mustBeLmdb(path: string): Promise<void> {
  const head = await readHead(path)
  if (head === undefined || head.length === 0) return
  if (head.length < magicOffsetBytes + 4 || head.readUInt32LE(magicOffsetBytes) !== lmdbMagic) {
    throw new StorageError('not-a-store', `${path} is no LMDB file, or is damaged`)
  }
}

/** The first bytes of the file; undefined where there is none. */
async function readHead(path: string): Promise<Buffer | undefined> {
  try {
    const file = await openFile(path, 'r')
    try {
      const head = Buffer.alloc(magicOffsetBytes + 4)
      const { bytesRead } = await file.read(head, 0, head.length, 0)
      return head.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

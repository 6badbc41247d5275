/**
 * The part of a page store that all its replicas share: data file, free pages, mapping log, flush
 * and fold. It owns the rules of what is durable when; see `flush` and `#foldOnce`.
 */
import { assert } from '../../src/base/assert.ts'
import { StorageError, toError } from '../../src/base/errors.ts'
import { pageBytes, store } from '../../src/base/limits.ts'
import type { BlockFile } from '../../src/ports/block-file.ts'
import type { Log } from '../../src/ports/log.ts'
import { foldChanges } from './fold.ts'
import type { MapLog } from './map-log.ts'
import type { MappingRecord, MapRecord, Sequenced } from './map-record.ts'
import { isNoSpace } from './no-space.ts'
import { OperationEras } from './operation-eras.ts'
import type { PageAllocator } from './page-allocator.ts'
import type { OpenDisk, OpenReplica } from './recovery.ts'
import { SerialQueue } from './serial-queue.ts'
import { type StoreMetadata, suspectsEntry } from './store-metadata.ts'

export interface CoreOptions {
  readonly log: Log
  /** Called once, when the store has stopped because something acknowledged may be lost. */
  readonly failed?: (error: StorageError) => void
}

interface FreedPages {
  readonly sequence: number
  readonly pages: readonly number[]
}

export class StoreCore {
  readonly pages: BlockFile
  readonly allocator: PageAllocator
  readonly metadata: StoreMetadata
  readonly eras = new OperationEras()
  /** Replicas by number, as log records name them. */
  readonly replicas = new Map<number, OpenReplica>()
  /** Changes of the metadata that read before they write. */
  readonly metadataQueue = new SerialQueue()
  readonly #options: CoreOptions
  readonly #flushes = new SerialQueue()
  readonly #folds = new SerialQueue()
  #mapLog: MapLog | undefined
  #closed = false
  #failure: StorageError | undefined
  #lossRecorded: Promise<void> = Promise.resolve()
  /** Physical pages written since the last flush began, and those that it is making durable. */
  #dirtyPages = new Set<number>()
  #flushingPages = new Set<number>()
  #nextFlush: Promise<void> | undefined
  #nextFold: Promise<void> | undefined
  /** Records up to here, and their data, are durable. */
  #coveredSequence: number
  #lastMappingSequence: number
  #unfolded: Sequenced<MappingRecord>[] = []
  /** Last sequence of the log files that are being folded, also after an attempt that failed. */
  #foldedUpTo: number | undefined
  #freed: FreedPages[] = []
  /** Settles when the pages freed by the last flush can be handed out. */
  #released: Promise<void> = Promise.resolve()
  #releasingPages = 0
  #waitingPages = 0

  private constructor(disk: OpenDisk, options: CoreOptions) {
    this.pages = disk.pages
    this.allocator = disk.allocator
    this.metadata = disk.metadata
    this.#options = options
    this.#coveredSequence = disk.metadata.state.foldedSequence
    this.#lastMappingSequence = this.#coveredSequence
    for (const replica of disk.replicas) this.replicas.set(replica.number, replica)
  }

  static async start(disk: OpenDisk, options: CoreOptions): Promise<StoreCore> {
    const core = new StoreCore(disk, options)
    core.#mapLog = await disk.startLog((entry) => core.#apply(entry))
    return core
  }

  get #log(): MapLog {
    assert(this.#mapLog !== undefined, 'a started store has a log')
    return this.#mapLog
  }

  get failure(): StorageError | undefined {
    return this.#failure
  }

  /** Pages that can be had: free ones, and freed ones that a flush will hand out. */
  get availablePages(): number {
    return this.allocator.freePages + this.#waitingPages
  }

  get needsWork(): boolean {
    return this.#dirtyPages.size > 0 || this.#unfolded.length > 0
  }

  /** Throws when the store takes no operations: asked before one begins. */
  check(): void {
    this.stillStands()
    if (this.#closed) throw new StorageError('conflict', 'the page store is closed')
  }

  /** Throws when the store has failed: asked before an operation is answered with success. */
  stillStands(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Called in the turn in which data turned out to be written, before anyone is told. */
  wrote(atBytes: number, bytes: number): void {
    const end = atBytes + bytes
    for (let page = Math.floor(atBytes / pageBytes); page * pageBytes < end; page++) {
      this.#dirtyPages.add(page)
    }
  }

  /** Resolves when the mapping changes are in the log and in the tables; no-space: they are not. */
  async append(records: readonly MappingRecord[]): Promise<void> {
    try {
      await this.#log.append(records)
    } catch (error) {
      throw isNoSpace(error) ? error : this.fail(error)
    }
    if (this.#log.bytes > store.foldAfterLogBytes) this.foldSoon()
  }

  /** Makes pages free that wait for a flush; throws no-space where none do. */
  async makeSpace(): Promise<void> {
    if (this.#freed.length > 0) await this.flush()
    else if (this.#releasingPages === 0) {
      const { capacityPages } = this.allocator
      throw new StorageError('no-space', `all ${capacityPages} pages of the page store are taken`)
    }
    await this.#released
  }

  /** Everything that had resolved before this call is durable. Calls made together share one. */
  flush(): Promise<void> {
    this.#nextFlush ??= this.#flushes.run(() => {
      this.#nextFlush = undefined
      return this.#flushOnce()
    })
    return this.#nextFlush
  }

  /** Brings the stored page tables up to date and cuts the log. */
  fold(): Promise<void> {
    this.#nextFold ??= this.#folds.run(() => {
      this.#nextFold = undefined
      return this.#foldOnce()
    })
    return this.#nextFold
  }

  /** For those who do not wait; what fails here is tried again, or has stopped the store. */
  foldSoon(): void {
    if (this.#nextFold !== undefined) return
    this.fold().catch((error: unknown) => {
      this.#options.log.warn('folding the mapping log failed', { error: toError(error) })
    })
  }

  /**
   * The store stops: something acknowledged may be lost. Nothing is answered with success any more,
   * and what was not covered by a flush will not count when it is opened again.
   */
  fail(thrown: unknown): StorageError {
    if (this.#failure !== undefined) return this.#failure
    const why = `the page store stopped, unflushed data may be lost: ${toError(thrown).message}`
    this.#failure = new StorageError('io-error', why, thrown)
    this.#options.log.error('page store stopped', { error: this.#failure })
    this.#lossRecorded = this.#recordLoss()
    this.#options.failed?.(this.#failure)
    return this.#failure
  }

  /** Ends all operations; with everything durable and marked as such unless the store has failed. */
  async close(): Promise<void> {
    this.#closed = true
    await this.eras.drained()
    try {
      if (this.#failure !== undefined) {
        // What was under way then has ended now, and is suspect too.
        await this.#lossRecorded
        await this.#recordLoss()
      } else {
        // Where there is no room for the tables the log is read at the next start.
        await this.fold().catch((error: unknown) => {
          if (!isNoSpace(error)) throw error
          return this.flush()
        })
        await this.metadata.commit({ clean: true })
      }
    } finally {
      await this.#lossRecorded
      await this.#folds.idle()
      await this.#flushes.idle()
      await this.#log.close()
      await this.pages.close()
    }
  }

  /** Called for each record in the turn in which it is in the log file, in order. */
  #apply({ sequence, record }: Sequenced<MapRecord>): void {
    if (record.kind === 'flush') return
    const table = this.replicas.get(record.replica)?.table
    assert(table !== undefined, 'a replica has no operations when it is dropped')
    if (record.kind === 'map') {
      const former = table.get(record.page)
      assert((former !== undefined) === (record.replaces === true), 'only a hole is mapped afresh')
      table.set(record.page, record.physical)
      if (former !== undefined) this.#wait(sequence, [former])
    } else this.#wait(sequence, table.clear(record.page, record.count))
    this.#lastMappingSequence = sequence
    this.#unfolded.push({ sequence, record })
  }

  /** Freed pages, until a flush has covered what freed them. */
  #wait(sequence: number, pages: readonly number[]): void {
    this.#freed.push({ sequence, pages })
    this.#waitingPages += pages.length
  }

  /**
   * First the data, then the record that says so. A mapping that is covered therefore has its data,
   * and a page that is handed out again is no longer mapped by anyone, whatever is lost. Where there
   * is no room for the record the data are durable, the mappings are not, and nothing is lost.
   */
  async #flushOnce(): Promise<void> {
    this.stillStands()
    const covers = this.#lastMappingSequence
    if (this.#dirtyPages.size === 0 && covers === this.#coveredSequence) return
    this.#flushingPages = this.#dirtyPages
    this.#dirtyPages = new Set()
    let refused: StorageError | undefined
    try {
      await this.pages.flush()
      if (covers > this.#coveredSequence) {
        const appended = this.#log.append([{ kind: 'flush', covers }])
        refused = await appended.then(() => undefined, refusal)
        if (refused === undefined) await this.#log.sync()
      }
    } catch (error) {
      const failure = this.fail(error)
      // Not before the loss is noted: the kernel tells of it once, and who hears of a failed flush
      // may start this program anew, whose first sync would succeed.
      await this.#lossRecorded
      throw failure
    }
    // Something else may have failed meanwhile, and taken this flush's ground away.
    this.stillStands()
    this.#flushingPages = new Set()
    if (refused !== undefined) throw refused
    this.#coveredSequence = covers
    this.#release(covers)
  }

  #release(covers: number): void {
    const covered = this.#freed.filter(({ sequence }) => sequence <= covers)
    if (covered.length === 0) return
    this.#freed = this.#freed.filter(({ sequence }) => sequence > covers)
    const pages = covered.flatMap((freed) => freed.pages)
    this.#releasingPages += pages.length
    // An operation that began before may still be reading or writing them.
    this.#released = this.eras.drained().then(() => {
      this.#releasingPages -= pages.length
      this.#waitingPages -= pages.length
      this.allocator.release(pages)
    })
  }

  async #foldOnce(): Promise<void> {
    if (this.#unfolded.length === 0) return this.flush()
    // One that failed is tried again with the same files: each try would leave one more.
    this.#foldedUpTo ??= await this.#log.rotate()
    const boundary = this.#foldedUpTo
    await this.flush()
    const folded = this.#unfolded.filter(({ sequence }) => sequence <= boundary)
    const last = folded[folded.length - 1]
    assert(last === undefined || last.sequence <= this.#coveredSequence, 'only what is covered')
    await this.metadataQueue.run(async () => {
      const changes = await foldChanges(this.metadata, folded, new Set(this.replicas.keys()))
      await this.commit({ logNumber: this.#log.number, foldedSequence: boundary }, changes)
    })
    this.#foldedUpTo = undefined
    this.#unfolded = this.#unfolded.filter(({ sequence }) => sequence > boundary)
    await this.#log.discardRetired()
  }

  /**
   * A metadata commit. Its failure stops the store, because nobody knows what is stored then; but
   * not one that found no room, of which nothing is stored.
   */
  async commit(...change: Parameters<StoreMetadata['commit']>): Promise<void> {
    try {
      await this.metadata.commit(...change)
    } catch (error) {
      throw isNoSpace(error) ? error : this.fail(error)
    }
  }

  /**
   * The page cache may hold what the disk does not, and would forget it silently some day: those
   * pages are noted, so that recovery writes them again.
   */
  async #recordLoss(): Promise<void> {
    try {
      const suspects = suspectsEntry([...this.#flushingPages, ...this.#dirtyPages])
      await this.metadata.commit({ lossAfter: this.#coveredSequence }, { put: [suspects] })
    } catch (error) {
      this.#options.log.error('the loss could not be recorded', { error: toError(error) })
    }
  }
}

function refusal(error: unknown): StorageError {
  if (isNoSpace(error)) return error
  throw error
}

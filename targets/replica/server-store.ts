/**
 * The page store of a server over its lives: a store that has failed is opened again under a new
 * incarnation, and meanwhile nothing is served from it. It owns the store that is open now.
 */
import { background } from '../../src/base/background.ts'
import { StorageError, toError } from '../../src/base/errors.ts'
import { storageServer } from '../../src/base/limits.ts'
import type { Cancel } from '../../src/ports/clock.ts'
import { PageStore, type PageStoreOptions } from '../store/page-store.ts'
import type { ReplicaStore } from '../store/replica-store.ts'
import type { SegmentStore } from './segment-store.ts'

export class ServerStore implements SegmentStore {
  readonly #options: PageStoreOptions
  /** Called in the turn in which the store failed, and when it is open again. */
  #changed: () => void = () => undefined
  #store: PageStore | undefined
  #reopening: Promise<void> = Promise.resolve()
  #cancelRetry: Cancel = () => undefined
  #stopped = false

  private constructor(options: Omit<PageStoreOptions, 'failed'>) {
    this.#options = { ...options, failed: () => this.#fail() }
  }

  static async open(options: Omit<PageStoreOptions, 'failed'>): Promise<ServerStore> {
    const store = new ServerStore(options)
    store.#take(await PageStore.open(store.#options))
    return store
  }

  onChange(run: () => void): void {
    this.#changed = run
  }

  get incarnation(): string | undefined {
    return this.#store?.incarnation
  }

  get capacityBytes(): number {
    return this.#store === undefined ? 0 : this.#store.capacityPages * this.#store.pageBytes
  }

  get freeBytes(): number {
    return this.#store === undefined ? 0 : this.#store.freePages * this.#store.pageBytes
  }

  replica(segmentId: string): ReplicaStore | undefined {
    return this.#store?.replica(segmentId)
  }

  replicaBlocks(segmentId: string): number | undefined {
    return this.#open().replica(segmentId)?.blocks
  }

  async createReplica(segmentId: string, blocks: number, blockBytes: number): Promise<void> {
    await this.#open().createReplica(segmentId, blocks, blockBytes)
  }

  async resizeReplica(segmentId: string, blocks: number): Promise<void> {
    await this.#open().resizeReplica(segmentId, blocks)
  }

  async dropReplica(segmentId: string): Promise<void> {
    await this.#open().dropReplica(segmentId)
  }

  /** Makes everything durable and says so on the disk. */
  async close(): Promise<void> {
    this.#stopped = true
    this.#cancelRetry()
    await this.#reopening
    await this.#store?.close()
    this.#store = undefined
  }

  #open(): PageStore {
    if (this.#store !== undefined) return this.#store
    throw new StorageError('io-error', 'the page store is being opened again after a failure')
  }

  /** It may have failed in its first moments, before anybody could be told. */
  #take(store: PageStore): void {
    this.#store = store
    if (store.failure !== undefined) this.#fail()
  }

  #fail(): void {
    const failed = this.#store
    this.#store = undefined
    this.#changed()
    if (failed !== undefined) this.#reopening = this.#reopen(failed)
  }

  async #reopen(failed: PageStore): Promise<void> {
    try {
      await failed.close()
    } catch (error) {
      this.#options.log.warn('failed page store did not close well', { error: toError(error) })
    }
    await this.#openAgain()
  }

  async #openAgain(): Promise<void> {
    if (this.#stopped) return
    try {
      this.#take(await PageStore.open(this.#options))
      this.#options.log.warn('page store opened again', { incarnation: this.incarnation })
      this.#changed()
    } catch (error) {
      this.#options.log.error('page store cannot be opened again', { error: toError(error) })
      this.#cancelRetry = this.#options.clock.after(storageServer.reopenIntervalMs, () => {
        this.#reopening = this.#openAgain()
        background(this.#reopening, () => undefined)
      })
    }
  }
}

/**
 * The page store of one disk: thin replicas in pages of 64 KiB. What it promises: an acknowledged
 * write survives the death of the process, a flushed one the death of the machine; a reused page
 * never shows what its former owner left in it; and where acknowledged data may be lost the
 * incarnation changes. A store that has failed stays dead: `reopen` makes the next life of the disk.
 */
import { assert } from '../../src/base/assert.ts'
import { StorageError } from '../../src/base/errors.ts'
import { pageBytes, smallestBlockBytes, store } from '../../src/base/limits.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import { PageTable } from './page-table.ts'
import { PagedReplica } from './paged-replica.ts'
import { type DiskOptions, openDisk } from './recovery.ts'
import type { ReplicaStore } from './replica-store.ts'
import { StoreCore } from './store-core.ts'
import { chunkKey, replicaEntry, replicaKey } from './store-metadata.ts'

/** The key-value store is the caller's: it is open before and closed after the page store. */
export interface PageStoreOptions extends DiskOptions {
  readonly clock: Clock
  /** Called once when the store has stopped and needs `reopen`, or to be given up. */
  readonly failed?: (error: StorageError) => void
}

export interface ReplicaSummary {
  readonly id: string
  readonly blocks: number
  readonly mappedPages: number
}

const identifier = /^[A-Za-z0-9._:-]{1,200}$/

export class PageStore {
  /** A UUID that the disk keeps for ever. */
  readonly identity: string
  readonly pageBytes = pageBytes
  readonly #options: PageStoreOptions
  readonly #core: StoreCore
  readonly #replicas = new Map<string, { number: number; store: PagedReplica }>()
  #cancelTimer: Cancel = () => undefined

  private constructor(options: PageStoreOptions, identity: string, core: StoreCore) {
    this.#options = options
    this.identity = identity
    this.#core = core
    for (const replica of core.replicas.values()) {
      this.#replicas.set(replica.id, {
        number: replica.number,
        store: new PagedReplica(core, replica),
      })
    }
    this.#schedule()
  }

  /**
   * Opens the disk, or makes it where there is none and a size was given. Rejects with not-a-store,
   * wrong-version, invalid, or with what the disk says.
   */
  static async open(options: PageStoreOptions): Promise<PageStore> {
    const disk = await openDisk(options)
    try {
      return new PageStore(options, disk.identity, await StoreCore.start(disk, options))
    } catch (error) {
      await disk.pages.close()
      throw error
    }
  }

  /** A UUID, another one whenever acknowledged data may have been lost since it was last open. */
  get incarnation(): string {
    return this.#core.metadata.state.incarnation
  }

  get capacityPages(): number {
    return this.#core.allocator.capacityPages
  }

  get freePages(): number {
    return this.#core.allocator.freePages
  }

  /** Mapped, about to be, or freed and not yet to be handed out again. */
  get allocatedPages(): number {
    return this.capacityPages - this.freePages
  }

  /** Why the store has stopped; undefined while it works. */
  get failure(): StorageError | undefined {
    return this.#core.failure
  }

  replicas(): ReplicaSummary[] {
    return [...this.#replicas].map(([id, { store: replica }]) => ({
      id,
      blocks: replica.blocks,
      mappedPages: replica.mappedPages,
    }))
  }

  replica(id: string): ReplicaStore | undefined {
    return this.#replicas.get(id)?.store
  }

  /** Durable when it resolves. Conflict where the id is taken. */
  async createReplica(
    id: string,
    blocks: number,
    blockBytes: number = smallestBlockBytes,
  ): Promise<void> {
    assert(identifier.test(id), `"${id}" can name a replica`)
    checkBlocks(blocks)
    assert(pageBytes % blockBytes === 0, 'a page holds whole blocks')
    await this.#core.metadataQueue.run(async () => {
      this.#core.check()
      if (this.#replicas.has(id)) throw new StorageError('conflict', `replica ${id} exists`)
      const number = this.#core.metadata.state.nextReplica
      const record = { number, blocks, blockBytes }
      await this.#core.commit({ nextReplica: number + 1 }, { put: [replicaEntry(id, record)] })
      const replica = { id, number, blocks, blockBytes, table: new PageTable() }
      this.#core.replicas.set(number, replica)
      this.#replicas.set(id, { number, store: new PagedReplica(this.#core, replica) })
    })
  }

  /** Durable when it resolves. What is cut off is gone, and reads as zeros should it grow again. */
  async resizeReplica(id: string, blocks: number): Promise<void> {
    checkBlocks(blocks)
    const { number, store: paged } = this.#find(id)
    const before = paged.blocks
    try {
      if (blocks < before) {
        await paged.shrink(blocks)
        // Or a loss of power would bring back what lies beyond the end.
        await this.#core.flush()
      }
      await this.#core.metadataQueue.run(async () => {
        this.#core.check()
        await this.#core.commit(
          {},
          { put: [replicaEntry(id, { number, blocks, blockBytes: paged.blockBytes })] },
        )
        this.#setBlocks(number, blocks)
      })
    } catch (error) {
      // Or the next attempt would find it short already, and leave what lies beyond the end.
      this.#setBlocks(number, before)
      throw error
    }
  }

  /** Ends its operations and gives its pages back; durable when it resolves. */
  async dropReplica(id: string): Promise<void> {
    const { number, store: paged } = this.#find(id)
    paged.drop()
    await this.#core.eras.drained()
    await this.#core.metadataQueue.run(async () => {
      this.#core.check()
      const replica = this.#core.replicas.get(number)
      if (replica === undefined) return
      const stored = await this.#core.metadata.chunks(number)
      const chunks = stored.map(({ index }) => chunkKey(number, index))
      await this.#core.commit({}, { remove: [replicaKey(id), ...chunks] })
      // The commit is durable, so nobody's table names these pages after any crash.
      this.#core.replicas.delete(number)
      this.#replicas.delete(id)
      this.#core.allocator.release(replica.table.physicalPages())
    })
  }

  /** Everything acknowledged before this call is durable. Calls made together share one sync. */
  async flush(): Promise<void> {
    this.#core.check()
    return this.#core.flush()
  }

  /**
   * Lets operations end, makes all durable and says so on the disk. Rejects where the store has
   * failed, also before; it is closed all the same.
   */
  async close(): Promise<void> {
    this.#cancelTimer()
    await this.#core.close()
    this.#core.stillStands()
  }

  /** After a failure: the disk as of its last good flush, under a new incarnation. */
  async reopen(): Promise<PageStore> {
    assert(this.#core.failure !== undefined, 'only a store that has failed is opened again')
    this.#cancelTimer()
    await this.#core.close()
    return PageStore.open(this.#options)
  }

  #setBlocks(number: number, blocks: number): void {
    const replica = this.#core.replicas.get(number)
    if (replica !== undefined) replica.blocks = blocks
  }

  #find(id: string): { number: number; store: PagedReplica } {
    this.#core.check()
    const found = this.#replicas.get(id)
    if (found === undefined) throw new StorageError('not-found', `there is no replica ${id}`)
    return found
  }

  /** What nobody flushes is durable after a few seconds all the same, and the log stays short. */
  #schedule(): void {
    this.#cancelTimer = this.#options.clock.after(store.flushIntervalMs, () => {
      if (this.#core.failure !== undefined) return
      if (this.#core.needsWork) this.#core.foldSoon()
      this.#schedule()
    })
  }
}

function checkBlocks(blocks: number): void {
  if (Number.isSafeInteger(blocks) && blocks > 0) return
  throw new StorageError('invalid', `a replica of ${blocks} blocks`)
}

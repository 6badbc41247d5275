/**
 * What holds the blocks of one replica, or of one standalone LUN: a table of pages in a page store
 * or a plain file. It knows neither generations nor SCSI.
 *
 * Acknowledged writes survive the death of the process, flushed ones the death of the machine.
 * Everything rejects with StorageError; `invalid` where a range does not lie inside `blocks`.
 * Of overlapping operations under way together either may come last; callers that need an order
 * make it.
 */
import type { RequestIdentity } from '../../src/volume/request-identity.ts'

export interface ReplicaStore {
  /** Logical blocks; may change while it is open. */
  readonly blocks: number
  readonly blockBytes: number
  /** Unallocated blocks exist, and `unmap` makes them. */
  readonly thin: boolean
  /** The most that `writeAtomic` takes. 0: it has none. */
  readonly atomicBlocks: number
  /** Where blocks are allocated on first write, out of a pool that may be too small for all. */
  readonly space?: StoreSpace
  /** The buffers add up to the range. They may be shared with other reads: never write to them. */
  read(lba: number, blocks: number): Promise<Buffer[]>
  /**
   * What `read` gave is needed no longer: the store may use the buffers again. To be called once or
   * not at all.
   */
  release?(data: readonly Buffer[]): void
  /** The buffers add up to whole blocks and are borrowed until it settles. */
  write(lba: number, data: readonly Buffer[]): Promise<void>
  /**
   * Reads the range and writes what `change` makes of it, with no other write to it in between;
   * undefined leaves it as it is. A store of several replicas makes `once` known with the change.
   */
  update(lba: number, blocks: number, change: Change, once?: OnceChange): Promise<void>
  /** A write of which, after any crash, there is all or nothing, as for every reader. */
  writeAtomic?(lba: number, data: readonly Buffer[]): Promise<void>
  /** Afterwards the range reads as zeros; space is given back where whole pages are covered. */
  unmap(lba: number, blocks: number): Promise<void>
  /** Every write that had resolved before this call survives the death of the machine. */
  flush(): Promise<void>
  /**
   * How many blocks from `lba` on are allocated, or not allocated, like the one at `lba`; it looks
   * no further than `most`.
   */
  run(lba: number, most?: number): BlockRun
}

/** What was read is shared: never written to. What is returned is as long. */
export type Change = (stored: readonly Buffer[]) => readonly Buffer[] | undefined

/** A change that must not be made twice. */
export interface OnceChange {
  readonly identity: RequestIdentity
  /** To be called in the turn in which it was made on the own replica. */
  applied(): void
}

/** In blocks of the replica. */
export interface StoreSpace {
  usedBlocks(): number
  availableBlocks(): number
}

export interface BlockRun {
  readonly mapped: boolean
  readonly blocks: number
}

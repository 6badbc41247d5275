/**
 * One replica in a page store. Pages are looked up, allocated and announced in one turn; the I/O
 * follows. A page under allocation is a hole to readers until its mapping is in the log, and makes
 * other writers wait: so a new page is first written whole, by one writer, then mapped, then
 * shared, and never shows what its former owner left in it.
 */
import { BufferCursor } from '../../src/base/buffer-cursor.ts'
import { StorageError } from '../../src/base/errors.ts'
import { blockBytes, pageBytes, store } from '../../src/base/limits.ts'
import { blocksOf, checkRange } from './block-range.ts'
import type { MappingRecord } from './map-record.ts'
import type { OpenReplica } from './recovery.ts'
import type { BlockRun, ReplicaStore } from './replica-store.ts'
import { settleAll } from './serial-queue.ts'
import type { StoreCore } from './store-core.ts'
import { zeros } from './zeros.ts'

const pageBlocks = pageBytes / blockBytes

/** A part of a range that lies in one page. */
interface Piece {
  readonly page: number
  readonly offsetBytes: number
  readonly bytes: number
}

interface Write {
  readonly atBytes: number
  bytes: number
  readonly buffers: Buffer[]
}

export class PagedReplica implements ReplicaStore {
  readonly thin = true
  readonly #core: StoreCore
  readonly #replica: OpenReplica
  /** Pages being written for the first time; settles, never rejects, when that has ended. */
  readonly #allocating = new Map<number, Promise<void>>()
  #dropped = false

  constructor(core: StoreCore, replica: OpenReplica) {
    this.#core = core
    this.#replica = replica
  }

  get blocks(): number {
    return this.#replica.blocks
  }

  get mappedPages(): number {
    return this.#replica.table.mappedPages
  }

  async read(lba: number, blocks: number): Promise<Buffer[]> {
    this.#check(lba, blocks)
    const era = this.#core.eras.enter()
    try {
      const parts: Buffer[] = []
      await settleAll(this.#startReads(lba, blocks, parts))
      // After a failure the data may not be those that count.
      this.#core.stillStands()
      return parts
    } finally {
      era.leave()
    }
  }

  async write(lba: number, data: readonly Buffer[]): Promise<void> {
    const blocks = blocksOf(data)
    for (;;) {
      this.#check(lba, blocks)
      const first = Math.floor(lba / pageBlocks)
      const end = Math.ceil((lba + blocks) / pageBlocks)
      const busy = this.#allocationsIn(first, end)
      if (busy.length > 0) {
        await Promise.all(busy)
        continue
      }
      const fresh = this.#takePages(first, end)
      if (fresh !== undefined) return this.#writeNow(lba, data, fresh)
      await this.#core.makeSpace()
    }
  }

  async unmap(lba: number, blocks: number): Promise<void> {
    this.#check(lba, blocks)
    await this.#unmapUpTo(lba, lba + blocks, this.blocks)
  }

  async flush(): Promise<void> {
    this.#core.check()
    return this.#core.flush()
  }

  run(lba: number): BlockRun {
    this.#check(lba, 1)
    const page = Math.floor(lba / pageBlocks)
    const { table } = this.#replica
    const mapped = table.get(page) !== undefined
    const end = table.next(page, Math.ceil(this.blocks / pageBlocks), !mapped)
    return { mapped, blocks: Math.min(end * pageBlocks, this.blocks) - lba }
  }

  /** No operation begins any more; those under way go on. */
  drop(): void {
    this.#dropped = true
  }

  /** Cuts what lies beyond `blocks`, so that it reads as zeros should the replica grow again. */
  async shrink(blocks: number): Promise<void> {
    const before = this.#replica.blocks
    this.#replica.blocks = blocks
    await this.#core.eras.drained()
    await this.#unmapUpTo(blocks, before, before)
  }

  #check(lba: number, blocks: number): void {
    if (this.#dropped) throw new StorageError('not-found', `replica ${this.#replica.id} is gone`)
    this.#core.check()
    checkRange(lba, blocks, this.#replica.blocks)
  }

  #startReads(lba: number, blocks: number, parts: Buffer[]): Promise<void>[] {
    const { table } = this.#replica
    const reads: Promise<void>[] = []
    let atBytes = 0
    let runBytes = 0
    const readRun = (): void => {
      if (runBytes === 0) return
      const buffer = Buffer.allocUnsafe(runBytes)
      parts.push(buffer)
      reads.push(this.#core.pages.read(buffer, atBytes))
      runBytes = 0
    }
    for (const { page, offsetBytes, bytes } of piecesOf(lba, blocks)) {
      const physical = table.get(page)
      if (physical === undefined) {
        readRun()
        parts.push(...zeros(bytes))
        continue
      }
      const pieceAt = physical * pageBytes + offsetBytes
      if (runBytes === 0 || pieceAt !== atBytes + runBytes) {
        readRun()
        atBytes = pieceAt
      }
      runBytes += bytes
    }
    readRun()
    return reads
  }

  #allocationsIn(first: number, end: number): Promise<void>[] {
    const busy: Promise<void>[] = []
    for (const [page, ended] of this.#allocating) {
      if (page >= first && page < end) busy.push(ended)
    }
    return busy
  }

  /** Physical pages for the holes of a run; undefined, and nothing taken, when too few are free. */
  #takePages(first: number, end: number): Map<number, number> | undefined {
    const { allocator } = this.#core
    const { table } = this.#replica
    const fresh = new Map<number, number>()
    for (
      let page = table.next(first, end, false);
      page < end;
      page = table.next(page + 1, end, false)
    ) {
      const physical = allocator.take()
      if (physical === undefined) {
        allocator.release([...fresh.values()])
        return undefined
      }
      fresh.set(page, physical)
    }
    return fresh
  }

  /** Runs up to its first I/O in the turn in which the pages were taken. */
  async #writeNow(
    lba: number,
    data: readonly Buffer[],
    fresh: ReadonlyMap<number, number>,
  ): Promise<void> {
    const era = this.#core.eras.enter()
    const announced = this.#announce(fresh)
    try {
      await this.#writeData(lba, data, fresh)
      if (fresh.size > 0) await this.#core.append(this.#mappings(fresh))
      this.#core.stillStands()
    } finally {
      announced()
      era.leave()
    }
  }

  /** Makes other writers of these pages wait until the answer is called. */
  #announce(fresh: ReadonlyMap<number, number>): () => void {
    if (fresh.size === 0) return () => undefined
    let settle = (): void => undefined
    const ended = new Promise<void>((resolve) => {
      settle = resolve
    })
    for (const page of fresh.keys()) this.#allocating.set(page, ended)
    return () => {
      for (const page of fresh.keys()) this.#allocating.delete(page)
      settle()
    }
  }

  async #writeData(
    lba: number,
    data: readonly Buffer[],
    fresh: ReadonlyMap<number, number>,
  ): Promise<void> {
    const { pages, allocator } = this.#core
    const writes = this.#planWrites(lba, data, fresh)
    try {
      await settleAll(writes.map(({ buffers, atBytes }) => pages.write(buffers, atBytes)))
      for (const { atBytes, bytes } of writes) this.#core.wrote(atBytes, bytes)
    } catch (error) {
      // Never mapped, and no I/O on them is left: the next owner writes them whole again.
      allocator.release([...fresh.values()])
      throw error
    }
  }

  /** One write for pieces that lie one after the other; a fresh page is filled up with zeros. */
  #planWrites(lba: number, data: readonly Buffer[], fresh: ReadonlyMap<number, number>): Write[] {
    const cursor = new BufferCursor(data)
    const writes: Write[] = []
    for (const { page, offsetBytes, bytes } of piecesOf(lba, blocksOf(data))) {
      const physical = fresh.get(page)
      const buffers = cursor.take(bytes)
      let atBytes = (physical ?? this.#replica.table.get(page) ?? 0) * pageBytes + offsetBytes
      let pieceBytes = bytes
      if (physical !== undefined) {
        buffers.unshift(...zeros(offsetBytes))
        buffers.push(...zeros(pageBytes - offsetBytes - bytes))
        atBytes = physical * pageBytes
        pieceBytes = pageBytes
      }
      const last = writes[writes.length - 1]
      if (last !== undefined && last.atBytes + last.bytes === atBytes) {
        last.buffers.push(...buffers)
        last.bytes += pieceBytes
      } else writes.push({ atBytes, bytes: pieceBytes, buffers })
    }
    return writes
  }

  #mappings(fresh: ReadonlyMap<number, number>): MappingRecord[] {
    const replica = this.#replica.number
    return [...fresh].map(([page, physical]) => ({ kind: 'map', replica, page, physical }))
  }

  /** `size`: where the replica ends; its last page counts as whole when the range reaches there. */
  async #unmapUpTo(from: number, to: number, size: number): Promise<void> {
    const firstWhole = Math.ceil(from / pageBlocks)
    const endWhole = to === size ? Math.ceil(to / pageBlocks) : Math.floor(to / pageBlocks)
    if (firstWhole > endWhole) return this.#zero(from, to - from)
    await this.#zero(from, Math.min(firstWhole * pageBlocks, to) - from)
    for (let page = firstWhole; page < endWhole; page += store.largestFreeRun) {
      await this.#free(page, Math.min(store.largestFreeRun, endWhole - page))
    }
    const tail = Math.max(endWhole, firstWhole) * pageBlocks
    if (tail < to) await this.#zero(tail, to - tail)
  }

  async #free(page: number, count: number): Promise<void> {
    await this.#untilAllocated(page, page + count)
    if (!this.#replica.table.anyMapped(page, count)) return
    const era = this.#core.eras.enter()
    try {
      await this.#core.append([{ kind: 'free', replica: this.#replica.number, page, count }])
      this.#core.stillStands()
    } finally {
      era.leave()
    }
  }

  /** Zeros a part of one page, where there is a page. */
  async #zero(lba: number, blocks: number): Promise<void> {
    if (blocks <= 0) return
    const page = Math.floor(lba / pageBlocks)
    await this.#untilAllocated(page, page + 1)
    const physical = this.#replica.table.get(page)
    if (physical === undefined) return
    const era = this.#core.eras.enter()
    try {
      const atBytes = physical * pageBytes + (lba % pageBlocks) * blockBytes
      await this.#core.pages.write(zeros(blocks * blockBytes), atBytes)
      this.#core.wrote(atBytes, blocks * blockBytes)
      this.#core.stillStands()
    } finally {
      era.leave()
    }
  }

  async #untilAllocated(first: number, end: number): Promise<void> {
    for (;;) {
      this.#core.check()
      const busy = this.#allocationsIn(first, end)
      if (busy.length === 0) return
      await Promise.all(busy)
    }
  }
}

function piecesOf(lba: number, blocks: number): Piece[] {
  const pieces: Piece[] = []
  const end = (lba + blocks) * blockBytes
  for (let at = lba * blockBytes; at < end; ) {
    const page = Math.floor(at / pageBytes)
    const offsetBytes = at - page * pageBytes
    const bytes = Math.min(pageBytes - offsetBytes, end - at)
    pieces.push({ page, offsetBytes, bytes })
    at += bytes
  }
  return pieces
}

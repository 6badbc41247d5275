/**
 * One replica in a page store. Pages are looked up, allocated and announced in one turn; the I/O
 * follows. A page under allocation is a hole to readers until its mapping is in the log, and makes
 * other writers wait: so a new page is first written whole, by one writer, then mapped, then
 * shared, and never shows what its former owner left in it.
 */
import { assert } from '../../src/base/assert.ts'
import { BufferCursor } from '../../src/base/buffer-cursor.ts'
import { StorageError } from '../../src/base/errors.ts'
import { atomicBytes, pageBytes, store } from '../../src/base/limits.ts'
import { blocksOf, checkRange } from './block-range.ts'
import { BusyPages } from './busy-pages.ts'
import type { MappingRecord } from './map-record.ts'
import { isNoSpace } from './no-space.ts'
import type { Era } from './operation-eras.ts'
import { type Piece, piecesOf } from './page-pieces.ts'
import type { OpenReplica } from './recovery.ts'
import type { BlockRun, Change, ReplicaStore, StoreSpace } from './replica-store.ts'
import { settleAll } from './serial-queue.ts'
import type { StoreCore } from './store-core.ts'
import { zeros } from './zeros.ts'

interface Write {
  readonly atBytes: number
  bytes: number
  readonly buffers: Buffer[]
}

/** Pages from `first` up to `end`. */
interface PageRun {
  readonly first: number
  readonly end: number
}

const nothing = (): void => undefined

export class PagedReplica implements ReplicaStore {
  readonly thin = true
  readonly blockBytes: number
  readonly atomicBlocks: number
  readonly space: StoreSpace
  readonly #pageBlocks: number
  readonly #core: StoreCore
  readonly #replica: OpenReplica
  /** Pages that are being written for the first time, or changed by one operation alone. */
  readonly #busy = new BusyPages()
  #dropped = false

  constructor(core: StoreCore, replica: OpenReplica) {
    this.#core = core
    this.#replica = replica
    this.blockBytes = replica.blockBytes
    this.#pageBlocks = pageBytes / replica.blockBytes
    this.atomicBlocks = atomicBytes / replica.blockBytes
    this.space = {
      usedBlocks: () => replica.table.mappedPages * this.#pageBlocks,
      availableBlocks: () => core.availablePages * this.#pageBlocks,
    }
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
    const blocks = blocksOf(data, this.blockBytes)
    const first = Math.floor(lba / this.#pageBlocks)
    const end = Math.ceil((lba + blocks) / this.#pageBlocks)
    for (;;) {
      this.#check(lba, blocks)
      const busy = this.#busy.within(first, end)
      if (busy.length > 0) {
        await Promise.all(busy)
        continue
      }
      const fresh = this.#takePages(first, end)
      if (fresh !== undefined) {
        const free = fresh.size === 0 ? nothing : this.#busy.take(fresh.keys())
        return this.#writeNow(lba, data, fresh, free)
      }
      await this.#core.makeSpace()
    }
  }

  async update(lba: number, blocks: number, change: Change): Promise<void> {
    await this.#alone(lba, blocks, async () => {
      const data = change(await this.read(lba, blocks))
      if (data !== undefined) await this.#writeTaken(lba, data)
    })
  }

  /** Whole pages to other places; records that count only together make them the pages. */
  async writeAtomic(lba: number, data: readonly Buffer[]): Promise<void> {
    const blocks = blocksOf(data, this.blockBytes)
    if (blocks > this.atomicBlocks) throw new StorageError('invalid', `${blocks} blocks at once`)
    await this.#alone(lba, blocks, async () => {
      const fresh = await this.#takeFresh(this.#pagesOf(lba, blocks), () =>
        this.#check(lba, blocks),
      )
      const era = this.#core.eras.enter()
      try {
        await this.#writeCopies(lba, data, fresh)
        await this.#map(this.#joinedMappings(fresh), fresh)
        this.#core.stillStands()
      } finally {
        era.leave()
      }
    })
  }

  async unmap(lba: number, blocks: number): Promise<void> {
    this.#check(lba, blocks)
    await this.#unmapUpTo(lba, lba + blocks, this.blocks)
  }

  async flush(): Promise<void> {
    this.#core.check()
    return this.#core.flush()
  }

  run(lba: number, most = this.blocks): BlockRun {
    this.#check(lba, 1)
    const pageBlocks = this.#pageBlocks
    const page = Math.floor(lba / pageBlocks)
    const { table } = this.#replica
    const mapped = table.get(page) !== undefined
    const endBlock = Math.min(this.blocks, lba + most)
    const end = table.next(page, Math.ceil(endBlock / pageBlocks), !mapped)
    return { mapped, blocks: Math.min(end * pageBlocks, endBlock) - lba }
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

  #pagesOf(lba: number, blocks: number): PageRun {
    const first = Math.floor(lba / this.#pageBlocks)
    return { first, end: Math.ceil((lba + blocks) / this.#pageBlocks) }
  }

  /**
   * Runs a job with nobody else writing in the pages of a range: who comes waits for their end, and
   * the job for the end of who came before, whatever it does. So plain writes pay nothing for it.
   */
  async #alone(lba: number, blocks: number, job: () => Promise<void>): Promise<void> {
    const { first, end } = this.#pagesOf(lba, blocks)
    const free = await this.#busy.takeRun(first, end, () => this.#check(lba, blocks))
    try {
      await this.#core.eras.drained()
      await job()
    } finally {
      free()
    }
  }

  /** A write to pages that are this operation's alone. */
  async #writeTaken(lba: number, data: readonly Buffer[]): Promise<void> {
    const blocks = blocksOf(data, this.blockBytes)
    for (;;) {
      this.#check(lba, blocks)
      const { first, end } = this.#pagesOf(lba, blocks)
      const fresh = this.#takePages(first, end)
      if (fresh !== undefined) return this.#writeNow(lba, data, fresh, nothing)
      await this.#core.makeSpace()
    }
  }

  /** A physical page for each page of a run, whatever is there now. Logical page -> physical page. */
  async #takeFresh({ first, end }: PageRun, check: () => void): Promise<Map<number, number>> {
    const { allocator } = this.#core
    const fresh = new Map<number, number>()
    try {
      for (let page = first; page < end; ) {
        check()
        const physical = allocator.take()
        if (physical === undefined) await this.#core.makeSpace()
        else fresh.set(page++, physical)
      }
      return fresh
    } catch (error) {
      allocator.release([...fresh.values()])
      throw error
    }
  }

  /** Writes pages as they are to be: what is there now, with the data over it. */
  async #writeCopies(
    lba: number,
    data: readonly Buffer[],
    fresh: ReadonlyMap<number, number>,
  ): Promise<void> {
    const { pages } = this.#core
    const cursor = new BufferCursor(data)
    const lengthBytes = blocksOf(data, this.blockBytes) * this.blockBytes
    try {
      // Since they were taken, a turn has gone by.
      this.#check(lba, blocksOf(data, this.blockBytes))
      for (const piece of piecesOf(lba * this.blockBytes, lengthBytes)) {
        const atBytes = fresh.get(piece.page)! * pageBytes
        await pages.write(await this.#overlaid(piece, cursor.take(piece.bytes)), atBytes)
        this.#core.wrote(atBytes, pageBytes)
      }
    } catch (error) {
      this.#giveBack(fresh, error)
      throw error
    }
  }

  async #overlaid({ page, offsetBytes, bytes }: Piece, data: Buffer[]): Promise<Buffer[]> {
    if (bytes === pageBytes) return data
    const former = this.#replica.table.get(page)
    const endBytes = offsetBytes + bytes
    if (former === undefined)
      return [...zeros(offsetBytes), ...data, ...zeros(pageBytes - endBytes)]
    const content = Buffer.allocUnsafe(pageBytes)
    await this.#core.pages.read(content, former * pageBytes)
    return [content.subarray(0, offsetBytes), ...data, content.subarray(endBytes)]
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
    const { blockBytes } = this
    for (const { page, offsetBytes, bytes } of piecesOf(lba * blockBytes, blocks * blockBytes)) {
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

  /**
   * Runs up to its first I/O in the turn in which the pages were taken. `free` makes the fresh ones
   * everybody's again.
   */
  async #writeNow(
    lba: number,
    data: readonly Buffer[],
    fresh: ReadonlyMap<number, number>,
    free: () => void,
  ): Promise<void> {
    const era = this.#core.eras.enter()
    try {
      await this.#writeData(lba, data, fresh)
      if (fresh.size > 0) await this.#map(this.#mappings(fresh), fresh)
      this.#core.stillStands()
    } finally {
      free()
      era.leave()
    }
  }

  async #writeData(
    lba: number,
    data: readonly Buffer[],
    fresh: ReadonlyMap<number, number>,
  ): Promise<void> {
    const { pages } = this.#core
    const writes = this.#planWrites(lba, data, fresh)
    try {
      await settleAll(writes.map(({ buffers, atBytes }) => pages.write(buffers, atBytes)))
      for (const { atBytes, bytes } of writes) this.#core.wrote(atBytes, bytes)
    } catch (error) {
      // Some of it may be there, and be read: the next flush has to make it durable.
      for (const { atBytes, bytes } of writes) this.#core.wrote(atBytes, bytes)
      this.#giveBack(fresh, error)
      throw error
    }
  }

  /** One write for pieces that lie one after the other; a fresh page is filled up with zeros. */
  #planWrites(lba: number, data: readonly Buffer[], fresh: ReadonlyMap<number, number>): Write[] {
    const cursor = new BufferCursor(data)
    const writes: Write[] = []
    const { blockBytes } = this
    const lengthBytes = blocksOf(data, blockBytes) * blockBytes
    for (const { page, offsetBytes, bytes } of piecesOf(lba * blockBytes, lengthBytes)) {
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

  /** What is refused leaves the tables as they are, and the pages are nobody's again. */
  async #map(records: readonly MappingRecord[], fresh: ReadonlyMap<number, number>): Promise<void> {
    try {
      await this.#core.append(records)
    } catch (error) {
      this.#core.allocator.release([...fresh.values()])
      throw error
    }
  }

  /** Never mapped, and no I/O on them is left: the next owner writes them whole again. */
  #giveBack(fresh: ReadonlyMap<number, number>, error: unknown): void {
    const { allocator } = this.#core
    if (fresh.size > 0 && isNoSpace(error)) allocator.preferLowest()
    allocator.release([...fresh.values()])
  }

  #joinedMappings(fresh: ReadonlyMap<number, number>): MappingRecord[] {
    const { table } = this.#replica
    return this.#mappings(fresh).map((record, i) => {
      assert(record.kind === 'map', 'a mapping is a map record')
      const replaces = table.get(record.page) !== undefined
      const joined = i < fresh.size - 1
      return { ...record, ...(replaces && { replaces }), ...(joined && { joined }) }
    })
  }

  #mappings(fresh: ReadonlyMap<number, number>): MappingRecord[] {
    const replica = this.#replica.number
    return [...fresh].map(([page, physical]) => ({ kind: 'map', replica, page, physical }))
  }

  /** `size`: where the replica ends; its last page counts as whole when the range reaches there. */
  async #unmapUpTo(from: number, to: number, size: number): Promise<void> {
    const pageBlocks = this.#pageBlocks
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
    const era = await this.#enterWhenFree(page, page + count)
    try {
      if (!this.#replica.table.anyMapped(page, count)) return
      await this.#core.append([{ kind: 'free', replica: this.#replica.number, page, count }])
      this.#core.stillStands()
    } finally {
      era.leave()
    }
  }

  /** Zeros a part of one page, where there is a page. */
  async #zero(lba: number, blocks: number): Promise<void> {
    if (blocks <= 0) return
    const page = Math.floor(lba / this.#pageBlocks)
    const era = await this.#enterWhenFree(page, page + 1)
    try {
      const physical = this.#replica.table.get(page)
      if (physical === undefined) return
      const atBytes = physical * pageBytes + (lba % this.#pageBlocks) * this.blockBytes
      try {
        await this.#core.pages.write(zeros(blocks * this.blockBytes), atBytes)
      } finally {
        this.#core.wrote(atBytes, blocks * this.blockBytes)
      }
      this.#core.stillStands()
    } finally {
      era.leave()
    }
  }

  /** Entered in the turn in which they were free: who takes them next waits for this operation. */
  async #enterWhenFree(first: number, end: number): Promise<Era> {
    for (;;) {
      this.#core.check()
      const busy = this.#busy.within(first, end)
      if (busy.length === 0) return this.#core.eras.enter()
      await Promise.all(busy)
    }
  }
}

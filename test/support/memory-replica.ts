/**
 * A ReplicaStore in memory: pages that were written once, in a map. Every operation takes as many
 * turns as its `pause` says, before and after the one instant at which it has its effect.
 */
import { StorageError } from '../../src/base/errors.ts'
import { pageBytes } from '../../src/base/limits.ts'
import { blocksOf, checkRange } from '../../targets/store/block-range.ts'
import type { BlockRun, Change, ReplicaStore } from '../../targets/store/replica-store.ts'
import { zeros } from '../../targets/store/zeros.ts'

export interface MemoryReplicaOptions {
  readonly blocks: number
  readonly blockBytes?: number
  readonly pause?: () => Promise<void>
}

export class MemoryReplica implements ReplicaStore {
  readonly thin = true
  readonly blocks: number
  readonly blockBytes: number
  readonly atomicBlocks: number
  readonly pages = new Map<number, Buffer>()
  readsBlocks = 0
  flushes = 0
  /** Blocks that cannot be read until they are written again. */
  readonly unreadable = new Set<number>()
  /** What was in a page at the last flush, of those changed since. */
  readonly #unflushed = new Map<number, Buffer | undefined>()
  readonly #pause: () => Promise<void>

  constructor({
    blocks,
    blockBytes = 4096,
    pause = () => Promise.resolve(),
  }: MemoryReplicaOptions) {
    this.blocks = blocks
    this.blockBytes = blockBytes
    this.atomicBlocks = pageBytes / blockBytes
    this.#pause = pause
  }

  async read(lba: number, blocks: number): Promise<Buffer[]> {
    checkRange(lba, blocks, this.blocks)
    await this.#pause()
    for (let at = lba; at < lba + blocks; at++) {
      if (this.unreadable.has(at)) throw new StorageError('io-error', `block ${at}`)
    }
    const data = this.content(lba, blocks)
    this.readsBlocks += blocks
    await this.#pause()
    return [data]
  }

  async write(lba: number, data: readonly Buffer[]): Promise<void> {
    const blocks = blocksOf(data, this.blockBytes)
    checkRange(lba, blocks, this.blocks)
    await this.#pause()
    this.put(lba, Buffer.concat(data))
    await this.#pause()
  }

  writeAtomic(lba: number, data: readonly Buffer[]): Promise<void> {
    return this.write(lba, data)
  }

  async update(lba: number, blocks: number, change: Change): Promise<void> {
    await this.#pause()
    const data = change([this.content(lba, blocks)])
    if (data !== undefined) this.put(lba, Buffer.concat(data))
    await this.#pause()
  }

  async unmap(lba: number, blocks: number): Promise<void> {
    checkRange(lba, blocks, this.blocks)
    await this.#pause()
    this.clear(lba, blocks)
    await this.#pause()
  }

  async flush(): Promise<void> {
    await this.#pause()
    this.flushes++
    this.#unflushed.clear()
  }

  /** The machine dies: what was not flushed is as it was before. */
  loseUnflushed(): void {
    for (const [page, content] of this.#unflushed) {
      if (content === undefined) this.pages.delete(page)
      else this.pages.set(page, content)
    }
    this.#unflushed.clear()
  }

  run(lba: number, most = this.blocks): BlockRun {
    checkRange(lba, 1, this.blocks)
    const end = Math.min(this.blocks, lba + most)
    const mapped = this.pages.has(this.#page(lba))
    let at = lba
    while (at < end && this.pages.has(this.#page(at)) === mapped) {
      at = (this.#page(at) + 1) * this.#pageBlocks
    }
    return { mapped, blocks: Math.min(at, end) - lba }
  }

  /** At once, as it is now. */
  content(lba: number, blocks: number): Buffer {
    const parts: Buffer[] = []
    this.#each(lba, blocks, (page, offset, bytes) => {
      const held = this.pages.get(page)
      parts.push(...(held === undefined ? zeros(bytes) : [held.subarray(offset, offset + bytes)]))
    })
    return Buffer.concat(parts)
  }

  put(lba: number, data: Buffer): void {
    let done = 0
    this.#each(lba, data.length / this.blockBytes, (page, offset, bytes) => {
      this.#remember(page)
      const held = this.pages.get(page) ?? Buffer.alloc(pageBytes)
      this.pages.set(page, held)
      data.copy(held, offset, done, done + bytes)
      done += bytes
    })
    for (let at = lba; at < lba + done / this.blockBytes; at++) this.unreadable.delete(at)
  }

  clear(lba: number, blocks: number): void {
    this.#each(lba, blocks, (page, offset, bytes) => {
      this.#remember(page)
      const end = Math.min(pageBytes, (this.blocks - page * this.#pageBlocks) * this.blockBytes)
      if (offset === 0 && bytes === end) this.pages.delete(page)
      else this.pages.get(page)?.fill(0, offset, offset + bytes)
    })
  }

  /** Pages that read differently there. */
  differences(other: MemoryReplica): number[] {
    const differing: number[] = []
    for (const page of new Set([...this.pages.keys(), ...other.pages.keys()])) {
      const own = this.pages.get(page) ?? zeros(pageBytes)[0]!
      if (!own.equals(other.pages.get(page) ?? zeros(pageBytes)[0]!)) differing.push(page)
    }
    return differing
  }

  #remember(page: number): void {
    if (this.#unflushed.has(page)) return
    const content = this.pages.get(page)
    this.#unflushed.set(page, content === undefined ? undefined : Buffer.from(content))
  }

  #each(lba: number, blocks: number, run: (page: number, offset: number, bytes: number) => void) {
    const end = lba + blocks
    for (let at = lba; at < end; ) {
      const page = this.#page(at)
      const next = Math.min(end, (page + 1) * this.#pageBlocks)
      run(page, (at % this.#pageBlocks) * this.blockBytes, (next - at) * this.blockBytes)
      at = next
    }
  }

  #page(lba: number): number {
    return Math.floor(lba / this.#pageBlocks)
  }

  get #pageBlocks(): number {
    return pageBytes / this.blockBytes
  }
}

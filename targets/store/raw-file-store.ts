/**
 * A plain file or block device as a disk: block n is at n times its size and there is no page table.
 * For `palisade target --standalone`. Every block is allocated; unmapping writes zeros. After a failed
 * flush nobody knows what the disk holds of what was acknowledged, and the kernel would answer the
 * next flush with success: so nothing is served any more until the program is started again.
 */
import { BufferPool } from '../../src/base/buffer-pool.ts'
import { StorageError, toError } from '../../src/base/errors.ts'
import { pageBytes, smallestBlockBytes, store } from '../../src/base/limits.ts'
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'
import { blocksOf, checkRange } from './block-range.ts'
import { BusyPages } from './busy-pages.ts'
import { OperationEras } from './operation-eras.ts'
import type { BlockRun, Change, ReplicaStore } from './replica-store.ts'
import { SerialQueue } from './serial-queue.ts'
import { zeros } from './zeros.ts'

export interface RawFileOptions {
  readonly files: BlockFiles
  readonly name: string
  /** Makes the file, or lets it grow to this; without it the file must exist. */
  readonly sizeBytes?: number
  readonly blockBytes?: number
}

export class RawFileStore implements ReplicaStore {
  readonly thin = false
  /** A write of a file is torn wherever the power fails. */
  readonly atomicBlocks = 0
  readonly blocks: number
  readonly blockBytes: number
  readonly #file: BlockFile
  readonly #pool = new BufferPool(store.readPoolBytes)
  readonly #flushes = new SerialQueue()
  #nextFlush: Promise<void> | undefined
  /** Stretches of the file, as long as a page, that one `update` has for itself. */
  readonly #busy = new BusyPages()
  readonly #writes = new OperationEras()
  #failure: StorageError | undefined

  private constructor(file: BlockFile, blockBytes: number) {
    this.#file = file
    this.blockBytes = blockBytes
    this.blocks = file.sizeBytes / blockBytes
  }

  static async open(options: RawFileOptions): Promise<RawFileStore> {
    const { files, name, sizeBytes, blockBytes = smallestBlockBytes } = options
    const file = await files.open(name, { create: sizeBytes !== undefined })
    try {
      if (sizeBytes !== undefined) await growTo(file, name, sizeBytes)
      if (file.sizeBytes === 0 || file.sizeBytes % blockBytes !== 0) {
        const why = `holds ${file.sizeBytes} bytes: not a multiple of ${blockBytes}, or none`
        throw new StorageError('invalid', `${name} ${why}`)
      }
    } catch (error) {
      await file.close()
      throw error
    }
    return new RawFileStore(file, blockBytes)
  }

  async read(lba: number, blocks: number): Promise<Buffer[]> {
    this.#stillStands()
    checkRange(lba, blocks, this.blocks)
    const buffer = this.#pool.take(blocks * this.blockBytes)
    await this.#file.read(buffer, lba * this.blockBytes)
    return [buffer]
  }

  release(data: readonly Buffer[]): void {
    for (const buffer of data) this.#pool.give(buffer)
  }

  /** Chains one promise while nobody has stretches for itself: it is the path that is measured. */
  write(lba: number, data: readonly Buffer[]): Promise<void> {
    if (!this.#busy.empty) return this.#writeWhenFree(lba, data)
    try {
      this.#stillStands()
      checkRange(lba, blocksOf(data, this.blockBytes), this.blocks)
    } catch (error) {
      return Promise.reject(error)
    }
    return this.#writeNow(lba, data)
  }

  async #writeWhenFree(lba: number, data: readonly Buffer[]): Promise<void> {
    const blocks = blocksOf(data, this.blockBytes)
    for (;;) {
      this.#stillStands()
      checkRange(lba, blocks, this.blocks)
      const { first, end } = this.#stretches(lba, blocks)
      const busy = this.#busy.within(first, end)
      if (busy.length === 0) return this.#writeNow(lba, data)
      await Promise.all(busy)
    }
  }

  /** Entered in the turn in which nobody had these stretches. */
  #writeNow(lba: number, data: readonly Buffer[]): Promise<void> {
    const era = this.#writes.enter()
    return this.#file.write(data, lba * this.blockBytes).then(era.left, era.leftFailing)
  }

  async update(lba: number, blocks: number, change: Change): Promise<void> {
    const { first, end } = this.#stretches(lba, blocks)
    const free = await this.#busy.takeRun(first, end, () => {
      this.#stillStands()
      checkRange(lba, blocks, this.blocks)
    })
    try {
      await this.#writes.drained()
      const stored = await this.read(lba, blocks)
      const data = change(stored)
      if (data !== undefined) await this.#writeNow(lba, data)
      this.release(stored)
    } finally {
      free()
    }
  }

  async unmap(lba: number, blocks: number): Promise<void> {
    checkRange(lba, blocks, this.blocks)
    const pieceBlocks = store.zeroingPieceBytes / this.blockBytes
    for (let done = 0; done < blocks; done += pieceBlocks) {
      const piece = Math.min(pieceBlocks, blocks - done)
      await this.write(lba + done, zeros(piece * this.blockBytes))
    }
  }

  #stretches(lba: number, blocks: number): { readonly first: number; readonly end: number } {
    const first = Math.floor((lba * this.blockBytes) / pageBytes)
    return { first, end: Math.ceil(((lba + blocks) * this.blockBytes) / pageBytes) }
  }

  /** One at a time, for the kernel tells of a loss only once; calls made together share one. */
  flush(): Promise<void> {
    this.#nextFlush ??= this.#flushes.run(() => {
      this.#nextFlush = undefined
      return this.#flushOnce()
    })
    return this.#nextFlush
  }

  async #flushOnce(): Promise<void> {
    this.#stillStands()
    try {
      await this.#file.flush()
    } catch (error) {
      const why = `given up, unflushed data may be lost: ${toError(error).message}`
      this.#failure = new StorageError('io-error', why, error)
      throw this.#failure
    }
  }

  run(lba: number, most = this.blocks): BlockRun {
    checkRange(lba, 1, this.blocks)
    return { mapped: true, blocks: Math.min(this.blocks - lba, most) }
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  #stillStands(): void {
    if (this.#failure !== undefined) throw this.#failure
  }
}

async function growTo(file: BlockFile, name: string, sizeBytes: number): Promise<void> {
  if (file.sizeBytes > sizeBytes) {
    const why = `holds ${file.sizeBytes} bytes, more than the ${sizeBytes} asked for`
    throw new StorageError('invalid', `${name} ${why}: leave the size out, or give the real one`)
  }
  if (file.sizeBytes < sizeBytes) {
    await file.resize(sizeBytes)
    await file.flush()
  }
}

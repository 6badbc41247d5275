/**
 * A plain file or block device as a disk: block n is at byte n * 512 and there is no page table.
 * For `palisade target --standalone`. Every block is allocated; unmapping writes zeros. After a failed
 * flush nobody knows what the disk holds of what was acknowledged, and the kernel would answer the
 * next flush with success: so nothing is served any more until the program is started again.
 */
import { BufferPool } from '../../src/base/buffer-pool.ts'
import { StorageError, toError } from '../../src/base/errors.ts'
import { blockBytes, store } from '../../src/base/limits.ts'
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'
import { blocksOf, checkRange } from './block-range.ts'
import type { BlockRun, ReplicaStore } from './replica-store.ts'
import { SerialQueue } from './serial-queue.ts'
import { zeros } from './zeros.ts'

export interface RawFileOptions {
  readonly files: BlockFiles
  readonly name: string
  /** Makes the file, or lets it grow to this; without it the file must exist. */
  readonly sizeBytes?: number
}

export class RawFileStore implements ReplicaStore {
  readonly thin = false
  readonly blocks: number
  readonly #file: BlockFile
  readonly #pool = new BufferPool(store.readPoolBytes)
  readonly #flushes = new SerialQueue()
  #nextFlush: Promise<void> | undefined
  #failure: StorageError | undefined

  private constructor(file: BlockFile) {
    this.#file = file
    this.blocks = file.sizeBytes / blockBytes
  }

  static async open(options: RawFileOptions): Promise<RawFileStore> {
    const { files, name, sizeBytes } = options
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
    return new RawFileStore(file)
  }

  async read(lba: number, blocks: number): Promise<Buffer[]> {
    this.#stillStands()
    checkRange(lba, blocks, this.blocks)
    const buffer = this.#pool.take(blocks * blockBytes)
    await this.#file.read(buffer, lba * blockBytes)
    return [buffer]
  }

  release(data: readonly Buffer[]): void {
    for (const buffer of data) this.#pool.give(buffer)
  }

  async write(lba: number, data: readonly Buffer[]): Promise<void> {
    this.#stillStands()
    checkRange(lba, blocksOf(data), this.blocks)
    return this.#file.write(data, lba * blockBytes)
  }

  async unmap(lba: number, blocks: number): Promise<void> {
    checkRange(lba, blocks, this.blocks)
    const end = (lba + blocks) * blockBytes
    for (let at = lba * blockBytes; at < end; at += store.zeroingPieceBytes) {
      this.#stillStands()
      await this.#file.write(zeros(Math.min(store.zeroingPieceBytes, end - at)), at)
    }
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

  run(lba: number): BlockRun {
    checkRange(lba, 1, this.blocks)
    return { mapped: true, blocks: this.blocks - lba }
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

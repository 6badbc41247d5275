/** BlockFiles in memory: everything is durable at once. The ground under LossyBlockFiles. */
import { StorageError } from '../../src/base/errors.ts'
import type { BlockFile, BlockFiles } from '../../src/ports/block-file.ts'

export class MemoryBlockFiles implements BlockFiles {
  readonly #files = new Map<string, MemoryBlockFile>()

  async open(name: string, options: { create?: boolean } = {}): Promise<BlockFile> {
    const known = this.#files.get(name)
    if (known !== undefined) return known
    if (options.create !== true) throw new StorageError('not-found', name)
    const file = new MemoryBlockFile(name)
    this.#files.set(name, file)
    return file
  }

  async exists(name: string): Promise<boolean> {
    return this.#files.has(name)
  }

  async remove(name: string): Promise<void> {
    this.#files.delete(name)
  }

  names(): string[] {
    return [...this.#files.keys()].sort()
  }
}

class MemoryBlockFile implements BlockFile {
  readonly #name: string
  #bytes = Buffer.alloc(0)

  constructor(name: string) {
    this.#name = name
  }

  get sizeBytes(): number {
    return this.#bytes.length
  }

  async read(buffer: Buffer, offsetBytes: number): Promise<void> {
    if (buffer.length === 0) return
    if (offsetBytes + buffer.length > this.#bytes.length) {
      throw new StorageError('io-error', `${this.#name}: nothing at byte ${this.#bytes.length}`)
    }
    this.#bytes.copy(buffer, 0, offsetBytes)
  }

  async write(buffers: readonly Uint8Array[], offsetBytes: number): Promise<void> {
    let at = offsetBytes
    for (const buffer of buffers) {
      this.#grow(at + buffer.length)
      this.#bytes.set(buffer, at)
      at += buffer.length
    }
  }

  async flush(): Promise<void> {
    await Promise.resolve()
  }

  async resize(sizeBytes: number): Promise<void> {
    this.#grow(sizeBytes)
    this.#bytes = Buffer.from(this.#bytes.subarray(0, sizeBytes))
  }

  async close(): Promise<void> {
    await Promise.resolve()
  }

  #grow(sizeBytes: number): void {
    if (sizeBytes <= this.#bytes.length) return
    this.#bytes = Buffer.concat([this.#bytes, Buffer.alloc(sizeBytes - this.#bytes.length)])
  }
}

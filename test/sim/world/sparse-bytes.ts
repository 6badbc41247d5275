/** Bytes of a file, most of which are zeros that nobody has to hold. */

const chunkBytes = 64 * 1024

export class SparseBytes {
  readonly #chunks = new Map<number, Buffer>()
  #sizeBytes = 0

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  read(target: Buffer, offsetBytes: number): void {
    for (let done = 0; done < target.length; ) {
      const at = offsetBytes + done
      const within = at % chunkBytes
      const count = Math.min(target.length - done, chunkBytes - within)
      const chunk = this.#chunks.get((at - within) / chunkBytes)
      if (chunk === undefined) target.fill(0, done, done + count)
      else chunk.copy(target, done, within, within + count)
      done += count
    }
  }

  write(bytes: Buffer, offsetBytes: number): void {
    for (let done = 0; done < bytes.length; ) {
      const at = offsetBytes + done
      const within = at % chunkBytes
      const count = Math.min(bytes.length - done, chunkBytes - within)
      this.#chunk((at - within) / chunkBytes).set(bytes.subarray(done, done + count), within)
      done += count
    }
    this.#sizeBytes = Math.max(this.#sizeBytes, offsetBytes + bytes.length)
  }

  resize(sizeBytes: number): void {
    if (sizeBytes < this.#sizeBytes) {
      for (const [index, chunk] of this.#chunks) {
        const keep = sizeBytes - index * chunkBytes
        if (keep <= 0) this.#chunks.delete(index)
        else if (keep < chunkBytes) chunk.fill(0, keep)
      }
    }
    this.#sizeBytes = sizeBytes
  }

  copy(): SparseBytes {
    const copy = new SparseBytes()
    for (const [index, chunk] of this.#chunks) copy.#chunks.set(index, Buffer.from(chunk))
    copy.#sizeBytes = this.#sizeBytes
    return copy
  }

  #chunk(index: number): Buffer {
    let chunk = this.#chunks.get(index)
    if (chunk === undefined) {
      chunk = Buffer.alloc(chunkBytes)
      this.#chunks.set(index, chunk)
    }
    return chunk
  }
}

/**
 * Buffers that are used again and again for data on its way. A fresh one for each read makes the
 * garbage collector run after every 64 MiB that pass through, whatever it has to collect. What is
 * never given back is simply collected. One per owner; not shared.
 */
export class BufferPool {
  readonly #capBytes: number
  /** Free buffers by their length: a workload has few. The least recently filled length is first. */
  readonly #free = new Map<number, Buffer[]>()
  #freeBytes = 0

  constructor(capBytes: number) {
    this.#capBytes = capBytes
  }

  /** Whatever it held before is still in it. */
  take(bytes: number): Buffer {
    const buffer = this.#free.get(bytes)?.pop()
    if (buffer === undefined) return Buffer.allocUnsafeSlow(bytes)
    this.#freeBytes -= bytes
    return buffer
  }

  /** Only a whole buffer that came from `take`, once, and when nobody looks at it any more. */
  give(buffer: Buffer): void {
    const { length } = buffer
    if (length > this.#capBytes) return
    while (this.#freeBytes + length > this.#capBytes) this.#forgetOldest()
    const same = this.#free.get(length)
    if (same === undefined) this.#free.set(length, [buffer])
    else same.push(buffer)
    this.#freeBytes += length
  }

  #forgetOldest(): void {
    for (const [length, buffers] of this.#free) {
      this.#free.delete(length)
      this.#freeBytes -= length * buffers.length
      return
    }
  }
}

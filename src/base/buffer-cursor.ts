/**
 * Takes the bytes of a list of buffers piece by piece, without copying: views in an array of the
 * caller's own. To ask for more than there is is a bug of the caller.
 */
import { assert } from './assert.ts'

export class BufferCursor {
  readonly #buffers: readonly Buffer[]
  #index = 0
  #offset = 0

  constructor(buffers: readonly Buffer[]) {
    this.#buffers = buffers
  }

  /** Views of the next `bytes` bytes. */
  take(bytes: number): Buffer[] {
    const taken: Buffer[] = []
    for (let left = bytes; left > 0; ) {
      const buffer = this.#buffers[this.#index]
      assert(buffer !== undefined, 'the buffers hold what is taken')
      const count = Math.min(left, buffer.length - this.#offset)
      if (count > 0) taken.push(buffer.subarray(this.#offset, this.#offset + count))
      left -= count
      this.#offset += count
      if (this.#offset === buffer.length) {
        this.#index++
        this.#offset = 0
      }
    }
    return taken
  }
}

/**
 * A byte stream of which the beginning was read to see who it is for. Whoever gets it then reads
 * it from its first byte, as if nobody had looked.
 */
import { assert } from '../../base/assert.ts'
import type { ByteStream, StreamReceiver } from '../../ports/network.ts'

export class PeekedStream implements ByteStream {
  readonly #inner: ByteStream
  #peek: ((chunk: Buffer) => void) | undefined
  #kept: Buffer[] = []
  #receiver: StreamReceiver | undefined
  #paused = false
  #end: { readonly cause: Error | undefined } | undefined
  readonly #gone: () => void

  /** `peek` sees each chunk until `handOver`; `gone` is called when the stream ends before that. */
  constructor(inner: ByteStream, peek: (chunk: Buffer) => void, gone: () => void) {
    this.#inner = inner
    this.#peek = peek
    this.#gone = gone
    inner.receive({
      data: (chunk) => this.#data(chunk),
      ended: (cause) => this.#ended(cause),
    })
  }

  get localAddress(): string {
    return this.#inner.localAddress
  }

  get remoteAddress(): string {
    return this.#inner.remoteAddress
  }

  get queuedBytes(): number {
    return this.#inner.queuedBytes
  }

  /** Nothing more is read until the next owner receives. */
  handOver(): void {
    this.#peek = undefined
    this.#inner.pause()
  }

  receive(receiver: StreamReceiver): void {
    assert(this.#peek === undefined && this.#receiver === undefined, 'handed over, once')
    this.#receiver = receiver
    // Not in this turn: the owner may still be setting itself up.
    queueMicrotask(() => {
      this.#deliver()
      if (!this.#paused) this.#inner.resume()
    })
  }

  pause(): void {
    this.#paused = true
    this.#inner.pause()
  }

  resume(): void {
    this.#paused = false
    this.#deliver()
    if (!this.#paused) this.#inner.resume()
  }

  write(buffers: readonly Uint8Array[], sent?: () => void): boolean {
    return this.#inner.write(buffers, sent)
  }

  drained(): Promise<void> {
    return this.#inner.drained()
  }

  close(): void {
    this.#inner.close()
  }

  destroy(): void {
    this.#inner.destroy()
  }

  #data(chunk: Buffer): void {
    this.#kept.push(chunk)
    if (this.#receiver !== undefined) this.#deliver()
    else this.#peek?.(chunk)
  }

  #ended(cause: Error | undefined): void {
    this.#end = { cause }
    if (this.#receiver !== undefined) this.#deliver()
    else if (this.#peek !== undefined) this.#gone()
  }

  #deliver(): void {
    const receiver = this.#receiver
    if (receiver === undefined) return
    while (this.#kept.length > 0 && !this.#paused) receiver.data(this.#kept.shift()!)
    if (this.#kept.length > 0 || this.#end === undefined) return
    const { cause } = this.#end
    this.#end = undefined
    receiver.ended(cause)
  }
}

/**
 * The Network port in one process: streams deliver in order, on a later turn, in the chunks that
 * were written or in pieces of `chunkBytes`. A reader that pauses makes the writer's queue grow,
 * as a TCP peer does that stops reading. No faults by itself; `cut` ends a stream with an error.
 */
import { StorageError } from '../../src/base/errors.ts'
import { network as limits } from '../../src/base/limits.ts'
import type { ByteStream, Listener, Network, StreamReceiver } from '../../src/ports/network.ts'

export class MemoryStream implements ByteStream {
  readonly localAddress: string
  readonly remoteAddress: string
  peer: MemoryStream | undefined
  readonly #chunkBytes: number
  readonly #waiting: (() => void)[] = []
  #receiver: StreamReceiver | undefined
  #queue: Buffer[] = []
  #queuedBytes = 0
  #paused = false
  #ending = false
  #cause: Error | undefined
  #ended = false
  #told = false
  #scheduled = false

  constructor(addresses: { local: string; remote: string }, chunkBytes: number) {
    this.localAddress = addresses.local
    this.remoteAddress = addresses.remote
    this.#chunkBytes = chunkBytes
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  receive(receiver: StreamReceiver): void {
    this.#receiver = receiver
    this.peer?.pump()
    if (this.#ended) this.#tell()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.peer?.pump()
  }

  write(buffers: readonly Uint8Array[], sent?: () => void): boolean {
    if (this.#ended || this.#ending) return true
    // They are copied here, so they are free at once; a real stream says so later.
    if (sent !== undefined) setImmediate(sent)
    for (const bytes of buffers) {
      for (let from = 0; from < bytes.length; from += this.#chunkBytes) {
        this.#queue.push(Buffer.from(bytes.subarray(from, from + this.#chunkBytes)))
      }
      this.#queuedBytes += bytes.length
    }
    this.pump()
    return this.#queuedBytes < limits.highWaterBytes
  }

  drained(): Promise<void> {
    if (this.#ended || this.#queuedBytes < limits.highWaterBytes) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  close(): void {
    this.#ending = true
    this.pump()
  }

  destroy(): void {
    this.cut()
  }

  /** Ends both directions at once; what is queued is lost. */
  cut(cause?: Error): void {
    this.end(cause)
    this.peer?.end(cause)
  }

  /** Moves what the reader will take, on a later turn. */
  pump(): void {
    if (this.#scheduled || this.#ended) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      this.#deliver()
    })
  }

  #deliver(): void {
    const reader = this.peer
    while (reader !== undefined && this.#queue.length > 0) {
      if (this.#ended || reader.#paused || reader.#receiver === undefined) break
      const chunk = this.#queue.shift()!
      this.#queuedBytes -= chunk.length
      reader.#receiver.data(chunk)
    }
    if (this.#queuedBytes < limits.highWaterBytes) this.#release()
    if (this.#ending && this.#queue.length === 0) {
      this.end(undefined)
      reader?.end(undefined)
    }
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** This half only. */
  end(cause: Error | undefined): void {
    if (this.#ended) return
    this.#ended = true
    this.#cause = cause
    this.#queue = []
    this.#queuedBytes = 0
    this.#release()
    setImmediate(() => this.#tell())
  }

  #tell(): void {
    if (this.#told || this.#receiver === undefined) return
    this.#told = true
    this.#receiver.ended(this.#cause)
  }
}

export class MemoryNetwork implements Network {
  readonly #listeners = new Map<string, (stream: ByteStream) => void>()
  readonly #chunkBytes: number
  #nextPort = 1000

  constructor(options: { chunkBytes?: number } = {}) {
    this.#chunkBytes = options.chunkBytes ?? Number.POSITIVE_INFINITY
  }

  listen(address: string, accept: (stream: ByteStream) => void): Promise<Listener> {
    const bound = address.endsWith(':0') ? `${address.slice(0, -1)}${this.#nextPort++}` : address
    if (this.#listeners.has(bound)) {
      return Promise.reject(new StorageError('address-in-use', `${bound} is in use`))
    }
    this.#listeners.set(bound, accept)
    const close = (): Promise<void> => {
      this.#listeners.delete(bound)
      return Promise.resolve()
    }
    return Promise.resolve({ address: bound, close })
  }

  dial(address: string): Promise<MemoryStream> {
    const accept = this.#listeners.get(address)
    if (accept === undefined) {
      return Promise.reject(new StorageError('unreachable', `nobody listens on ${address}`))
    }
    const local = `127.0.0.1:${this.#nextPort++}`
    const near = new MemoryStream({ local, remote: address }, this.#chunkBytes)
    const far = new MemoryStream({ local: address, remote: local }, this.#chunkBytes)
    near.peer = far
    far.peer = near
    accept(far)
    return Promise.resolve(near)
  }
}

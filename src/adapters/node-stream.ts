/**
 * ByteStream on a TCP socket. What is written in one pass of the event loop leaves in one writev:
 * buffers gather in an array and go to the socket when the pass ends, together for all streams.
 */
import type { Socket } from 'node:net'
import { formatAddress } from '../base/address.ts'
import { assert } from '../base/assert.ts'
import { network } from '../base/limits.ts'
import type { ByteStream, StreamReceiver } from '../ports/network.ts'

/** Streams with something to send; emptied once per pass of the event loop. */
const gathering: NodeStream[] = []

function sendAll(): void {
  for (const stream of gathering.splice(0)) stream.send()
}

export class NodeStream implements ByteStream {
  readonly localAddress: string
  readonly remoteAddress: string
  readonly #socket: Socket
  #receiver: StreamReceiver | undefined
  #gathered: Uint8Array[] = []
  #gatheredBytes = 0
  /** Whom to tell when what has gathered is with the kernel. */
  #tellSent: (() => void)[] = []
  #waiting: (() => void)[] = []
  #lingering: NodeJS.Timeout | undefined
  #cause: Error | undefined
  #phase: 'open' | 'closing' | 'ended' = 'open'
  #told = false

  constructor(socket: Socket) {
    this.#socket = socket
    this.localAddress = formatAddress(socket.localAddress ?? '', socket.localPort ?? 0)
    this.remoteAddress = formatAddress(socket.remoteAddress ?? '', socket.remotePort ?? 0)
    socket.pause()
    socket.on('error', (error) => {
      this.#cause ??= error
    })
    socket.on('end', () => this.#endedByPeer())
    socket.on('close', () => this.#ended())
  }

  get queuedBytes(): number {
    return this.#gatheredBytes + this.#socket.writableLength
  }

  receive(receiver: StreamReceiver): void {
    assert(this.#receiver === undefined, 'a stream has one receiver')
    this.#receiver = receiver
    if (this.#phase === 'ended') {
      setImmediate(() => this.#tell())
      return
    }
    this.#socket.on('data', (chunk: Buffer) => {
      // After our own close the rest is read only so that the peer's end is seen.
      if (this.#phase === 'open') receiver.data(chunk)
    })
    this.#socket.resume()
  }

  pause(): void {
    if (this.#phase === 'open') this.#socket.pause()
  }

  resume(): void {
    if (this.#receiver !== undefined) this.#socket.resume()
  }

  write(buffers: readonly Uint8Array[], sent?: () => void): boolean {
    if (this.#phase !== 'open') return true
    if (sent !== undefined) this.#tellSent.push(sent)
    if (this.#gathered.length === 0 && gathering.push(this) === 1) setImmediate(sendAll)
    for (const buffer of buffers) {
      this.#gathered.push(buffer)
      this.#gatheredBytes += buffer.length
    }
    return this.queuedBytes < network.highWaterBytes
  }

  drained(): Promise<void> {
    if (this.#phase !== 'open' || this.queuedBytes < network.highWaterBytes)
      return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  close(): void {
    if (this.#phase !== 'open') return
    this.#phase = 'closing'
    this.send()
    this.#finish()
    this.#socket.resume()
  }

  destroy(): void {
    this.#gathered = []
    this.#gatheredBytes = 0
    if (this.#phase === 'open') this.#phase = 'closing'
    this.#socket.destroy()
  }

  /** Hands what has gathered to the socket, in one writev. */
  send(): void {
    const buffers = this.#gathered
    const last = buffers.length - 1
    if (last < 0) return
    const tell = this.#tellSent
    this.#gathered = []
    this.#gatheredBytes = 0
    if (tell.length > 0) this.#tellSent = []
    const socket = this.#socket
    if (socket.destroyed || socket.writableEnded) return
    const done =
      tell.length === 0 ? this.#sent : (error?: Error | null) => this.#tellAll(tell, error)
    socket.cork()
    for (let index = 0; index < last; index++) socket.write(buffers[index]!)
    socket.write(buffers[last]!, done)
    socket.uncork()
  }

  /** After an error libuv may still hold the buffers: then nobody is told. */
  #tellAll(tell: readonly (() => void)[], error: Error | null | undefined): void {
    if (!error) for (const sent of tell) sent()
    this.#sent()
  }

  readonly #sent = (): void => {
    if (this.#waiting.length > 0 && this.queuedBytes < network.highWaterBytes) this.#release()
  }

  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** The peer will send no more: what is queued still goes out, then the stream is gone. */
  #endedByPeer(): void {
    this.send()
    if (this.#phase === 'open') this.#finish()
    this.#ended()
  }

  #finish(): void {
    this.#socket.end()
    // A peer that neither reads nor ends must not keep the socket for ever.
    this.#lingering = setTimeout(() => this.#socket.destroy(), network.lingerMs)
  }

  #ended(): void {
    this.#phase = 'ended'
    if (this.#socket.destroyed) clearTimeout(this.#lingering)
    this.#release()
    this.#tell()
  }

  #tell(): void {
    if (this.#told || this.#receiver === undefined) return
    this.#told = true
    this.#receiver.ended(this.#cause)
  }
}

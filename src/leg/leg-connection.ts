/**
 * One TCP connection of a leg: frames in, PDUs out, and its end, told once. It knows digests and
 * lengths and nothing of what a PDU means; whoever uses it last set the handler. Whatever breaks
 * framing ends the connection: ErrorRecoveryLevel is 0 (RFC 7143 7.1.5).
 */
import { leg, maxAhsBytes } from '../base/limits.ts'
import { type Digests, encodeFrame, type FrameParts } from '../iscsi/encode-frame.ts'
import { type Frame, Framer } from '../iscsi/framer.ts'
import type { ByteStream } from '../ports/network.ts'

export interface ConnectionHandler {
  frame(frame: Frame): void
  /** The stream has ended, or `fail` was called. Exactly once, for the handler of that moment. */
  closed(cause: string): void
}

/** What a target may send in one login response. RFC 7143 13.12. */
const loginSegmentBytes = 8192
const noDigests: Digests = { header: false, data: false }

export class LegConnection {
  readonly #stream: ByteStream
  readonly #framer: Framer
  #handler: ConnectionHandler
  #digests = noDigests
  #maxSegmentBytes = loginSegmentBytes
  #ended = false

  constructor(stream: ByteStream, handler: ConnectionHandler) {
    this.#stream = stream
    this.#handler = handler
    this.#framer = new Framer({ maxDataSegmentBytes: () => this.#maxSegmentBytes, maxAhsBytes })
    stream.receive({
      data: (chunk) => this.#received(chunk),
      ended: (cause) => this.#end(cause?.message ?? 'the target closed the connection'),
    })
  }

  get ended(): boolean {
    return this.#ended
  }

  get stream(): ByteStream {
    return this.#stream
  }

  /** The login is over: the frames that follow belong to the session. */
  enterFullFeature(handler: ConnectionHandler, digests: Digests): void {
    this.#handler = handler
    this.#digests = digests
    this.#maxSegmentBytes = leg.maxRecvDataSegmentBytes
    this.#framer.setDigests(digests)
  }

  /** False: enough is queued, wait for the stream to drain. Owns `header`, borrows the data. */
  send(header: Buffer, parts: Omit<FrameParts, 'digests'> = {}): boolean {
    if (this.#ended) return true
    const { ahs, data, immediate } = parts
    return this.#stream.write(encodeFrame(header, { ahs, data, immediate, digests: this.#digests }))
  }

  /** Ends at once; what is queued here may or may not have left. */
  fail(cause: string): void {
    if (this.#ended) return
    this.#stream.destroy()
    this.#end(cause)
  }

  /** Sends what is queued, then ends. */
  close(cause: string): void {
    if (this.#ended) return
    this.#stream.close()
    this.#end(cause)
  }

  #received(chunk: Buffer): void {
    if (this.#ended) return
    this.#framer.push(chunk)
    while (!this.#ended) {
      const frame = this.#framer.next()
      if (frame === undefined) return
      if (frame.kind !== 'frame') this.fail(`broken frame: ${frame.kind}`)
      else this.#handler.frame(frame)
    }
  }

  #end(cause: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#handler.closed(cause)
  }
}

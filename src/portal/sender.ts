/**
 * The outgoing half of a connection in full-feature phase. It owns StatSN, which counts responses
 * (RFC 7143 4.2.2.2), and adds the digests. What is sent in one turn leaves in one system call;
 * payload is passed on, never copied.
 */
import { serialAdd } from '../base/serial.ts'
import type { CommandWindow } from '../iscsi/command-window.ts'
import { type Digests, encodeFrame } from '../iscsi/encode-frame.ts'
import type { Frame } from '../iscsi/framer.ts'
import { nopIn } from '../iscsi/pdu/nop-in.ts'
import { RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { type RejectReason, reject } from '../iscsi/pdu/reject.ts'
import type { ByteStream } from '../ports/network.ts'

const noLunField = Buffer.alloc(8)

export interface SenderOptions {
  readonly stream: ByteStream
  readonly digests: Digests
  readonly window: CommandWindow<Frame>
  /** StatSN of the next response, as the login left it. */
  readonly statSn: number
  /** Called when the stream holds so much that nothing more should be begun. */
  readonly full: () => void
}

export class Sender {
  readonly window: CommandWindow<Frame>
  readonly #stream: ByteStream
  readonly #digests: Digests
  readonly #full: () => void
  #statSn: number

  constructor(options: SenderOptions) {
    this.window = options.window
    this.#stream = options.stream
    this.#digests = options.digests
    this.#full = options.full
    this.#statSn = options.statSn
  }

  /** StatSN of the next response, for PDUs that carry it without using it up. */
  get statSn(): number {
    return this.#statSn
  }

  /** StatSN for a response; each is used once, in the order in which the responses are sent. */
  takeStatSn(): number {
    const statSn = this.#statSn
    this.#statSn = serialAdd(statSn, 1)
    return statSn
  }

  /** Owns `header`, an encoded PDU; borrows `data` until it has left, and then calls `sent`. */
  send(header: Buffer, data?: readonly Uint8Array[], sent?: () => void): void {
    const digests = this.#digests
    const frame = encodeFrame(header, data === undefined ? { digests } : { digests, data })
    if (!this.#stream.write(frame, sent)) this.#full()
  }

  /** RFC 7143 11.17: the whole header of what is rejected comes back as data. */
  reject(reason: RejectReason, header: Buffer): void {
    const fields = { reason, statSn: this.takeStatSn(), dataSn: 0 }
    this.send(reject.build({ ...fields, ...this.#windowFields() }), [Buffer.from(header)])
  }

  /** A NOP-In that wants no answer: it only tells the window (RFC 7143 11.19). */
  tellWindow(): void {
    this.nopIn(RESERVED_TAG)
  }

  /** A NOP-In of our own; with a tag other than ffffffff the initiator must answer it. */
  nopIn(targetTransferTag: number): void {
    const header = nopIn.build({
      lun: noLunField,
      initiatorTaskTag: RESERVED_TAG,
      targetTransferTag,
      statSn: this.#statSn,
      ...this.#windowFields(),
    })
    this.send(header)
  }

  #windowFields(): { expCmdSn: number; maxCmdSn: number } {
    return { expCmdSn: this.window.expCmdSn, maxCmdSn: this.window.maxCmdSn }
  }
}

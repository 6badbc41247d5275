/**
 * The outgoing half of a connection in full-feature phase. It owns StatSN, which counts responses
 * (RFC 7143 4.2.2.2), and adds the digests. What is sent in one turn leaves in one system call;
 * payload is passed on, never copied. At ErrorRecoveryLevel 1 and up it keeps its responses until
 * they are acknowledged.
 */
import { serialAdd } from '../base/serial.ts'
import type { CommandWindow } from '../iscsi/command-window.ts'
import { totalBytes } from '../iscsi/data-slices.ts'
import { type Digests, encodeFrame } from '../iscsi/encode-frame.ts'
import type { Frame } from '../iscsi/framer.ts'
import { nopIn } from '../iscsi/pdu/nop-in.ts'
import { RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { type RejectReason, reject } from '../iscsi/pdu/reject.ts'
import type { ByteStream } from '../ports/network.ts'
import type { Outgoing } from './outgoing.ts'
import { type KeptMemory, type SentPdu, SentResponses } from './sent-responses.ts'

const noLunField = Buffer.alloc(8)

export interface SenderOptions {
  readonly stream: ByteStream
  readonly digests: Digests
  readonly window: CommandWindow<Frame>
  /** StatSN of the next response, as the login left it. */
  readonly statSn: number
  /** Responses are kept until they are acknowledged. */
  readonly recovery: boolean
  /** How much of them may be held now. */
  readonly kept: KeptMemory
  /** Called when the stream holds so much that nothing more should be begun. */
  readonly full: () => void
}

/** Bytes of StatSN, ExpCmdSN and MaxCmdSN in every response. RFC 7143 11.4. */
const statSnByte = 24
const expCmdSnByte = 28
const maxCmdSnByte = 32

export class Sender implements Outgoing {
  readonly window: CommandWindow<Frame>
  /** Present where responses may have to be sent again. */
  readonly sent: SentResponses | undefined
  readonly #stream: ByteStream
  readonly #digests: Digests
  readonly #full: () => void
  #statSn: number
  #nextTag = 1

  constructor(options: SenderOptions) {
    this.window = options.window
    this.#stream = options.stream
    this.#digests = options.digests
    this.#full = options.full
    this.#statSn = options.statSn
    this.sent = options.recovery ? new SentResponses(options.statSn, options.kept) : undefined
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

  /** A target transfer tag that is new on this connection. */
  takeTag(): number {
    const tag = this.#nextTag
    this.#nextTag = tag >= 0x7fffffff ? 1 : tag + 1
    return tag
  }

  /** Owns `header`, an encoded PDU; borrows `data` until it has left, and then calls `sent`. */
  send(header: Buffer, data?: readonly Uint8Array[], sent?: () => void): void {
    const digests = this.#digests
    const frame = encodeFrame(header, data === undefined ? { digests } : { digests, data })
    if (!this.#stream.write(frame, sent)) this.#full()
  }

  /** A response that used up a StatSN and is no answer to a SCSI command. */
  respond(header: Buffer, data?: readonly Uint8Array[]): void {
    if (this.sent !== undefined) {
      this.sent.keep({
        kind: 'pdu',
        statSn: header.readUInt32BE(statSnByte),
        header: Buffer.from(header),
        // A view may hold much more memory than it shows.
        data: data?.map((each) => Buffer.from(each)),
        heldBytes: header.length + (data === undefined ? 0 : totalBytes(data)),
      })
    }
    this.send(header, data)
  }

  /** The same response once more, but for what the window has become. RFC 7143 11.16. */
  respondAgain(response: SentPdu): void {
    const header = Buffer.from(response.header)
    header.writeUInt32BE(this.window.expCmdSn, expCmdSnByte)
    header.writeUInt32BE(this.window.maxCmdSn, maxCmdSnByte)
    this.send(header, response.data)
  }

  /** RFC 7143 11.17: the whole header of what is rejected comes back as data. */
  reject(reason: RejectReason, header: Buffer, dataSn = 0): void {
    const fields = { reason, statSn: this.takeStatSn(), dataSn }
    this.respond(reject.build({ ...fields, ...this.#windowFields() }), [Buffer.from(header)])
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

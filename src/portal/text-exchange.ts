/**
 * Text requests of one session (RFC 7143 11.10, 11.11): SendTargets (Appendix C); every other key
 * is answered by rule. One exchange at a time. Text that goes on over several PDUs, either way, is
 * kept here, within limits.
 */
import { portal } from '../base/limits.ts'
import type { Frame } from '../iscsi/framer.ts'
import { RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { RejectReason } from '../iscsi/pdu/reject.ts'
import { type TextRequest, textRequest } from '../iscsi/pdu/text-request.ts'
import { textResponse } from '../iscsi/pdu/text-response.ts'
import { buildSendTargets, type SendTargetsRecord } from '../iscsi/send-targets.ts'
import {
  encodeText,
  gatherText,
  isTextFault,
  noText,
  splitText,
  type TextPair,
  type TextParts,
} from '../iscsi/text.ts'
import { answerText } from '../iscsi/text-target.ts'
import type { Sender } from './sender.ts'

const noLunField = Buffer.alloc(8)

export interface TextExchangeOptions {
  readonly sender: Sender
  /** What the initiator can receive; a request may change it. */
  readonly limits: { maxSegmentBytes: number }
  /** Undefined in a discovery session. */
  readonly targetName: string | undefined
  /** What this initiator may see here. */
  readonly discover: () => readonly SendTargetsRecord[]
}

interface Exchange {
  readonly targetTransferTag: number
  readonly parts: TextParts
  /** Pieces of our answer that wait for the next request. */
  readonly queue: readonly Buffer[]
}

export class TextExchange {
  readonly #options: TextExchangeOptions
  #exchange: Exchange | undefined
  #nextTag = 1

  constructor(options: TextExchangeOptions) {
    this.#options = options
  }

  request(frame: Frame): void {
    const { sender } = this.#options
    const request = textRequest.decode(frame.header)
    const begins = request.targetTransferTag === RESERVED_TAG
    const exchange = begins ? undefined : this.#exchange
    this.#exchange = undefined
    if (!begins && exchange?.targetTransferTag !== request.targetTransferTag) {
      sender.reject(RejectReason.INVALID_PDU_FIELD, frame.header)
      return
    }
    if (exchange !== undefined && exchange.queue.length > 0) {
      this.#tell(request, exchange.queue)
      return
    }
    const gathered = gatherText(exchange?.parts ?? noText, frame.data, request.continues)
    if (isTextFault(gathered)) sender.reject(RejectReason.PROTOCOL_ERROR, frame.header)
    else if (gathered.kind === 'more') this.#listenOn(request, gathered.parts)
    else this.#answer(request, gathered.text, frame)
  }

  #answer(request: TextRequest, text: Buffer, frame: Frame): void {
    const { sender, limits, targetName } = this.#options
    const answer = answerText(text, targetName === undefined ? 'Discovery' : 'Normal')
    if (isTextFault(answer)) {
      sender.reject(RejectReason.PROTOCOL_ERROR, frame.header)
      return
    }
    const { answers, sendTargets, initiatorMaxRecvDataSegmentBytes } = answer
    if (initiatorMaxRecvDataSegmentBytes !== undefined) {
      limits.maxSegmentBytes = initiatorMaxRecvDataSegmentBytes
    }
    const targets = sendTargets === undefined ? [] : this.#targets(sendTargets)
    const encoded = encodeText([...answers, ...targets])
    if (encoded.length > portal.textAnswerBytes) {
      sender.reject(RejectReason.PROTOCOL_ERROR, frame.header)
      return
    }
    this.#tell(request, splitText(encoded, limits.maxSegmentBytes))
  }

  /** RFC 7143 C: the empty value asks for the target of this session. */
  #targets(value: string): TextPair[] {
    const { targetName, discover } = this.#options
    const wanted = value === '' ? targetName : value
    if (wanted === undefined) return [['SendTargets', 'Reject']]
    const found = discover().filter((target) => wanted === 'All' || target.targetName === wanted)
    return buildSendTargets(found)
  }

  /** Keeps what came, and asks for the rest with an empty response. */
  #listenOn(request: TextRequest, parts: TextParts): void {
    const targetTransferTag = this.#takeTag()
    this.#exchange = { targetTransferTag, parts: copied(parts), queue: [] }
    this.#respond(request, { targetTransferTag, final: false, continues: false })
  }

  #tell(request: TextRequest, pieces: readonly Buffer[]): void {
    const [data, ...queue] = pieces
    const more = queue.length > 0
    // RFC 7143 11.11.1: F answers F only; an initiator with more to say gets a tag to go on with.
    const final = !more && request.final
    const targetTransferTag = final ? RESERVED_TAG : this.#takeTag()
    if (!final) this.#exchange = { targetTransferTag, parts: noText, queue }
    this.#respond(request, { targetTransferTag, final, continues: more }, data)
  }

  #respond(
    request: TextRequest,
    fields: { targetTransferTag: number; final: boolean; continues: boolean },
    data?: Buffer,
  ): void {
    const { sender } = this.#options
    const header = textResponse.build({
      ...fields,
      lun: noLunField,
      initiatorTaskTag: request.initiatorTaskTag,
      statSn: sender.takeStatSn(),
      expCmdSn: sender.window.expCmdSn,
      maxCmdSn: sender.window.maxCmdSn,
    })
    sender.respond(header, data === undefined ? undefined : [data])
  }

  #takeTag(): number {
    const tag = this.#nextTag
    this.#nextTag = tag >= 0x7fffffff ? 1 : tag + 1
    return tag
  }
}

/** What is kept must not hold the buffers in which it was received. */
function copied(parts: TextParts): TextParts {
  return { ...parts, parts: parts.parts.map((part) => Buffer.from(part)) }
}

/**
 * Text negotiation in the full-feature phase, target role: SendTargets, and the few keys that may
 * still change. RFC 7143 6.4, 11.10, 13. The exchange over several PDUs (C bit, TargetTransferTag)
 * is the driver's, with `gatherText` and `splitText`.
 */
import { Answer, type KeyValue, negotiate } from './key.ts'
import { findKey, keys } from './keys.ts'
import { isTextFault, parseText, type TextFault, type TextPair, uniqueKeys } from './text.ts'

export interface TextAnswer {
  readonly kind: 'answer'
  /** Answers to all keys but SendTargets, in the order of the offers. */
  readonly answers: readonly TextPair[]
  /** Value of SendTargets: `All`, a name, or empty for the target of this session. */
  readonly sendTargets?: string
  /** A new MaxRecvDataSegmentLength of the initiator, in bytes. */
  readonly initiatorMaxRecvDataSegmentBytes?: number
}

/** What a whole text request comes to. `Reject` is the answer to what only a login may negotiate. */
export function answerText(
  text: Buffer,
  sessionType: 'Normal' | 'Discovery',
): TextAnswer | TextFault {
  const pairs = parseText(text)
  const offers = isTextFault(pairs) ? pairs : uniqueKeys(pairs)
  if (isTextFault(offers)) return offers
  const answers: TextPair[] = []
  let maxRecv: KeyValue | undefined
  for (const [name, offer] of offers) {
    const row = findKey(name)
    if (row === keys.SendTargets) continue
    if (row === undefined) {
      answers.push([name, Answer.NOT_UNDERSTOOD])
      continue
    }
    const allowed = row.when === 'always' && row.sender !== 'target'
    const { answer, value } = allowed ? negotiate(row, offer) : { answer: Answer.REJECT }
    if (row === keys.MaxRecvDataSegmentLength) maxRecv = value
    if (answer !== undefined) answers.push([name, answer])
  }
  const sendTargets = offers.get(keys.SendTargets.name)
  if (sendTargets === 'All' && sessionType === 'Normal') {
    // RFC 7143 Appendix C: All is for discovery sessions only.
    return { kind: 'answer', answers: [...answers, [keys.SendTargets.name, Answer.REJECT]] }
  }
  return {
    kind: 'answer',
    answers,
    ...(sendTargets === undefined ? {} : { sendTargets }),
    ...(typeof maxRecv === 'number' ? { initiatorMaxRecvDataSegmentBytes: maxRecv } : {}),
  }
}

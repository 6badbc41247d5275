/**
 * Answers the keys of one login request by the rows of `keys.ts`: stage, sender and session type
 * first, then the negotiation itself. Pure; target role.
 */
import { Answer, type KeyRow, type KeyValue, negotiate, type OwnValue } from './key.ts'
import { findKey, keys } from './keys.ts'
import type { Settlements } from './negotiation.ts'
import { LoginStatus } from './pdu/login-status.ts'
import type { TextPair } from './text.ts'

export interface KeyContext {
  readonly stage: 'security' | 'operational'
  readonly settled: Settlements
  readonly own: ReadonlyMap<string, OwnValue>
  /** The session exists: what holds for all of it was settled by its leading login. */
  readonly joins: boolean
}

export type AnsweredKeys =
  | {
      readonly kind: 'answered'
      readonly answers: readonly TextPair[]
      readonly settled: Settlements
      readonly initiatorMaxRecv: number | undefined
    }
  | { readonly kind: 'refuse'; readonly status: LoginStatus; readonly why: string }

/** Names that must be right for a session to exist at all: a bad one ends the login. */
const essential: ReadonlySet<KeyRow> = new Set([
  keys.InitiatorName,
  keys.TargetName,
  keys.SessionType,
  keys.Login,
])

const initiatorError = (why: string): AnsweredKeys => ({
  kind: 'refuse',
  status: LoginStatus.INITIATOR_ERROR,
  why,
})

/** Why this key may not come now; undefined lets it pass. */
function misplaced(row: KeyRow, context: KeyContext): string | undefined {
  if (row.sender === 'target') return `${row.name} is not an initiator's key`
  if (row.when === 'full-feature') return `${row.name} is not for the login`
  if (row.stage !== 'both' && row.stage !== context.stage) {
    return `${row.name} in the ${context.stage} stage`
  }
  // RFC 7143 6.3: what was negotiated in this login is not negotiated again.
  return context.settled.has(row.name) ? `${row.name} comes a second time` : undefined
}

/** Names that could break a log line or a lookup. RFC 7143 4.2.7.2: at most 223 bytes. */
const badName = (row: KeyRow, value: KeyValue | undefined) =>
  (row === keys.InitiatorName || row === keys.TargetName) &&
  (typeof value !== 'string' || !/^[^\s\p{C}]+$/u.test(value) || Buffer.byteLength(value) > 223)

export function answerKeys(context: KeyContext, offers: ReadonlyMap<string, string>): AnsweredKeys {
  const answers: TextPair[] = []
  const settled = new Map<string, KeyValue>(context.settled)
  const type = settled.get(keys.SessionType.name) ?? offers.get(keys.SessionType.name)
  for (const [name, offer] of offers) {
    const row = findKey(name)
    if (row === undefined) {
      answers.push([name, Answer.NOT_UNDERSTOOD])
      continue
    }
    // libiscsi with a user names itself again where the target wants no proof.
    if (row.type === 'text' && context.settled.get(name) === offer) continue
    const why = misplaced(row, context)
    if (why !== undefined) return initiatorError(why)
    if (row.when === 'leading' && context.joins) {
      // SessionType is declared, so it wants no answer.
      if (row.type !== 'text') answers.push([name, Answer.IRRELEVANT])
      continue
    }
    if (type === 'Discovery' && !row.discovery) {
      answers.push([name, Answer.IRRELEVANT])
      continue
    }
    const { answer, value } = negotiate(row, offer, context.own.get(name))
    if (essential.has(row) && (value === undefined || badName(row, value))) {
      return initiatorError(`${name} has no valid value`)
    }
    if (row === keys.AuthMethod && value === undefined) {
      return {
        kind: 'refuse',
        status: LoginStatus.AUTHENTICATION_FAILURE,
        why: 'no AuthMethod in common',
      }
    }
    if (answer !== undefined) answers.push([name, answer])
    if (value !== undefined) settled.set(name, value)
  }
  const maxRecv = settled.get(keys.MaxRecvDataSegmentLength.name)
  const initiatorMaxRecv = typeof maxRecv === 'number' ? maxRecv : undefined
  return { kind: 'answered', answers, settled, initiatorMaxRecv }
}

/**
 * The login phase, initiator role, as a pure step: (state, response) -> the next request or the
 * outcome. RFC 7143 6.3, 11.12, 11.13. Without CHAP it starts in the operational stage with all
 * offers at once, so that a willing target needs one round. A hostile target can end the login,
 * nothing else: every answer must lie within its offer.
 */
import { assert } from '../base/assert.ts'
import { loginRounds } from '../base/limits.ts'
import { serialAdd } from '../base/serial.ts'
import { chapKeys } from './chap.ts'
import {
  advanceChapInitiator,
  type ChapCredentials,
  type ChapInitiatorState,
  chapIsOver,
} from './chap-initiator.ts'
import { Answer, type KeyRow, type KeyValue, negotiate, settle } from './key.ts'
import { findKey, keys } from './keys.ts'
import { type LoginOffer, namingPairs, offeredPairs, operationalPairs } from './login-offer.ts'
import { type Settlements, sessionParameters } from './negotiation.ts'
import { loginRequest, Stage } from './pdu/login-request.ts'
import type { LoginResponse } from './pdu/login-response.ts'
import type { SessionParameters } from './session-parameters.ts'
import {
  encodeText,
  gatherText,
  isTextFault,
  noText,
  parseText,
  splitText,
  type TextPair,
  type TextParts,
  uniqueKeys,
} from './text.ts'

export interface ReceivedLoginResponse {
  readonly response: LoginResponse
  readonly data: readonly Buffer[]
}

/** A Login Request for `encodeFrame`, to be sent immediate and without digests. */
export interface OutgoingLogin {
  readonly header: Buffer
  readonly data: Buffer
}

export interface InitiatorLoginState {
  readonly offer: LoginOffer
  readonly stage: typeof Stage.SECURITY | typeof Stage.OPERATIONAL
  /** Moves in the security stage only. */
  readonly chap: ChapInitiatorState
  /** Pieces of our text that are still to go. */
  readonly queue: readonly Buffer[]
  readonly text: TextParts
  /** What the target has answered or declared so far. */
  readonly answers: ReadonlyMap<string, string>
  readonly rounds: number
  /** StatSN that the next response must have; undefined before the first. */
  readonly expStatSn: number | undefined
}

export interface EstablishedSession {
  readonly parameters: SessionParameters
  readonly tsih: number
  readonly targetPortalGroupTag?: number
  readonly targetAlias?: string
  /** StatSN that the next response must have. */
  readonly expStatSn: number
  /** For `CommandCredit`. */
  readonly cmdSn: number
  readonly expCmdSn: number
  readonly maxCmdSn: number
}

export type InitiatorLoginStep =
  | {
      readonly kind: 'request'
      readonly state: InitiatorLoginState
      readonly request: OutgoingLogin
    }
  | { readonly kind: 'established'; readonly session: EstablishedSession }
  /** The target said no, or elsewhere (status class 1, with TargetAddress among the keys). */
  | {
      readonly kind: 'refused'
      readonly status: number
      readonly keys: ReadonlyMap<string, string>
    }
  /** The target broke a rule: close the connection. */
  | { readonly kind: 'fault'; readonly why: string }

const nothing = Buffer.alloc(0)
/** What a target takes in one login PDU. RFC 7143 13.12. */
const loginSegmentBytes = 8192

const fault = (why: string): InitiatorLoginStep => ({ kind: 'fault', why })

export function beginInitiatorLogin(
  offer: LoginOffer,
): InitiatorLoginStep & { readonly kind: 'request' } {
  const proves = offer.chap !== undefined
  const pairs = proves
    ? [...namingPairs(offer), [keys.AuthMethod.name, 'CHAP'] as const]
    : offeredPairs(offer)
  const state: InitiatorLoginState = {
    offer,
    stage: proves ? Stage.SECURITY : Stage.OPERATIONAL,
    chap: { kind: 'offered' },
    queue: splitText(encodeText(pairs), loginSegmentBytes),
    text: noText,
    answers: new Map(),
    rounds: 0,
    expStatSn: undefined,
  }
  return sendNext(state)
}

/** The next piece of our text, or an empty request that lets the target go on. */
function sendNext(before: InitiatorLoginState): InitiatorLoginStep & { readonly kind: 'request' } {
  const [data = nothing, ...queue] = before.queue
  const state = { ...before, queue, rounds: before.rounds + 1 }
  return { kind: 'request', state, request: { header: requestHeader(state), data } }
}

/** The security stage may end once our proof is sent. */
function wantsTransit({ stage, chap, queue }: InitiatorLoginState): boolean {
  if (queue.length > 0) return false
  return stage === Stage.OPERATIONAL || chap.kind === 'answered' || chap.kind === 'done'
}

const stageAfter = (stage: InitiatorLoginState['stage']) =>
  stage === Stage.SECURITY ? Stage.OPERATIONAL : Stage.FULL_FEATURE

function requestHeader(state: InitiatorLoginState): Buffer {
  const { offer, queue, expStatSn, stage } = state
  const continues = queue.length > 0
  const transit = wantsTransit(state)
  return loginRequest.build({
    transit,
    continues,
    currentStage: stage,
    nextStage: transit ? stageAfter(stage) : 0,
    versionMax: 0,
    versionMin: 0,
    isid: offer.isid,
    tsih: 0,
    initiatorTaskTag: offer.initiatorTaskTag,
    cid: offer.cid,
    cmdSn: offer.cmdSn,
    expStatSn: expStatSn ?? 0,
  })
}

function faultOf(state: InitiatorLoginState, response: LoginResponse): string | undefined {
  const { offer } = state
  if (response.initiatorTaskTag !== offer.initiatorTaskTag) return 'InitiatorTaskTag of no request'
  // A refusal may come without the rest: tgtd leaves the ISID out of it.
  if (response.statusClass !== 0) return undefined
  if (!response.isid.equals(offer.isid)) return 'ISID changed'
  if (response.versionActive !== 0) return 'version that was not offered'
  if (state.expStatSn !== undefined && response.statSn !== state.expStatSn) return 'StatSN skipped'
  if (response.currentStage !== state.stage) return 'another stage than ours'
  if (!response.transit) return undefined
  if (response.continues) return 'T and C bit together'
  if (state.queue.length > 0) return 'transition before our text was whole'
  return wantsTransit(state) && response.nextStage === stageAfter(state.stage)
    ? undefined
    : 'transition that was not offered'
}

/** Takes one Login Response. `received` is borrowed: what is kept of it is copied. */
export function advanceInitiatorLogin(
  state: InitiatorLoginState,
  received: ReceivedLoginResponse,
): InitiatorLoginStep {
  const { response, data } = received
  const why = faultOf(state, response)
  if (why !== undefined) return fault(why)
  if (state.rounds >= loginRounds) return fault('too many rounds')
  const gathered = gatherText(state.text, data, response.continues)
  if (isTextFault(gathered)) return fault(gathered.why)
  const expStatSn = serialAdd(response.statSn, 1)
  if (gathered.kind === 'more') {
    const parts = gathered.parts.parts.map((part) => Buffer.from(part))
    return sendNext({ ...state, expStatSn, text: { ...gathered.parts, parts } })
  }
  return takeText({ ...state, expStatSn, text: noText }, response, gathered.text)
}

function takeText(
  state: InitiatorLoginState,
  response: LoginResponse,
  text: Buffer,
): InitiatorLoginStep {
  const parsed = parseText(text)
  const pairs = isTextFault(parsed) ? parsed : uniqueKeys(parsed)
  if (isTextFault(pairs)) return fault(pairs.why)
  const status = response.statusClass * 256 + response.statusDetail
  if (status !== 0) return { kind: 'refused', status, keys: pairs }
  const { chap } = state.offer
  if (state.stage === Stage.SECURITY && chap !== undefined) {
    return prove(state, chap, { response, pairs })
  }
  const answers = withAnswers(state, pairs)
  if (typeof answers === 'string') return fault(answers)
  const next = { ...state, answers }
  if (response.transit) return establish(next, response)
  const own = answersToTarget(state.offer, pairs)
  return sendNext(own.length === 0 ? next : { ...next, queue: [...state.queue, encodeText(own)] })
}

/** A string says what was answered before. */
function withAnswers(
  { answers }: InitiatorLoginState,
  pairs: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> | string {
  const repeated = [...pairs.keys()].find((name) => answers.has(name))
  return repeated === undefined ? new Map([...answers, ...pairs]) : `${repeated} was answered twice`
}

const ofSecurity = (name: string) => name === keys.AuthMethod.name || chapKeys.has(name)

/** The security stage: CHAP, and then on to the operational one. */
function prove(
  state: InitiatorLoginState,
  credentials: ChapCredentials,
  { response, pairs }: { response: LoginResponse; pairs: ReadonlyMap<string, string> },
): InitiatorLoginStep {
  const all = [...pairs]
  const said = new Map(all.filter(([name]) => ofSecurity(name)))
  const step = advanceChapInitiator(credentials, state.chap, said)
  if (step.kind === 'fault') return fault(step.why)
  const others = new Map(all.filter(([name]) => !ofSecurity(name)))
  const answers = withAnswers(state, others)
  if (typeof answers === 'string') return fault(answers)
  const own = answersToTarget(state.offer, others)
  const next = { ...state, answers, chap: step.state }
  if (!response.transit) {
    const text = [...step.pairs, ...own]
    return sendNext(text.length === 0 ? next : { ...next, queue: [encodeText(text)] })
  }
  if (!chapIsOver(step.state)) return fault('a transition without the proof of the target')
  const text = encodeText([...own, ...operationalPairs(state.offer)])
  const queue = splitText(text, loginSegmentBytes)
  return sendNext({ ...next, stage: Stage.OPERATIONAL, queue })
}

/** Keys that the target brings up itself. Declarations want no answer. */
function answersToTarget(offer: LoginOffer, pairs: ReadonlyMap<string, string>): TextPair[] {
  const offered = new Map(offeredPairs(offer))
  const answers: TextPair[] = []
  for (const [name, value] of pairs) {
    if (offered.has(name)) continue
    const row = findKey(name)
    const answer = row === undefined ? Answer.NOT_UNDERSTOOD : negotiate(row, value).answer
    if (answer !== undefined) answers.push([name, answer])
  }
  return answers
}

/** Judges one of our offers; a string is a fault. */
function settleOffer(
  row: KeyRow,
  offer: string,
  answer: string | undefined,
): KeyValue | { fault: string } {
  const declared = row.type === 'text' || (row.type === 'number' && row.result === 'declare')
  if (declared) return row.type === 'number' ? Number(offer) : offer
  // A target that knows nothing of our own key may say so in whatever way.
  if (row === keys.Generation && (answer === undefined || answer === Answer.REJECT)) return 0
  const settled = settle(row, offer, answer)
  return 'fault' in settled ? settled : settled.value
}

function settleAll(state: InitiatorLoginState): Settlements | { readonly fault: string } {
  const settled = new Map<string, KeyValue>()
  for (const [name, offer] of offeredPairs(state.offer)) {
    const row = findKey(name)
    assert(row !== undefined, `${name} is offered, so it has a row`)
    const value = settleOffer(row, offer, state.answers.get(name))
    if (typeof value === 'object') return value
    settled.set(name, value)
  }
  return settled
}

/** A declared number of the target's, checked; undefined where it declared none. */
function declaredNumber(state: InitiatorLoginState, row: KeyRow): number | 'bad' | undefined {
  const text = state.answers.get(row.name)
  if (text === undefined) return undefined
  const { value } = negotiate(row, text)
  return typeof value === 'number' ? value : 'bad'
}

function establish(state: InitiatorLoginState, response: LoginResponse): InitiatorLoginStep {
  const { offer, answers } = state
  if (response.tsih === 0 && offer.sessionType === 'Normal') return fault('a session without TSIH')
  const settled = settleAll(state)
  if ('fault' in settled) return fault(settled.fault)
  const targetMaxRecv = declaredNumber(state, keys.MaxRecvDataSegmentLength)
  const portalGroupTag = declaredNumber(state, keys.TargetPortalGroupTag)
  if (targetMaxRecv === 'bad' || portalGroupTag === 'bad') return fault('a bad declaration')
  const targetAlias = answers.get(keys.TargetAlias.name)
  return {
    kind: 'established',
    session: {
      parameters: sessionParameters(
        settled,
        { isid: offer.isid, cid: offer.cid },
        { initiatorMaxRecv: offer.maxRecvDataSegmentBytes, targetMaxRecv },
      ),
      tsih: response.tsih,
      ...(portalGroupTag === undefined ? {} : { targetPortalGroupTag: portalGroupTag }),
      ...(targetAlias === undefined ? {} : { targetAlias }),
      expStatSn: serialAdd(response.statSn, 1),
      cmdSn: offer.cmdSn,
      expCmdSn: response.expCmdSn,
      maxCmdSn: response.maxCmdSn,
    },
  }
}

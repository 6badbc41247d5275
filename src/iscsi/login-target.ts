/**
 * The login phase, target role, as a pure step: (state, request) -> what to send and the next state.
 * RFC 7143 6.3, 11.12, 11.13. It checks stages, names and keys; whether this initiator may have this
 * target is the host's decision, for which the step stops just before the last response. It knows
 * no other session.
 *
 * Deviation: RFC 7143 9.2.1 has every target implement CHAP. AuthMethod is None only here; an
 * initiator that insists on another is refused, never let in without it.
 */
import { assert } from '../base/assert.ts'
import { loginRounds } from '../base/limits.ts'
import { serialAdd } from '../base/serial.ts'
import { keys } from './keys.ts'
import { answerKeys } from './login-keys.ts'
import { type LoginPolicy, ownValues } from './login-policy.ts'
import { type Settlements, sessionParameters, textOf } from './negotiation.ts'
import { type LoginRequest, Stage } from './pdu/login-request.ts'
import { loginResponse } from './pdu/login-response.ts'
import { LoginStatus } from './pdu/login-status.ts'
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

/** A Login Request as the framer hands it over. */
export interface ReceivedLogin {
  readonly request: LoginRequest
  readonly data: readonly Buffer[]
}

/** A Login Response: header and data segment for `encodeFrame`, without digests. */
export interface LoginReply {
  readonly header: Buffer
  readonly data: Buffer
}

type LoginStage = typeof Stage.SECURITY | typeof Stage.OPERATIONAL

/** What all requests of one login have in common. RFC 7143 6.3, 11.12.5 to 11.12.8. */
interface LoginIdentity {
  readonly isid: Buffer
  readonly cid: number
  readonly initiatorTaskTag: number
  /** 0 asks for a new session; otherwise the session that this connection joins. */
  readonly tsih: number
}

interface Begun {
  readonly policy: LoginPolicy
  readonly identity: LoginIdentity
  readonly stage: LoginStage
  readonly settled: Settlements
  readonly initiatorMaxRecv: number | undefined
  readonly declaredMaxRecv: boolean
  readonly statSn: number
  readonly rounds: number
}

export type LoginState =
  | { readonly kind: 'new'; readonly policy: LoginPolicy }
  /** Waiting for a request; `text` is what came before it with the C bit. */
  | ({ readonly kind: 'listening'; readonly text: TextParts } & Begun)
  /** Our answer is longer than one PDU: each empty request fetches the next piece. */
  | ({ readonly kind: 'telling'; readonly queue: readonly Buffer[] } & Begun)

/** A login for a session that exists already. RFC 7143 6.3.1, 6.3.4. */
export interface JoinedSession {
  readonly tsih: number
  readonly cid: number
}

export interface LoginFacts {
  /** Of a login that joins a session only what has the scope of a connection counts. */
  readonly parameters: SessionParameters
  /** CmdSN of the first command that this session expects. */
  readonly expCmdSn: number
  /** StatSN of the first response after the login. */
  readonly statSn: number
  /** Present where TSIH was not 0: the connection is added to, or reinstated in, that session. */
  readonly join?: JoinedSession
}

export type LoginStep =
  | { readonly kind: 'respond'; readonly state: LoginState; readonly reply: LoginReply }
  /** All is agreed but the last response; exactly one of the two functions is to be called. */
  | {
      readonly kind: 'decide'
      readonly facts: LoginFacts
      readonly accept: (tsih: number) => LoginReply
      readonly refuse: (status: number, pairs?: readonly TextPair[]) => LoginReply
    }
  /** Send this and close the connection. */
  | {
      readonly kind: 'refuse'
      readonly reply: LoginReply
      readonly status: number
      readonly why: string
    }

const nothing = Buffer.alloc(0)
/** Until the initiator declares another; our answers never need more. RFC 7143 13.12. */
const loginSegmentBytes = 8192

export function beginLogin(policy: LoginPolicy): LoginState {
  return { kind: 'new', policy }
}

interface ReplyFields {
  readonly stage: number
  readonly next?: number
  readonly continues?: boolean
  readonly tsih?: number
  readonly statSn?: number
  readonly status?: number
  readonly windowCommands?: number
  readonly data?: Buffer
}

function reply(request: LoginRequest, fields: ReplyFields): LoginReply {
  const status = fields.status ?? LoginStatus.SUCCESS
  const header = loginResponse.build({
    transit: fields.next !== undefined,
    continues: fields.continues ?? false,
    currentStage: fields.stage,
    nextStage: fields.next ?? 0,
    versionMax: 0,
    versionActive: 0,
    isid: request.isid,
    tsih: fields.tsih ?? request.tsih,
    initiatorTaskTag: request.initiatorTaskTag,
    statSn: fields.statSn ?? 0,
    // Login requests are immediate: the next command carries the CmdSN that they show.
    expCmdSn: request.cmdSn,
    maxCmdSn: serialAdd(request.cmdSn, (fields.windowCommands ?? 1) - 1),
    statusClass: status >> 8,
    statusDetail: status & 0xff,
  })
  return { header, data: fields.data ?? nothing }
}

function refuse(
  request: LoginRequest,
  status: number,
  why: string,
): LoginStep & { kind: 'refuse' } {
  return {
    kind: 'refuse',
    reply: reply(request, { stage: request.currentStage, status }),
    status,
    why,
  }
}

/** Rules that a single request must obey. RFC 7143 6.3.1, 11.12.1 to 11.12.3. */
function faultOfFlags(request: LoginRequest): string | undefined {
  const { currentStage, nextStage, transit, continues } = request
  if (currentStage !== Stage.SECURITY && currentStage !== Stage.OPERATIONAL) return 'no such stage'
  if (!transit) return undefined
  if (continues) return 'T and C bit together'
  if (nextStage !== Stage.OPERATIONAL && nextStage !== Stage.FULL_FEATURE)
    return 'no such next stage'
  return nextStage > currentStage ? undefined : 'next stage is not ahead'
}

function refuseNew(request: LoginRequest): LoginStep | undefined {
  return request.versionMin > 0
    ? refuse(request, LoginStatus.UNSUPPORTED_VERSION, 'only version 0 is spoken')
    : undefined
}

function faultOfIdentity(state: Begun, request: LoginRequest): string | undefined {
  const { identity, stage, rounds } = state
  if (!request.isid.equals(identity.isid)) return 'ISID changed'
  if (request.cid !== identity.cid) return 'CID changed'
  if (request.tsih !== identity.tsih) return 'TSIH changed'
  if (request.initiatorTaskTag !== identity.initiatorTaskTag) return 'InitiatorTaskTag changed'
  if (request.currentStage !== stage) return 'not the stage that was agreed'
  return rounds >= loginRounds ? 'too many rounds' : undefined
}

/** Takes one Login Request. `received` is borrowed: what is kept of it is copied. */
export function advanceLogin(state: LoginState, received: ReceivedLogin): LoginStep {
  const { request } = received
  const flagFault = faultOfFlags(request)
  if (flagFault !== undefined) return refuse(request, LoginStatus.INITIATOR_ERROR, flagFault)
  if (state.kind === 'new') {
    const refused = refuseNew(request)
    return refused ?? listen(begin(state.policy, request), noText, received)
  }
  const fault = faultOfIdentity(state, request)
  if (fault !== undefined) return refuse(request, LoginStatus.INITIATOR_ERROR, fault)
  return state.kind === 'telling' ? tellMore(state, received) : listen(state, state.text, received)
}

function begin(policy: LoginPolicy, request: LoginRequest): Begun {
  const { currentStage, isid, cid, initiatorTaskTag, tsih } = request
  return {
    policy,
    identity: { isid: Buffer.from(isid), cid, initiatorTaskTag, tsih },
    stage: currentStage === Stage.SECURITY ? Stage.SECURITY : Stage.OPERATIONAL,
    settled: new Map(),
    initiatorMaxRecv: undefined,
    declaredMaxRecv: false,
    // The first StatSN is ours to choose. RFC 7143 11.13.4.
    statSn: request.expStatSn,
    rounds: 0,
  }
}

/** Gathers this side's text; whole, it is answered. */
function listen(begun: Begun, before: TextParts, { request, data }: ReceivedLogin): LoginStep {
  const gathered = gatherText(before, data, request.continues)
  if (isTextFault(gathered)) return refuse(request, LoginStatus.INITIATOR_ERROR, gathered.why)
  if (gathered.kind === 'whole') return answer(begun, request, gathered.text)
  const { stage, statSn } = begun
  return {
    kind: 'respond',
    state: {
      ...begun,
      kind: 'listening',
      statSn: serialAdd(statSn, 1),
      text: { ...gathered.parts, parts: gathered.parts.parts.map((part) => Buffer.from(part)) },
    },
    reply: reply(request, { stage, statSn }),
  }
}

function answer(begun: Begun, request: LoginRequest, text: Buffer): LoginStep {
  const pairs = parseText(text)
  const offers = isTextFault(pairs) ? pairs : uniqueKeys(pairs)
  if (isTextFault(offers)) return refuse(request, LoginStatus.INITIATOR_ERROR, offers.why)
  const answered = answerKeys(
    {
      stage: begun.stage === Stage.SECURITY ? 'security' : 'operational',
      settled: begun.settled,
      own: ownValues(begun.policy),
      joins: begun.identity.tsih !== 0,
    },
    offers,
  )
  if (answered.kind === 'refuse') return refuse(request, answered.status, answered.why)
  const leading = begun.settled.size === 0
  const settled = answered.settled
  if (leading) {
    const missing = refuseNameless(request, settled)
    if (missing !== undefined) return missing
  }
  const declares = begun.stage === Stage.OPERATIONAL && !begun.declaredMaxRecv
  const outgoing = [
    ...declarations(begun.policy, { leading, declares, settled }),
    ...answered.answers,
  ]
  const next: Begun = {
    ...begun,
    settled,
    initiatorMaxRecv: answered.initiatorMaxRecv ?? begun.initiatorMaxRecv,
    declaredMaxRecv: begun.declaredMaxRecv || declares,
    rounds: begun.rounds + 1,
  }
  return tell(next, request, splitText(encodeText(outgoing), loginSegmentBytes))
}

/** RFC 7143 6.3: the first request names the initiator, and the target of a normal session. */
function refuseNameless(request: LoginRequest, settled: Settlements): LoginStep | undefined {
  if (textOf(settled, keys.InitiatorName) === undefined) {
    return refuse(request, LoginStatus.MISSING_PARAMETER, 'InitiatorName is missing')
  }
  const discovery = textOf(settled, keys.SessionType) === 'Discovery'
  if (!discovery && textOf(settled, keys.TargetName) === undefined) {
    return refuse(request, LoginStatus.MISSING_PARAMETER, 'TargetName is missing')
  }
  return undefined
}

/** What we say without being asked. RFC 7143 13.9 wants the portal group in the first response. */
function declarations(
  policy: LoginPolicy,
  facts: { readonly leading: boolean; readonly declares: boolean; readonly settled: Settlements },
): TextPair[] {
  const pairs: TextPair[] = []
  if (facts.leading && textOf(facts.settled, keys.SessionType) !== 'Discovery') {
    pairs.push([keys.TargetPortalGroupTag.name, String(policy.portalGroupTag)])
    if (policy.targetAlias !== undefined) pairs.push([keys.TargetAlias.name, policy.targetAlias])
  }
  if (facts.declares) {
    pairs.push([keys.MaxRecvDataSegmentLength.name, String(policy.maxRecvDataSegmentBytes)])
  }
  return pairs
}

/** Sends the first piece of the queue; with the last one the stage changes if this request asks so. */
function tell(begun: Begun, request: LoginRequest, queue: readonly Buffer[]): LoginStep {
  const [data, ...rest] = queue
  assert(data !== undefined, 'there is a piece to tell')
  const { stage, statSn } = begun
  const next = { ...begun, statSn: serialAdd(statSn, 1) }
  if (rest.length > 0) {
    return {
      kind: 'respond',
      state: { ...next, kind: 'telling', queue: rest },
      reply: reply(request, { stage, statSn, data, continues: true }),
    }
  }
  if (!request.transit) {
    return {
      kind: 'respond',
      state: { ...next, kind: 'listening', text: noText },
      reply: reply(request, { stage, statSn, data }),
    }
  }
  if (request.nextStage === Stage.FULL_FEATURE) return decide(next, request, data)
  return {
    kind: 'respond',
    state: { ...next, kind: 'listening', stage: Stage.OPERATIONAL, text: noText },
    reply: reply(request, { stage, statSn, data, next: request.nextStage }),
  }
}

/** RFC 7143 6.2: while our text goes on with the C bit, requests carry no text. */
function tellMore(state: LoginState & { kind: 'telling' }, received: ReceivedLogin): LoginStep {
  const { request, data } = received
  if (request.continues || data.some((part) => part.length > 0)) {
    return refuse(request, LoginStatus.INITIATOR_ERROR, 'text while our own text goes on')
  }
  return tell({ ...state, rounds: state.rounds + 1 }, request, state.queue)
}

/** `begun.statSn` is already that of the first response after the login. */
function decide(begun: Begun, request: LoginRequest, data: Buffer): LoginStep {
  const { policy, identity, settled, stage } = begun
  const refused = refuseUnfenced(begun, request)
  if (refused !== undefined) return refused
  const parameters = sessionParameters(
    settled,
    { isid: identity.isid, cid: identity.cid },
    {
      initiatorMaxRecv: begun.initiatorMaxRecv,
      targetMaxRecv: begun.declaredMaxRecv ? policy.maxRecvDataSegmentBytes : undefined,
    },
  )
  // What outlives this turn must not hold the receive buffer.
  const last: LoginRequest = { ...request, isid: identity.isid }
  return {
    kind: 'decide',
    facts: {
      parameters,
      expCmdSn: request.cmdSn,
      statSn: begun.statSn,
      ...(identity.tsih === 0 ? {} : { join: { tsih: identity.tsih, cid: identity.cid } }),
    },
    accept: (tsih) =>
      reply(last, {
        stage,
        next: Stage.FULL_FEATURE,
        tsih,
        statSn: serialAdd(begun.statSn, -1),
        windowCommands: policy.windowCommands,
        data,
      }),
    refuse: (status, pairs = []) => reply(last, { stage, status, data: encodeText(pairs) }),
  }
}

/** Design section 12: a session that speaks the generation numbers its logins. */
function refuseUnfenced(begun: Begun, request: LoginRequest): LoginStep | undefined {
  const { settled } = begun
  const generation = settled.get(keys.Generation.name)
  if (generation === undefined || generation === 0 || settled.has(keys.Login.name)) return undefined
  return refuse(request, LoginStatus.INITIATOR_ERROR, 'the generation without a login number')
}

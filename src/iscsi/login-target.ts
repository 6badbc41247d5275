/**
 * The login phase, target role, as a pure step: (state, request) -> what to send and the next state.
 * RFC 7143 6.3, 11.12, 11.13. It checks stages, names, keys and CHAP; whether this initiator may
 * have this target is the host's decision, for which the step stops just before the last response.
 * It knows no other session.
 */
import { assert } from '../base/assert.ts'
import { serialAdd } from '../base/serial.ts'
import { chapKeys } from './chap.ts'
import { advanceChapTarget } from './chap-target.ts'
import { findKey, keys } from './keys.ts'
import { answerKeys } from './login-keys.ts'
import { type LoginPolicy, ownValues } from './login-policy.ts'
import { faultOfFlags, faultOfIdentity, refuse, refuseNew, reply } from './login-reply.ts'
import type { Begun, LoginState, LoginStep, ReceivedLogin } from './login-state.ts'
import { listOf, type Settlements, sessionParameters, textOf } from './negotiation.ts'
import { type LoginRequest, Stage } from './pdu/login-request.ts'
import { LoginStatus } from './pdu/login-status.ts'
import { sessionNames } from './session-parameters.ts'
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

/** Until the initiator declares another; our answers never need more. RFC 7143 13.12. */
const loginSegmentBytes = 8192

export function beginLogin(policy: LoginPolicy): LoginState {
  return { kind: 'new', policy }
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
    chap: { kind: 'idle' },
    keyOrder: [],
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
  const parsed = parseText(text)
  const unique = isTextFault(parsed) ? parsed : uniqueKeys(parsed)
  if (isTextFault(unique)) return refuse(request, LoginStatus.INITIATOR_ERROR, unique.why)
  const { offers, chapSaid } = apart(begun.policy, unique)
  const answered = answerKeys(
    {
      stage: begun.stage === Stage.SECURITY ? 'security' : 'operational',
      settled: begun.settled,
      own: ownValues(begun.policy, isDiscovery(begun.settled, offers)),
      joins: begun.identity.tsih !== 0,
    },
    offers,
  )
  if (answered.kind === 'refuse') return refuse(request, answered.status, answered.why)
  const leading = begun.settled.size === 0
  const settled = answered.settled
  if (leading) {
    const refused = refuseNameless(request, settled) ?? redirect(begun, request, settled)
    if (refused !== undefined) return refused
  }
  const declares = begun.stage === Stage.OPERATIONAL && !begun.declaredMaxRecv
  const next: Begun = {
    ...begun,
    settled,
    keyOrder: withKnown(begun.keyOrder, offers.keys()),
    initiatorMaxRecv: answered.initiatorMaxRecv ?? begun.initiatorMaxRecv,
    declaredMaxRecv: begun.declaredMaxRecv || declares,
    rounds: begun.rounds + 1,
  }
  const told = [...declarations(begun.policy, { leading, declares, settled }), ...answered.answers]
  return authenticate(next, request, { chapSaid, told })
}

/** CHAP keys mean something only in the exchange that is agreed on with AuthMethod. */
function apart({ chap }: LoginPolicy, unique: ReadonlyMap<string, string>) {
  const mine = ([key]: readonly [string, string]) => chap !== undefined && chapKeys.has(key)
  const all = [...unique]
  return {
    offers: new Map(all.filter((pair) => !mine(pair))),
    chapSaid: new Map(all.filter(mine)),
  }
}

/** What a session keeps of its login must not grow with what a stranger says. */
function withKnown(before: readonly string[], names: Iterable<string>): readonly string[] {
  const known = [...names].filter((name) => findKey(name) !== undefined)
  return [...new Set([...before, ...known])]
}

function isDiscovery(settled: Settlements, offers?: ReadonlyMap<string, string>): boolean {
  const { name } = keys.SessionType
  return (settled.get(name) ?? offers?.get(name)) === 'Discovery'
}

interface Exchanged {
  readonly chapSaid: ReadonlyMap<string, string>
  readonly told: readonly TextPair[]
}

function authenticate(begun: Begun, request: LoginRequest, exchanged: Exchanged): LoginStep {
  const { policy, settled } = begun
  let { chap } = begun
  let own: readonly TextPair[] = []
  if (policy.chap !== undefined) {
    if (chap.kind === 'idle' && listOf(settled, keys.AuthMethod) === 'CHAP') {
      chap = { kind: 'agreed' }
    }
    const initiatorName = textOf(settled, keys.InitiatorName) ?? ''
    const step = advanceChapTarget(policy.chap, chap, { keys: exchanged.chapSaid, initiatorName })
    if (step.kind === 'failed') {
      return refuse(request, LoginStatus.AUTHENTICATION_FAILURE, step.why)
    }
    chap = step.state
    own = step.pairs
  }
  const text = encodeText([...exchanged.told, ...own])
  return tell({ ...begun, chap }, request, splitText(text, loginSegmentBytes))
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

/**
 * RFC 7143 11.13.5. In the first response: libiscsi does not follow a later one, and what it would
 * prove here is nothing to the target that it is sent to.
 */
function redirect(
  { policy, identity }: Begun,
  request: LoginRequest,
  settled: Settlements,
): LoginStep | undefined {
  const { isid, tsih } = identity
  const initiatorName = textOf(settled, keys.InitiatorName) ?? ''
  const names = sessionNames({
    ...{ initiatorName, isid },
    targetName: textOf(settled, keys.TargetName) ?? '',
  })
  if (isDiscovery(settled)) return undefined
  const { targetName } = names
  const moved = policy.redirects?.find((each) => each.targetName.toLowerCase() === targetName)
  // What joins a session has to come where that session is.
  const address = moved?.address ?? (tsih === 0 ? policy.elsewhere?.(names) : undefined)
  if (address === undefined) return undefined
  const status = moved?.permanently
    ? LoginStatus.TARGET_MOVED_PERMANENTLY
    : LoginStatus.TARGET_MOVED_TEMPORARILY
  // RFC 7143 13.8: in a redirect without the portal group tag.
  const data = encodeText([[keys.TargetAddress.name, address]])
  return refuse(request, status, `it is served at ${address}`, data)
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
  const { kind } = begun.chap
  // RFC 7143 6.3.2: a target that has not seen the proof stays in the security stage.
  if (!request.transit || kind === 'agreed' || kind === 'challenged') {
    return {
      kind: 'respond',
      state: { ...next, kind: 'listening', text: noText },
      reply: reply(request, { stage, statSn, data }),
    }
  }
  if (mustProve(begun) && kind !== 'proven') {
    return refuse(request, LoginStatus.AUTHENTICATION_FAILURE, 'a login without CHAP')
  }
  if (request.nextStage === Stage.FULL_FEATURE) return decide(next, request, data)
  return {
    kind: 'respond',
    state: { ...next, kind: 'listening', stage: Stage.OPERATIONAL, text: noText },
    reply: reply(request, { stage, statSn, data, next: request.nextStage }),
  }
}

/** Has this session to be authenticated? Every connection of it has, then. */
function mustProve({ policy: { chap }, settled }: Begun): boolean {
  return chap !== undefined && (chap.discovery || !isDiscovery(settled))
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
      keyOrder: begun.keyOrder,
      ...(begun.chap.kind === 'proven' ? { chapUser: begun.chap.user } : {}),
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

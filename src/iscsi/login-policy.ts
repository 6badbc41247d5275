/**
 * What a target wants of the logins that come to it. A storage server, a front portal and a
 * discovery portal differ here and nowhere else in the login.
 */
import { leg, portal } from '../base/limits.ts'
import type { ChapPolicy } from './chap-target.ts'
import type { ListChoice, OwnValue } from './key.ts'

type Digest = 'CRC32C' | 'None'

export interface Redirect {
  readonly targetName: string
  /** `HOST:PORT`. */
  readonly address: string
  readonly permanently: boolean
}

/** A new normal session's login, as its first request names it. */
export interface LeadingLogin {
  readonly initiatorName: string
  /** The SCSI initiator port name: InitiatorName and ISID. */
  readonly initiatorPort: string
  readonly targetName: string
}

export interface LoginPolicy {
  /** A list alone follows the initiator's order; `order: 'ours'` prefers the first that fits. */
  readonly headerDigest: { readonly values: readonly Digest[]; readonly order: ListChoice['order'] }
  readonly dataDigest: { readonly values: readonly Digest[]; readonly order: ListChoice['order'] }
  readonly maxRecvDataSegmentBytes: number
  readonly maxBurstBytes: number
  readonly firstBurstBytes: number
  readonly maxOutstandingR2T: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  /** Connections that one session may have, and the level of recovery among them. RFC 7143 7. */
  readonly maxConnections: number
  readonly errorRecoveryLevel: 0 | 1 | 2
  /** Seconds that a session without connections is kept, and how soon one may come back. */
  readonly defaultTime2Wait: number
  readonly defaultTime2Retain: number
  /** Commands that may be open at once: MaxCmdSN in the last response. */
  readonly windowCommands: number
  /** Version of the generation header spoken here; 0: none. */
  readonly generationVersion: 0 | 1
  readonly portalGroupTag: number
  readonly targetAlias?: string
  /** Targets that are served elsewhere; said before anybody has to prove anything. */
  readonly redirects?: readonly Redirect[]
  /** `HOST:PORT` that a new session is to be opened at instead, for now; said as early. */
  readonly elsewhere?: (login: LeadingLogin) => string | undefined
  /** Initiators have to prove themselves; absent: none is asked to. */
  readonly chap?: ChapPolicy
}

const anyDigest = { values: ['None', 'CRC32C'], order: 'theirs' } as const

/** For stock initiators: they say what they like best. */
export const plainLoginPolicy: LoginPolicy = {
  headerDigest: anyDigest,
  dataDigest: anyDigest,
  maxRecvDataSegmentBytes: leg.maxRecvDataSegmentBytes,
  maxBurstBytes: leg.maxBurstBytes,
  firstBurstBytes: leg.firstBurstBytes,
  maxOutstandingR2T: 1,
  initialR2T: false,
  immediateData: true,
  maxConnections: portal.sessionConnections,
  errorRecoveryLevel: 2,
  defaultTime2Wait: portal.time2WaitSeconds,
  defaultTime2Retain: portal.time2RetainSeconds,
  windowCommands: leg.windowCommands,
  generationVersion: 0,
  portalGroupTag: 1,
}

/**
 * For sessions of our own programs: the fence is in the header, so it is protected if it can be.
 * One connection, and nothing is recovered within a session: a new login ends what was. Design 3.
 */
export const fencedLoginPolicy: LoginPolicy = {
  ...plainLoginPolicy,
  headerDigest: { values: ['CRC32C', 'None'], order: 'ours' },
  maxConnections: 1,
  errorRecoveryLevel: 0,
  defaultTime2Wait: 0,
  defaultTime2Retain: 0,
  generationVersion: 1,
}

/** With CHAP wanted, None is no answer of ours: it cannot be talked down to. RFC 7143 12.1. */
function authMethods({ chap }: LoginPolicy, discovery: boolean): ListChoice {
  if (chap === undefined) return { values: ['None'], order: 'theirs' }
  const optional = discovery && !chap.discovery
  return { values: optional ? ['CHAP', 'None'] : ['CHAP'], order: 'theirs' }
}

/** Our values by key name, for `negotiate`. */
export function ownValues(policy: LoginPolicy, discovery: boolean): ReadonlyMap<string, OwnValue> {
  return new Map<string, OwnValue>([
    ['AuthMethod', authMethods(policy, discovery)],
    ['HeaderDigest', policy.headerDigest],
    ['DataDigest', policy.dataDigest],
    ['MaxBurstLength', policy.maxBurstBytes],
    ['FirstBurstLength', policy.firstBurstBytes],
    ['MaxOutstandingR2T', policy.maxOutstandingR2T],
    ['InitialR2T', policy.initialR2T],
    ['ImmediateData', policy.immediateData],
    ['MaxConnections', policy.maxConnections],
    ['ErrorRecoveryLevel', policy.errorRecoveryLevel],
    ['DefaultTime2Wait', policy.defaultTime2Wait],
    ['DefaultTime2Retain', policy.defaultTime2Retain],
    ['X-io.palisade.Generation', policy.generationVersion],
  ])
}

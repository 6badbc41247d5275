/** What a front end says of itself (proto/shim.proto). */
import { codec } from '../codec.ts'

export type ShimStatusRequest = Record<string, never>
export interface ShimStatusReply {
  readonly client: string
  readonly managerConnected: boolean
  readonly managementPath: readonly string[]
  readonly volumes: readonly FrontVolumeStatus[]
  /** Logins that were sent to other gateways. */
  readonly sentElsewhere: number
}

/** Counters run since the start of the process. */
export interface FrontVolumeStatus {
  readonly volumeId: string
  readonly name: string
  readonly generation: number
  readonly sessions: number
  readonly fenced: boolean
  readonly live: number
  readonly held: number
  readonly commands: number
  readonly heldTotal: number
  readonly longestStallMs: number
  readonly resent: number
  readonly repeats: readonly { readonly reason: string; readonly count: number }[]
  readonly busy: number
  readonly conflicts: number
  readonly dropped: number
  readonly alarms: number
  /** Commands that were lost in doubt and must not be sent twice: their initiator was told. */
  readonly outcomeUnknown: number
  readonly paths: readonly PathStatus[]
  readonly initiators: readonly InitiatorStatus[]
}

/** One session of an initiator with the volume. */
export interface InitiatorStatus {
  readonly name: string
  /** Empty where the initiator gives none. */
  readonly alias: string
  /** `unknown` where it does not tell. */
  readonly profile: string
  /** Where its connections come from. */
  readonly addresses: readonly string[]
  readonly portalGroupTag: number
  readonly headerDigest: boolean
  readonly dataDigest: boolean
  readonly errorRecoveryLevel: number
  /** Empty without CHAP. */
  readonly chapUser: string
}

export interface PathStatus {
  readonly serverId: string
  readonly server: string
  /** `direct`, `management` or `none`. */
  readonly route: string
  readonly portal: string
  readonly direct: RouteCounters
  readonly management: RouteCounters
  readonly breaks: number
  readonly returns: number
}

export interface RouteCounters {
  readonly commands: number
  readonly bytes: number
  readonly logins: number
}

export const shimStatusRequestCodec = codec<ShimStatusRequest>('ShimStatusRequest')
export const shimStatusReplyCodec = codec<ShimStatusReply>('ShimStatusReply')

/** What storage servers and front ends ask of a manager (proto/client.proto). */

import type { SharedState } from '../../scsi/unit-settings.ts'
import type { Generation } from '../../volume/generation.ts'
import type { VolumeMap } from '../../volume/map.ts'
import { codec, type Wire } from '../codec.ts'
import { codecWithMap, withField } from '../conversions.ts'
import {
  type ActivateRequest,
  activateFromWire,
  activateToWire,
  type HeldVolume,
  type ReopenRequest,
  type ServerFacts,
} from './server.ts'
import { sharedStateFromWire, sharedStateToWire } from './shared-state.ts'

export interface RegisterRequest {
  readonly server: ServerFacts
  readonly volumes: readonly HeldVolume[]
}
export interface RegisterReply {
  /** Only adopted servers get data. */
  readonly adopted: boolean
  readonly term: number
  /** The most that the server copies for recovery; 0: no limit. */
  readonly recoveryBytesPerSecond: number
}

/** A storage server tells what became of the replicas beside its own. */
export interface ConditionRequest {
  readonly serverId: string
  readonly volume: HeldVolume
}
export type ConditionReply = Record<string, never>

export interface AskRequest {
  readonly serverId: string
  readonly volume: HeldVolume
}
/** Exactly one of them. */
export interface AskReply {
  readonly activate?: ActivateRequest | undefined
  readonly reopen?: ReopenRequest | undefined
  /** Nothing to say yet: ask again. */
  readonly wait?: boolean | undefined
  /** The volume was deleted: the server may free what it holds. */
  readonly forgotten?: boolean | undefined
}

export interface GetMapRequest {
  readonly client: string
  /** A volume's name. */
  readonly volume: string
  /** Waits for a generation above this one; the reply has no map when none came in time. */
  readonly newerThan: Generation
}
export interface GetMapReply {
  readonly map?: VolumeMap | undefined
}

export interface WatchRequest {
  readonly client: string
}
/** Exactly one of them. */
export interface WatchEvent {
  readonly map?: VolumeMap | undefined
  /** Every volume was listed. */
  readonly listed?: boolean | undefined
  readonly keepAlive?: boolean | undefined
  /** volumeId of a volume that is gone for this client. */
  readonly gone?: string | undefined
  /** iSCSI portals of the management path. */
  readonly managementPath?: { readonly addresses: readonly string[] } | undefined
}

export interface ChangeSharedStateRequest {
  readonly client: string
  readonly volumeId: string
  /** The name of this change: asking again with it is harmless. */
  readonly change: string
  readonly formerVersion: number
  readonly state: SharedState
  /** Clients are shut out in between. */
  readonly takesAway: boolean
}
export interface ChangeSharedStateReply {
  /** The newest: whether its state names the change is the answer. */
  readonly map: VolumeMap
  /** Why the change was given up and undone; empty otherwise. */
  readonly givenUp: string
}

/** A front end through which initiators reach volumes beside others: one target port group. */
export interface Gateway {
  readonly client: string
  /** TargetPortalGroupTag. */
  readonly group: number
  /** iSCSI portals. */
  readonly addresses: readonly string[]
}

export interface ServedInitiator {
  readonly volumeId: string
  readonly initiator: string
}

/** A front end tells that it lives and whom it serves. */
export interface AttendRequest {
  readonly client: string
  /** Absent: initiators elsewhere are not told of it. */
  readonly gateway?: Gateway | undefined
  readonly serves: readonly ServedInitiator[]
  /** It stops. */
  readonly leaving: boolean
  /** Of initiators, with any volume. */
  readonly sessions?: number
  /** Initiators that have a session here, with their volumes: see `attachmentKey`. */
  readonly attachments?: readonly number[]
}
export interface AttendReply {
  readonly gateways: readonly Gateway[]
  readonly loads: readonly GatewayLoad[]
}

/** What a gateway said of itself last. */
export interface GatewayLoad {
  readonly client: string
  readonly sessions: number
  readonly attachments: readonly number[]
}

export interface ActivateFrontEndRequest {
  readonly client: string
  readonly volumeId: string
  readonly initiator: string
  /** Number of the entry that the asker knows, which has to hold still; 0: none. */
  readonly formerNumber: number
  /** By the initiator: also where the active one serves it. */
  readonly explicit: boolean
}
export interface ActivateFrontEndReply {
  /** The newest: whom it names is the answer. */
  readonly map: VolumeMap
  /** Why the change was given up and undone; empty otherwise. */
  readonly givenUp: string
}

export interface ReportRequest {
  readonly client: string
  readonly serverId: string
  readonly portal: string
  readonly reachable: boolean
  readonly cause: string
}
export type ReportReply = Record<string, never>

export const registerRequestCodec = codec<RegisterRequest>('RegisterRequest')
export const registerReplyCodec = codec<RegisterReply>('RegisterReply')
export const conditionRequestCodec = codec<ConditionRequest>('ConditionRequest')
export const conditionReplyCodec = codec<ConditionReply>('ConditionReply')
export const askRequestCodec = codec<AskRequest>('AskRequest')
export const askReplyCodec = codec<AskReply>('AskReply', {
  toWire: (reply) =>
    withField(reply, 'activate', (activate) => activateToWire(activate as ActivateRequest)),
  fromWire: (wire) =>
    withField(wire, 'activate', (activate) => activateFromWire(activate as object)) as AskReply,
})
export const getMapRequestCodec = codec<GetMapRequest>('GetMapRequest')
export const getMapReplyCodec = codecWithMap<GetMapReply>('GetMapReply')
export const watchRequestCodec = codec<WatchRequest>('WatchRequest')
export const watchEventCodec = codecWithMap<WatchEvent>('WatchEvent')
export const changeSharedStateRequestCodec = codec<ChangeSharedStateRequest>(
  'ChangeSharedStateRequest',
  {
    toWire: (request) => withField(request, 'state', sharedStateAloneToWire),
    fromWire: (wire) =>
      withField(wire, 'state', sharedStateAloneFromWire) as unknown as ChangeSharedStateRequest,
  },
)
export const changeSharedStateReplyCodec =
  codecWithMap<ChangeSharedStateReply>('ChangeSharedStateReply')
export const attendRequestCodec = codec<AttendRequest>('AttendRequest')
export const attendReplyCodec = codec<AttendReply>('AttendReply')
export const activateFrontEndRequestCodec =
  codec<ActivateFrontEndRequest>('ActivateFrontEndRequest')
export const activateFrontEndReplyCodec =
  codecWithMap<ActivateFrontEndReply>('ActivateFrontEndReply')
export const reportRequestCodec = codec<ReportRequest>('ReportRequest')
export const reportReplyCodec = codec<ReportReply>('ReportReply')

function sharedStateAloneToWire(state: unknown): Wire {
  return sharedStateToWire({ version: 0, changes: [], state: state as SharedState })
}

function sharedStateAloneFromWire(wire: unknown): SharedState {
  return sharedStateFromWire(wire as Wire).state
}

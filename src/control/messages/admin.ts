/** What the command line asks of a manager (proto/admin.proto). */
import type { StalePolicy, VolumeMap } from '../../volume/map.ts'
import { codec } from '../codec.ts'
import { codecWithMap, codecWithMaps } from '../conversions.ts'
import { stalePolicyFromWire, stalePolicyToWire } from './map.ts'
import type { RecoverySettings, SegmentVerification, ServerFacts } from './server.ts'

export interface CreateVolumeRequest {
  readonly name: string
  readonly sizeBytes: number
  /** Number of columns; 0: linear. */
  readonly stripe: number
  readonly partitions: readonly Partition[]
  readonly stalePolicy: StalePolicy
  /** 0: the default. */
  readonly holdMs: number
  readonly leaseMs: number
  readonly blockBytes?: number
  readonly stripeUnitBytes?: number
  readonly removable?: boolean
  readonly readOnly?: boolean
  /** Copies of each block, in different failure domains; 0 is 1. */
  readonly mirror?: number
}
export interface Partition {
  /** The primary. */
  readonly server: string
  /** Servers that hold the other copies; those that are missing are placed by free space. */
  readonly others?: readonly string[]
  readonly sizeBytes: number
}
export interface VolumeReply {
  readonly map: VolumeMap
  /** For how long clients were shut out by this change. */
  readonly shutOutMs: number
  /** What an administrator should know of the volume as it is now. */
  readonly warnings?: readonly string[]
}

export type ListVolumesRequest = Record<string, never>
export interface ListVolumesReply {
  readonly maps: readonly VolumeMap[]
}
export interface ShowVolumeRequest {
  readonly name: string
}
export interface ShowVolumeReply {
  readonly map: VolumeMap
  readonly status: VolumeStatus
}
export interface GrowVolumeRequest {
  readonly name: string
  readonly sizeBytes: number
}
export interface DeleteVolumeRequest {
  readonly name: string
  /** Fences the clients that have sessions; otherwise these are a refusal. */
  readonly force: boolean
}
export type DeleteVolumeReply = Record<string, never>
/** Of fence and of admit; the client is an InitiatorName. */
export interface FenceRequest {
  readonly volume: string
  readonly client: string
}

export interface VerifyVolumeRequest {
  readonly name: string
  /** Begins a new comparison; otherwise the answer tells of the one that runs or ran last. */
  readonly start: boolean
  readonly repair: boolean
}
export interface VerifyVolumeReply {
  readonly segments: readonly VerifiedSegment[]
}
export interface VerifiedSegment {
  /** The primary. */
  readonly server: string
  readonly startBlock: number
  /** Its named differences are in the next field. */
  readonly verification: SegmentVerification
  readonly named: readonly NamedDifference[]
}
export interface NamedDifference {
  readonly server: string
  /** Blocks of the replica. */
  readonly lba: number
  readonly blocks: number
}

export interface ClearReservationsRequest {
  readonly volume: string
}

/** One of the two is empty. */
export interface AddServerRequest {
  readonly address: string
  readonly name: string
  /** Failure domain; empty: the server is one of its own. */
  readonly domain?: string
}
export interface ServerReply {
  readonly server: ServerStatus
}
export type ListServersRequest = Record<string, never>
export interface ListServersReply {
  readonly servers: readonly ServerStatus[]
}
/** Of show, remove and declare-dead. */
export interface ServerNameRequest {
  readonly name: string
}
export type RemoveServerReply = Record<string, never>

export interface ServerStatus {
  readonly server: ServerFacts
  readonly adopted: boolean
  readonly reachable: boolean
  readonly declaredDead: boolean
  readonly plannedBytes: number
  readonly volumes: readonly string[]
  /** 0: never since the manager's start. */
  readonly lastHeardMs: number
  readonly domain: string
  /** What volumes leave alone, for recovery. */
  readonly reservedBytes: number
}

/** Empty: the server is a failure domain of its own. */
export interface SetDomainRequest {
  readonly name: string
  readonly domain: string
}

/** Sets what is given, and asks what is recovered now. */
export interface RecoveryRequest {
  readonly bytesPerSecond?: number | undefined
  readonly graceMs?: number | undefined
}
export interface RecoveryReply {
  readonly settings: RecoverySettings
  readonly replicas: readonly RecoveringReplica[]
}
export interface RecoveringReplica {
  readonly volume: string
  readonly replica: ReplicaStatus
}

export type StatusRequest = Record<string, never>
export interface StatusReply {
  readonly term: number
  readonly generation: number
  readonly servers: readonly ServerStatus[]
  readonly volumes: readonly VolumeStatus[]
  readonly pendingFences: readonly FenceStatus[]
  readonly shutOut: ShutOut
  readonly warnings: readonly string[]
  readonly watchingClients: number
  readonly relayedConnections: number
  readonly relayedConnectionsTotal: number
  readonly reports: readonly ClientReport[]
  readonly managementPath: readonly string[]
  readonly gateways: readonly GatewayStatus[]
}
/** A gateway that serves. */
export interface GatewayStatus {
  /** InitiatorName under which it logs in to storage servers. */
  readonly client: string
  /** TargetPortalGroupTag. */
  readonly group: number
  /** iSCSI portals. */
  readonly addresses: readonly string[]
  /** Of initiators. */
  readonly sessions: number
  readonly active: readonly ActiveInitiators[]
}
/** Those that work on a volume through the gateway; it is in standby for all others. */
export interface ActiveInitiators {
  readonly volume: string
  readonly initiators: readonly string[]
}
export interface VolumeStatus {
  readonly name: string
  readonly volumeId: string
  readonly generation: number
  readonly sizeBytes: number
  /** Empty, closing, committing, activating, or fence pending. */
  readonly change: string
  /** Servers that have not confirmed the newest map. */
  readonly behind: readonly string[]
  readonly shutOut: ShutOut
  readonly replicas: readonly ReplicaStatus[]
}
export interface ReplicaStatus {
  readonly segmentId: string
  readonly startBlock: number
  readonly server: string
  readonly primary: boolean
  /** in-sync, behind, syncing, up-to-date, silent or gone. */
  readonly state: string
  /** What it lacks, of how much; 0 where that is not known. */
  readonly behindBytes: number
  readonly totalBytes: number
  readonly bytesPerSecond: number
  readonly copiedBytes: number
  /** Regions that are compared before they are served again, at a primary. */
  readonly comparingBytes: number
  /** The disk returned errors for it. */
  readonly diskFailed: boolean
  /** Absent where it is not away; 0: it is replaced as soon as there is room and a primary. */
  readonly replacedInMs?: number | undefined
}
export interface FenceStatus {
  readonly volume: string
  readonly client: string
  readonly waitingFor: readonly string[]
  readonly sinceWallMs: number
}
/** For how long changes shut clients out, since the manager's start. */
export interface ShutOut {
  readonly changes: number
  readonly lastMs: number
  readonly maxMs: number
  readonly totalMs: number
  readonly histogram: readonly { readonly upToMs: number; readonly changes: number }[]
}
export interface ClientReport {
  readonly client: string
  readonly server: string
  readonly portal: string
  readonly reachable: boolean
  readonly cause: string
  readonly wallMs: number
}

export const createVolumeRequestCodec = codec<CreateVolumeRequest>('CreateVolumeRequest', {
  toWire: (message) => ({ ...message, stalePolicy: stalePolicyToWire(message.stalePolicy) }),
  fromWire: (wire) => ({
    ...(wire as unknown as CreateVolumeRequest),
    stalePolicy: stalePolicyFromWire(wire.stalePolicy),
  }),
})
export const volumeReplyCodec = codecWithMap<VolumeReply>('VolumeReply')
export const listVolumesRequestCodec = codec<ListVolumesRequest>('ListVolumesRequest')
export const listVolumesReplyCodec = codecWithMaps<ListVolumesReply>('ListVolumesReply')
export const showVolumeRequestCodec = codec<ShowVolumeRequest>('ShowVolumeRequest')
export const showVolumeReplyCodec = codecWithMap<ShowVolumeReply>('ShowVolumeReply')
export const growVolumeRequestCodec = codec<GrowVolumeRequest>('GrowVolumeRequest')
export const deleteVolumeRequestCodec = codec<DeleteVolumeRequest>('DeleteVolumeRequest')
export const deleteVolumeReplyCodec = codec<DeleteVolumeReply>('DeleteVolumeReply')
export const fenceRequestCodec = codec<FenceRequest>('FenceRequest')
export const clearReservationsRequestCodec = codec<ClearReservationsRequest>(
  'ClearReservationsRequest',
)
export const admitRequestCodec = codec<FenceRequest>('AdmitRequest')
export const addServerRequestCodec = codec<AddServerRequest>('AddServerRequest')
export const setDomainRequestCodec = codec<SetDomainRequest>('SetDomainRequest')
export const serverReplyCodec = codec<ServerReply>('ServerReply')
export const listServersRequestCodec = codec<ListServersRequest>('ListServersRequest')
export const listServersReplyCodec = codec<ListServersReply>('ListServersReply')
export const showServerRequestCodec = codec<ServerNameRequest>('ShowServerRequest')
export const removeServerRequestCodec = codec<ServerNameRequest>('RemoveServerRequest')
export const removeServerReplyCodec = codec<RemoveServerReply>('RemoveServerReply')
export const declareDeadRequestCodec = codec<ServerNameRequest>('DeclareDeadRequest')
export const recoveryRequestCodec = codec<RecoveryRequest>('RecoveryRequest')
export const recoveryReplyCodec = codec<RecoveryReply>('RecoveryReply')
export const verifyVolumeRequestCodec = codec<VerifyVolumeRequest>('VerifyVolumeRequest')
export const verifyVolumeReplyCodec = codec<VerifyVolumeReply>('VerifyVolumeReply')
export const statusRequestCodec = codec<StatusRequest>('StatusRequest')
export const statusReplyCodec = codec<StatusReply>('StatusReply')

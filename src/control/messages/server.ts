/** What a manager asks of a storage server (proto/server.proto), and what both keep of it. */
import type { Generation } from '../../volume/generation.ts'
import type { VolumeMap } from '../../volume/map.ts'
import { codec, type Wire } from '../codec.ts'
import { codecWithMap, withField } from '../conversions.ts'
import { volumeMapConversion } from './map.ts'

/** Compared by term, then by number; see `compareOrders`. */
export interface Order {
  readonly term: number
  readonly number: number
}

export interface CloseRequest {
  readonly order: Order
  readonly volumeId: string
}
export interface CloseReply {
  /** The generation that the server had and closed. */
  readonly generation: Generation
  readonly leaseLeftMs: number
  readonly drainedMs: number
  readonly sessions: number
  /** Of the segments whose primary this server is, after everything has ended. */
  readonly segments: readonly SegmentCondition[]
  /** Of the store behind each segment held here, as it is now. */
  readonly incarnations: readonly SegmentIncarnation[]
}

/** What a server sees of the other replicas of a segment. */
export interface SegmentCondition {
  readonly segmentId: string
  /** As the primary sees them; empty where this server is not the primary. */
  readonly partners: readonly PartnerCondition[]
  /** This server is not the primary and has not heard the primary for too long. */
  readonly primarySilent: boolean
  /** Bytes of regions that are compared before they are served again. */
  readonly comparingBytes: number
  /** The disk returned errors for this replica. */
  readonly diskFailed: boolean
}
export interface PartnerCondition {
  readonly serverId: string
  readonly state: PartnerState
  /** What it lacks; 0 where that is not known yet. */
  readonly behindBytes: number
  readonly totalBytes: number
  readonly bytesPerSecond: number
  /** Of the partner's store, when this was seen. */
  readonly incarnation: string
  /** Bytes copied to it since it began to be brought up. */
  readonly copiedBytes: number
}
/**
 * `silent`: not heard for too long, cannot be used. `copying`: not in sync, is being brought up and
 * sent all writes meanwhile. `up-to-date`: not in sync by the map, but it has flushed all there is.
 */
export type PartnerState = 'confirming' | 'silent' | 'copying' | 'up-to-date'

export interface ActivateRequest {
  readonly order: Order
  readonly map: VolumeMap
}
export interface ActivateReply {
  readonly incarnations: readonly SegmentIncarnation[]
}
export interface SegmentIncarnation {
  readonly segmentId: string
  readonly incarnation: string
}

export interface ReopenRequest {
  readonly order: Order
  readonly volumeId: string
  /** The order of the close that is undone. */
  readonly closed: Order
}
export type ReopenReply = Record<string, never>

export interface VerifyRequest {
  readonly volumeId: string
  /** Begins a new comparison; otherwise the answer tells of the one that runs or ran last. */
  readonly start: boolean
  /** Writes the primary's content over what differs. */
  readonly repair: boolean
}
export interface VerifyReply {
  readonly segments: readonly SegmentVerification[]
}
/** Comparison of a segment whose primary the server is with the other in-sync replicas. */
export interface SegmentVerification {
  readonly segmentId: string
  readonly state: VerificationState
  /** Why it failed. */
  readonly cause: string
  readonly totalBytes: number
  readonly comparedBytes: number
  readonly bytesPerSecond: number
  /** Pages that differed, counted for each replica, and how many of them were repaired. */
  readonly differingPages: number
  readonly repairedPages: number
  /** The first of them, as runs. */
  readonly named: readonly Difference[]
}
/**
 * `none`: was never started here since the volume was activated. `alone`: no other replica is in
 * sync, so nothing was compared.
 */
export type VerificationState = 'none' | 'running' | 'done' | 'failed' | 'alone'
export interface Difference {
  readonly serverId: string
  /** Blocks of the replica. */
  readonly lba: number
  readonly blocks: number
}

export type DescribeRequest = Record<string, never>
export interface DescribeReply {
  readonly server: ServerFacts
  readonly volumes: readonly HeldVolume[]
  readonly counters: readonly VolumeCounters[]
}

export interface ServerFacts {
  readonly serverId: string
  readonly name: string
  readonly portals: readonly string[]
  readonly control: string
  readonly capacityBytes: number
  readonly freeBytes: number
  readonly processId: string
  readonly version: string
  readonly storeIncarnation: string
  /** Where it listens, if not where clients are told; the management path prefers these. */
  readonly listens?: readonly string[] | undefined
}

export interface HeldVolume {
  readonly volumeId: string
  readonly name: string
  readonly generation: Generation
  /** Absent when open. */
  readonly closed?: Order | undefined
  readonly incarnations: readonly SegmentIncarnation[]
  /** Open, and confirmed by a manager since the last start. */
  readonly serving: boolean
  /** The highest order seen. */
  readonly order?: Order | undefined
  readonly sessions: number
  readonly segments: readonly SegmentCondition[]
}

export interface VolumeCounters {
  readonly volumeId: string
  readonly reads: number
  readonly writes: number
  readonly readBytes: number
  readonly writtenBytes: number
  readonly viaManagementPath: number
  readonly refusals: readonly RefusalCount[]
  /** Content that brought a replica here up to date. */
  readonly resyncedBytes: number
  /** Content replaced because it could not be read, or was not like the other copies'. */
  readonly repairedBytes: number
}
export interface RefusalCount {
  readonly reason: number
  readonly count: number
}

/** A storage server's record of one volume. */
export interface VolumeRecord {
  readonly map: VolumeMap
  readonly order: Order
  readonly closed?: Order | undefined
  readonly confirmedGeneration: Generation
  /** Of each segment held here: the newest generation in which this replica was in sync. */
  readonly inSync: readonly InSyncMark[]
}
/** All that a server holds, or held: an empty configuration store is rebuilt from it. */
export type RecordsRequest = Record<string, never>
export interface RecordsReply {
  readonly records: readonly VolumeRecord[]
  /** The highest that any manager has shown. */
  readonly term: number
}
export interface InSyncMark {
  readonly segmentId: string
  readonly generation: Generation
}

/** The configuration store's record of an adopted storage server. */
export interface ServerRecord {
  readonly serverId: string
  readonly name: string
  readonly portals: readonly string[]
  readonly control: string
  readonly capacityBytes: number
  readonly storeIncarnation: string
  readonly declaredDead: boolean
  /** Failure domain; empty: the server is one of its own. */
  readonly domain: string
}

/** How replicas are brought up and replaced. */
export interface RecoverySettings {
  /** The most that one server copies for recovery; 0: no limit. */
  readonly bytesPerSecond: number
  /** How long a replica may stay away before it is replaced. */
  readonly graceMs: number
}

export interface PendingFence {
  readonly volumeId: string
  readonly client: string
  readonly sinceWallMs: number
}

export const closeRequestCodec = codec<CloseRequest>('CloseRequest')
export const closeReplyCodec = codec<CloseReply>('CloseReply')
export const activateRequestCodec = codecWithMap<ActivateRequest>('ActivateRequest')
export const activateReplyCodec = codec<ActivateReply>('ActivateReply')
export const reopenRequestCodec = codec<ReopenRequest>('ReopenRequest')
export const reopenReplyCodec = codec<ReopenReply>('ReopenReply')
export const verifyRequestCodec = codec<VerifyRequest>('VerifyRequest')
export const verifyReplyCodec = codec<VerifyReply>('VerifyReply')
export const describeRequestCodec = codec<DescribeRequest>('DescribeRequest')
export const describeReplyCodec = codec<DescribeReply>('DescribeReply')
export const recordsRequestCodec = codec<RecordsRequest>('RecordsRequest')
export const recordsReplyCodec = codec<RecordsReply>('RecordsReply', {
  toWire: (reply) => ({ ...reply, records: reply.records.map(recordToWire) }),
  fromWire: (wire) => {
    const records = (wire.records as Wire[]).map(recordFromWire)
    return { ...wire, records } as unknown as RecordsReply
  },
})
export const volumeRecordCodec = codecWithMap<VolumeRecord>('VolumeRecord')
export const serverRecordCodec = codec<ServerRecord>('ServerRecord')
export const recoverySettingsCodec = codec<RecoverySettings>('RecoverySettings')
export const pendingFenceCodec = codec<PendingFence>('PendingFence')

/** Below zero: `left` is older. */
export function compareOrders(left: Order, right: Order): number {
  return left.term === right.term ? left.number - right.number : left.term - right.term
}

function recordToWire(record: VolumeRecord): object {
  return withField(record, 'map', (map) => volumeMapConversion.toWire(map as VolumeMap))
}

function recordFromWire(wire: Wire): object {
  return withField(wire, 'map', (map) => volumeMapConversion.fromWire(map as Wire))
}

export function activateToWire(request: ActivateRequest): object {
  return withField(request, 'map', (map) => volumeMapConversion.toWire(map as VolumeMap))
}

export function activateFromWire(wire: object): ActivateRequest {
  const change = (map: unknown) => volumeMapConversion.fromWire(map as Record<string, unknown>)
  return withField(wire, 'map', change) as unknown as ActivateRequest
}

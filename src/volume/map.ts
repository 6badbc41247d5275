/**
 * The map: what a client or a storage server needs to know of one volume. One record, the same in
 * the configuration store, on the wire (control/proto/map.proto) and in a storage server's
 * record of the volume. Immutable; a change makes a new one.
 *
 * Portals, progress, and the difference of behind and syncing are joined in when a map is handed
 * out and do not move the generation; everything else here does.
 */
import type { Generation } from './generation.ts'
import type { VersionedState } from './shared-state.ts'

export interface VolumeMap {
  /** UUID, drawn once; the volume's identity and the source of its NAA designator. */
  readonly volumeId: string
  readonly name: string
  /** `iqn.2026-11.io.palisade:NAME`; the volume is LUN 0 of it. */
  readonly iqn: string
  readonly generation: Generation
  readonly blockBytes: number
  readonly blocks: number
  readonly segments: readonly Segment[]
  /** Clients from which something was ever taken away. Others: admission 0, not fenced. */
  readonly admissions: readonly Admission[]
  readonly stalePolicy: StalePolicy
  /** How long a front end holds commands that no replica can serve. */
  readonly holdMs: number
  /** How long a confirmation between replicas is good for. */
  readonly leaseMs: number
  /** What initiators have set on it; absent: nobody ever did. */
  readonly shared?: VersionedState
  /** Initiators may eject its medium, and load it again. */
  readonly removable: boolean
  /** Nobody may write it. */
  readonly readOnly: boolean
  /** How many copies of each block there are to be. */
  readonly copies: number
  /** Through which front end each initiator works; one that is not named works through any. */
  readonly activeFrontEnds: readonly ActiveFrontEnd[]
  /** True once the volume is deleted: servers free its pages and forget it. */
  readonly deleted: boolean
}

/** What a storage server does with a generation that is not its own. */
export type StalePolicy = 'reject' | 'ignore'

/** A range of a volume's blocks, or one column of a stripe set, on one set of replicas. */
export interface Segment {
  /** UUID; names the replica inside a storage server's store. */
  readonly segmentId: string
  readonly start: number
  readonly blocks: number
  readonly stripe?: Stripe
  /** Changes when no replica kept all that it had acknowledged. */
  readonly epoch: number
  /** The first is the primary. */
  readonly replicas: readonly Replica[]
}

export interface Stripe {
  readonly index: number
  readonly count: number
  readonly unitBlocks: number
}

export interface Replica {
  readonly serverId: string
  /** The server's name. */
  readonly server: string
  /** `iqn.2026-11.io.palisade:SERVER:VOLUME`. */
  readonly iqn: string
  readonly lun: number
  readonly startBlock: number
  readonly portals: readonly string[]
  readonly state: ReplicaState
  /** The store's incarnation that this map believes in; empty until the replica's store reported one. */
  readonly incarnation: string
  /** LUN on the server's replication target; unique among all replicas on that server. */
  readonly number: number
}

export type ReplicaState = 'in-sync' | 'syncing' | 'behind' | 'gone'

export interface ActiveFrontEnd {
  readonly initiator: string
  /** InitiatorName of the front end. */
  readonly client: string
  /** Another one each time: what was accepted under a former one is not sent any more. */
  readonly number: number
}

export interface Admission {
  /** The client's InitiatorName. */
  readonly client: string
  /** Grows each time something is taken away from the client. */
  readonly admission: number
  readonly fenced: boolean
}

/** The volume map as bytes (proto/map.proto); the record itself is src/volume/map.ts. */
import type { Replica, ReplicaState, Segment, StalePolicy, VolumeMap } from '../../volume/map.ts'
import { type Codec, type Conversion, codec, type Wire } from '../codec.ts'
import { nameOf } from '../enum-names.ts'
import { sharedStateFromWire, sharedStateToWire } from './shared-state.ts'

const stalePolicies = {
  reject: 'STALE_POLICY_REJECT',
  ignore: 'STALE_POLICY_IGNORE',
} as const satisfies Record<StalePolicy, string>

const replicaStates = {
  'in-sync': 'REPLICA_STATE_IN_SYNC',
  syncing: 'REPLICA_STATE_SYNCING',
  behind: 'REPLICA_STATE_BEHIND',
  gone: 'REPLICA_STATE_GONE',
} as const satisfies Record<ReplicaState, string>

export const volumeMapConversion: Conversion<VolumeMap> = {
  toWire: (map) => ({
    ...map,
    stalePolicy: stalePolicies[map.stalePolicy],
    segments: map.segments.map(segmentToWire),
    ...(map.shared === undefined ? {} : { shared: sharedStateToWire(map.shared) }),
  }),
  fromWire: (wire) => ({
    ...(wire as unknown as VolumeMap),
    copies: Math.max(1, wire.copies as number),
    stalePolicy: stalePolicyFromWire(wire.stalePolicy),
    segments: (wire.segments as Wire[]).map(segmentFromWire),
    ...(wire.shared === undefined ? {} : { shared: sharedStateFromWire(wire.shared as Wire) }),
  }),
}

export const volumeMapCodec: Codec<VolumeMap> = codec('VolumeMap', volumeMapConversion)

export function stalePolicyToWire(policy: StalePolicy): string {
  return stalePolicies[policy]
}

export function stalePolicyFromWire(wire: unknown): StalePolicy {
  return nameOf(stalePolicies, wire)
}

function segmentToWire(segment: Segment): Wire {
  return {
    ...segment,
    replicas: segment.replicas.map((replica) => ({
      ...replica,
      state: replicaStates[replica.state],
    })),
  }
}

function segmentFromWire(wire: Wire): Segment {
  const replicas = (wire.replicas as Wire[]).map((replica) => ({
    ...(replica as unknown as Replica),
    state: nameOf(replicaStates, replica.state),
  }))
  return { ...(wire as unknown as Segment), replicas }
}

/** The volume map as bytes (proto/map.proto); the record itself is src/volume/map.ts. */
import { StorageError } from '../../base/errors.ts'
import type { Replica, ReplicaState, Segment, StalePolicy, VolumeMap } from '../../volume/map.ts'
import { type Codec, type Conversion, codec, type Wire } from '../codec.ts'

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
  }),
  fromWire: (wire) => ({
    ...(wire as unknown as VolumeMap),
    stalePolicy: stalePolicyFromWire(wire.stalePolicy),
    segments: (wire.segments as Wire[]).map(segmentFromWire),
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

/** A value that this version does not know is refused: guessing a state could lose data. */
function nameOf<Name extends string>(names: Record<Name, string>, wire: unknown): Name {
  for (const name of Object.keys(names) as Name[]) if (names[name] === wire) return name
  throw new StorageError('invalid', `${String(wire)} is not known to this version`)
}

/**
 * From a volume's map and a server's state to what the comparator and the logical units look at:
 * one immutable view for each segment that this server holds a replica of. Pure.
 */

import type { FenceView } from '../../src/volume/comparator.ts'
import type { Replica, Segment, VolumeMap } from '../../src/volume/map.ts'
import { clientIqn } from '../../src/volume/names.ts'

/** A segment of the map that this server holds a replica of. */
export interface HeldSegment {
  readonly segment: Segment
  readonly replica: Replica
  readonly primary: boolean
}

export interface SegmentView extends HeldSegment {
  readonly fence: FenceView
}

/** A deleted volume holds nothing, whatever its last map named. */
export function heldSegments(map: VolumeMap, serverId: string): HeldSegment[] {
  if (map.deleted) return []
  return map.segments.flatMap((segment) => {
    const index = segment.replicas.findIndex((replica) => replica.serverId === serverId)
    const replica = segment.replicas[index]
    return replica === undefined ? [] : [{ segment, replica, primary: index === 0 }]
  })
}

export interface ViewFacts {
  readonly map: VolumeMap
  readonly serverId: string
  readonly state: FenceView['state']
  /** Of a server that is closed: what other primaries have begun is still taken. */
  readonly lingering?: boolean
  /** Incarnation of the store's replica, undefined where there is none. */
  incarnation(segmentId: string): string | undefined
}

/**
 * The views by segment. A replica whose store is not the one that the map believes in may lack
 * acknowledged writes: it is not confirmed, whatever a manager said of the volume.
 */
export function segmentViews(facts: ViewFacts): Map<string, SegmentView> {
  const { map } = facts
  const fencedClients = new Set(
    map.admissions.filter(({ fenced }) => fenced).map(({ client }) => client),
  )
  const views = new Map<string, SegmentView>()
  for (const held of heldSegments(map, facts.serverId)) {
    const { segmentId, replicas } = held.segment
    const incarnation = facts.incarnation(segmentId)
    const known = incarnation !== undefined && incarnation === held.replica.incarnation
    const state = facts.lingering === true && !held.primary ? 'open' : facts.state
    views.set(segmentId, {
      ...held,
      fence: {
        generation: map.generation,
        wideGeneration: BigInt(map.generation),
        state: state === 'open' && !known ? 'unconfirmed' : state,
        primary: held.primary,
        primaryInitiator: clientIqn(replicas[0]?.serverId ?? ''),
        fencedClients,
        stalePolicy: map.stalePolicy,
      },
    })
  }
  return views
}

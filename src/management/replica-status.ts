/**
 * How each copy of a volume stands, for people: the map's word, made finer by what the primary last
 * said of the others under the map's generation. Pure.
 */
import type { ReplicaStatus } from '../control/messages/admin.ts'
import type { PartnerCondition, SegmentCondition } from '../control/messages/server.ts'
import type { Replica, Segment, VolumeMap } from '../volume/map.ts'
import { replicaBlocks } from '../volume/routing.ts'
import type { Conditions } from './conditions.ts'

export interface ReplicaSources {
  readonly conditions: Conditions
  /** It answers the manager. */
  readonly isReachable: (serverId: string) => boolean
  /** An operator vouches that it is off. */
  readonly isDead: (serverId: string) => boolean
  /** How long until it is replaced; undefined: it is not away. */
  readonly replacedInMs: (segmentId: string, serverId: string) => number | undefined
}

export function replicaStatuses(map: VolumeMap, sources: ReplicaSources): ReplicaStatus[] {
  return map.segments.flatMap((segment) => {
    const words = sources.conditions.of(map.volumeId, segment.segmentId)
    const said = new Map(
      words
        .filter(({ generation }) => generation === map.generation)
        .map(({ serverId, condition }) => [serverId, condition]),
    )
    const totalBytes = replicaBlocks(segment) * map.blockBytes
    return segment.replicas.map((replica) => {
      return { ...replicaStatus(replica, { segment, said, sources }), totalBytes }
    })
  })
}

interface Seen {
  readonly segment: Segment
  /** By server. */
  readonly said: ReadonlyMap<string, SegmentCondition>
  readonly sources: ReplicaSources
}

function replicaStatus(
  replica: Replica,
  { segment, said, sources }: Seen,
): Omit<ReplicaStatus, 'totalBytes'> {
  const { serverId, server } = replica
  const lead = segment.replicas[0]!
  const primary = lead.serverId === serverId
  const partner = said.get(lead.serverId)?.partners.find((each) => each.serverId === serverId)
  const own = said.get(serverId)
  const { segmentId } = segment
  const replacedInMs = sources.replacedInMs(segmentId, serverId)
  return {
    segmentId,
    startBlock: segment.start,
    server,
    primary,
    state: stateOf(replica, partner, sources),
    behindBytes: replica.state === 'in-sync' ? 0 : (partner?.behindBytes ?? 0),
    bytesPerSecond: partner?.bytesPerSecond ?? 0,
    copiedBytes: partner?.copiedBytes ?? 0,
    comparingBytes: own?.comparingBytes ?? 0,
    diskFailed: own?.diskFailed ?? false,
    ...(replacedInMs === undefined ? {} : { replacedInMs }),
  }
}

function stateOf(
  { serverId, state }: Replica,
  partner: PartnerCondition | undefined,
  { isReachable, isDead }: ReplicaSources,
): string {
  if (isDead(serverId)) return 'gone'
  const isAway = !isReachable(serverId)
  if (state === 'in-sync') return isAway || partner?.state === 'silent' ? 'silent' : 'in-sync'
  if (partner?.state === 'copying') return 'syncing'
  if (partner?.state === 'up-to-date') return 'up-to-date'
  return isAway ? 'gone' : 'behind'
}

/**
 * What a map that is taken up changes in the store: replicas that are new here are made, others get
 * another size or are dropped.
 */
import { StorageError } from '../../src/base/errors.ts'
import type { Log } from '../../src/ports/log.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import type { SegmentStore } from './segment-store.ts'
import { heldSegments } from './segment-views.ts'

export interface ReplicaChanges {
  readonly store: SegmentStore
  readonly serverId: string
  readonly log: Log
  readonly from: VolumeMap
  readonly to: VolumeMap
  /** The former map names this replica, with the very store that is open now. */
  believed(segmentId: string): boolean
}

/** Segments that a map gives to this server and the store has no replica of. */
export function missingSegments(
  store: SegmentStore,
  map: VolumeMap,
  serverId: string,
): ReadonlySet<string> {
  const held = heldSegments(map, serverId).map(({ segment }) => segment.segmentId)
  return new Set(held.filter((segmentId) => store.replicaBlocks(segmentId) === undefined))
}

/** May be repeated. */
export async function takeUpReplicas(changes: ReplicaChanges): Promise<void> {
  const { store, serverId, log, from, to } = changes
  const kept = new Set<string>()
  for (const { segment } of heldSegments(to, serverId)) {
    const { segmentId, blocks } = segment
    kept.add(segmentId)
    const held = store.replicaBlocks(segmentId)
    if (held === undefined) {
      mustNotBeLost(changes, segmentId)
      await store.createReplica(segmentId, blocks, to.blockBytes)
    } else if (held !== blocks) await store.resizeReplica(segmentId, blocks)
  }
  for (const { segmentId } of from.segments) {
    if (kept.has(segmentId) || store.replicaBlocks(segmentId) === undefined) continue
    log.info('replica dropped', { volume: to.name, segmentId })
    await store.dropReplica(segmentId)
  }
}

/** An empty replica in the place of one that vanished would show zeros where data were. */
function mustNotBeLost({ believed, to }: ReplicaChanges, segmentId: string): void {
  if (!believed(segmentId)) return
  const text = `replica ${segmentId} is missing from the store, which says that it lost nothing`
  throw new StorageError('not-a-store', `volume ${to.name}: ${text}`)
}

/**
 * What a change of a volume is, and what closing came to. A plan is asked for its map twice: before
 * anybody is closed (is there anything to do, and who has to be closed?), and once more with what
 * the servers answered to close, which decides. Pure data; managed-volume.ts carries it out.
 */
import type { CloseReply } from '../control/messages/server.ts'
import type { VolumeMap } from '../volume/map.ts'
import type { MapDraft } from './configuration-store.ts'

/**
 * Who is asked to close for a replica set. `set`: its primary, the others in sync in its stead when
 * it does not answer. `everyone`: all in sync, at once; closed when each of the others was asked to
 * the end. `primary`: the primary alone, once; without its answer the set is not closed, because
 * closing the others would take the lease from a primary that only the manager cannot reach.
 */
export type CloseMode = 'set' | 'everyone' | 'primary'

/** By segment. A server closes the whole volume, so the sets beside those named may close too. */
export type SetsToClose = ReadonlyMap<string, CloseMode>

/** What a round of closing came to. */
export interface CloseAnswers {
  /** Undefined where the server has not answered. */
  readonly reply: (serverId: string) => CloseReply | undefined
  /** Nobody can serve the segment now; only segments that were to be closed are. */
  readonly isClosed: (segmentId: string) => boolean
}

export interface Plan {
  /** For status and errors, for example `grow`. */
  readonly name: string
  /** Takes something away, or needs one point in the write order. */
  readonly closes: boolean
  /** The client that is fenced: the change is never given up, it stays pending. */
  readonly fences?: string
  /** A server that holds nothing yet need not be closed: the volume is given up. */
  readonly givesUp?: boolean
  /** The sets to close, where that is not each of the volume; none: nobody has to be closed. */
  readonly sets?: (map: VolumeMap) => SetsToClose
  /** What can be decided is decided, though other sets could not be closed. */
  readonly isPartial?: boolean
  /** Pure; called with the map of the moment. Undefined: nothing to do. */
  readonly next: (map: VolumeMap, answers?: CloseAnswers) => MapDraft | undefined
  /** Judges the answers to close; throws to undo them. */
  readonly accept?: (replies: readonly CloseReply[]) => void
}

export function setsToClose(plan: Plan, map: VolumeMap): SetsToClose {
  if (!plan.closes) return new Map()
  if (plan.sets !== undefined) return plan.sets(map)
  return new Map(map.segments.map(({ segmentId }) => [segmentId, 'set']))
}

/**
 * What the state of a volume asks of those of its segments that have more than one replica; the
 * work is done in targets/mirror. The volume calls in the turn in which something changed, so
 * that nobody in between acts on what was true before.
 */
import type { SegmentCondition } from '../../src/control/messages/server.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import type { SegmentView } from './segment-views.ts'

export interface VolumeMirrors {
  /**
   * Before a map is taken up, while nothing is under way: resolves when what has to be known of the
   * replicas that stop being in sync is durable. The same change may be prepared again.
   */
  prepare(change: MapChange): Promise<void>
  /** The views were replaced. A view that is not open any more ends what waits for partners. */
  look(views: ReadonlyMap<string, SegmentView>): void
  /** After everything that had begun has ended: what is said of partners from now on is true. */
  settle(): Promise<void>
  conditions(): SegmentCondition[]
  /** For how long a primary elsewhere may still count on what this server confirmed. */
  leaseLeftMs(): number
}

export interface MapChange {
  readonly from: VolumeMap
  readonly to: VolumeMap
  /** Segments of which this server had no replica until now: their masks mean nothing. */
  readonly created: ReadonlySet<string>
}

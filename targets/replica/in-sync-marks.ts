/**
 * Of each segment held here the newest generation in which this replica was in sync: by it another
 * replica knows whether what it noted since is all that this one lacks. Too small a mark costs a
 * full comparison; too large a one would cost data.
 */
import type { InSyncMark } from '../../src/control/messages/server.ts'
import type { HeldSegment } from './segment-views.ts'

/** The marks under a map that is taken up. A store that is not the map's has nothing to say. */
export function inSyncMarks(
  former: readonly InSyncMark[],
  held: readonly HeldSegment[],
  generation: number,
  incarnation: (segmentId: string) => string | undefined,
): InSyncMark[] {
  return held.flatMap(({ segment: { segmentId }, replica }) => {
    const known = replica.incarnation !== '' && replica.incarnation === incarnation(segmentId)
    if (known && replica.state === 'in-sync') return [{ segmentId, generation }]
    return former.filter((mark) => mark.segmentId === segmentId)
  })
}

export function inSyncGeneration(marks: readonly InSyncMark[], segmentId: string): number {
  return marks.find((mark) => mark.segmentId === segmentId)?.generation ?? 0
}

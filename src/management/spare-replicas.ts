/**
 * New replicas in the place of those that are given up, and for those that are missing: each on a
 * server and in a failure domain that has none of its segment, where there is room. Pure.
 */
import type { Replica, Segment, VolumeMap } from '../volume/map.ts'
import type { Candidate } from './candidate.ts'
import type { MapDraft } from './configuration-store.ts'
import { newReplica } from './map-edits.ts'
import { pagesOf, placeSpare } from './placement.ts'
import type { Room } from './space.ts'

/** Which of its replicas a segment gives up; one that is in sync stays whatever is said. */
export type GivesUp = (replica: Replica) => boolean

export interface SpareRoom extends Room {
  /** Failure domain of any server, as `domainKey` has it. */
  readonly domainOf: (serverId: string) => string
}

/** Undefined: no segment gets anything. Where there is no room, nothing is given up either. */
export function withSpares(
  map: VolumeMap,
  gives: ReadonlyMap<string, GivesUp>,
  room: SpareRoom,
): MapDraft | undefined {
  let draft: MapDraft = map
  let left = room.candidates
  for (const { segmentId } of map.segments) {
    const givesUp = gives.get(segmentId)
    while (givesUp !== undefined) {
      const segment = draft.segments.find((each) => each.segmentId === segmentId)!
      const isShort = segment.replicas.length < map.copies
      const mayGo = segment.replicas.filter(({ state }) => state !== 'in-sync')
      const gone = isShort ? undefined : mayGo.find(givesUp)
      if (gone === undefined && !isShort) break
      const pages = pagesOf(segment, map.blockBytes)
      const spare = spareFor(segment, gone, pages, { ...room, candidates: left })
      if (spare === undefined) break
      left = left.map((each) => {
        return each === spare ? { ...each, freePages: each.freePages - pages } : each
      })
      const added = newReplica(draft, room.homes.get(spare.serverId)!, 'behind')
      draft = withReplica(draft, segment, gone, added)
    }
  }
  return draft === map ? undefined : draft
}

/** Outside the domains of those that stay, and not where the one was that is given up. */
function spareFor(
  segment: Segment,
  gone: Replica | undefined,
  pages: number,
  { candidates, domainOf }: SpareRoom,
): Candidate | undefined {
  const holders = new Set(segment.replicas.map(({ serverId }) => serverId))
  const staying = segment.replicas.filter((each) => each !== gone)
  const others = candidates.filter(({ serverId }) => !holders.has(serverId))
  return placeSpare(others, pages, new Set(staying.map(({ serverId }) => domainOf(serverId))))
}

function withReplica(
  draft: MapDraft,
  segment: Segment,
  gone: Replica | undefined,
  added: Replica,
): MapDraft {
  const replicas = [...segment.replicas.filter((each) => each !== gone), added]
  const segments = draft.segments.map((each) => (each === segment ? { ...each, replicas } : each))
  return { ...draft, segments }
}

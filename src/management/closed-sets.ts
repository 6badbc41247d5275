/**
 * When a replica set counts as closed, so that nobody can serve it: its primary has answered, or
 * at least one of its other in-sync replicas has answered and the primary's lease has run out. A
 * server that an operator declared dead serves nothing. Pure; the caller owns the answers.
 */
import type { VolumeMap } from '../volume/map.ts'

/** A server's answer to close. */
export interface ClosedAnswer {
  /** `Clock.nowMs` after which no lease that it confirmed still runs. */
  readonly leaseEndsMs: number
}

export interface CloseState {
  readonly nowMs: number
  readonly answers: ReadonlyMap<string, ClosedAnswer>
  readonly isDead: (serverId: string) => boolean
}

export type SetVerdict =
  | { readonly kind: 'closed' }
  /** Closed at `untilMs` if nothing else comes. */
  | { readonly kind: 'lease'; readonly untilMs: number }
  | { readonly kind: 'open'; readonly primary: string }

/** One verdict for each segment of the map, in order. */
export function closedSets(map: Pick<VolumeMap, 'segments'>, state: CloseState): SetVerdict[] {
  return map.segments.map(({ replicas }) => {
    const [primary, ...others] = replicas
    if (primary === undefined) return { kind: 'closed' }
    if (state.answers.has(primary.serverId) || state.isDead(primary.serverId)) {
      return { kind: 'closed' }
    }
    const ends = others
      .filter((each) => each.state === 'in-sync')
      .flatMap((each) => state.answers.get(each.serverId)?.leaseEndsMs ?? [])
    if (ends.length === 0) return { kind: 'open', primary: primary.serverId }
    const untilMs = Math.min(...ends)
    return untilMs <= state.nowMs ? { kind: 'closed' } : { kind: 'lease', untilMs }
  })
}

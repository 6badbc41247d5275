/**
 * Since when each segment has left commands unanswered, and whether that is longer than the hold
 * time: then what is asked of it is answered NOT READY. The time runs from the first unanswered
 * command, over commands that were answered BUSY meanwhile, until a server answered again, or
 * until nobody waits any more and its path stands.
 */
import type { Clock } from '../../src/ports/clock.ts'

interface Hold {
  readonly sinceMs: number
  waiting: number
}

export class Holds {
  readonly #clock: Clock
  readonly #holdMs: () => number
  readonly #holds = new Map<string, Hold>()

  constructor(clock: Clock, holdMs: () => number) {
    this.#clock = clock
    this.#holdMs = holdMs
  }

  /** A command accepted then has to wait for this segment; to be undone by `release`. */
  begin(segmentId: string, acceptedAtMs: number): void {
    const hold = this.#holds.get(segmentId)
    if (hold === undefined) this.#holds.set(segmentId, { sinceMs: acceptedAtMs, waiting: 1 })
    else hold.waiting++
  }

  release(segmentId: string): void {
    const hold = this.#holds.get(segmentId)
    if (hold !== undefined && hold.waiting > 0) hold.waiting--
  }

  /** A server answered for this segment. */
  answered(segmentId: string): void {
    if (this.#holds.size > 0) this.#holds.delete(segmentId)
  }

  /** The segment's path stands: over, unless somebody is still waiting for an answer. */
  reachable(segmentId: string): void {
    if (this.#holds.get(segmentId)?.waiting === 0) this.#holds.delete(segmentId)
  }

  expired(segmentId: string): boolean {
    const hold = this.#holds.get(segmentId)
    return hold !== undefined && this.#clock.nowMs() - hold.sinceMs >= this.#holdMs()
  }

  /** Segments that leave commands unanswered now, with the time since when, for the status. */
  list(): { readonly segmentId: string; readonly sinceMs: number }[] {
    return [...this.#holds].map(([segmentId, { sinceMs }]) => ({ segmentId, sinceMs }))
  }
}

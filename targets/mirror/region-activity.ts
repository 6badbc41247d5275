/**
 * Which regions of a segment its primary is writing to, and when each was last written: what clearing
 * a mark has to know. It remembers only what is recent.
 */
import type { Clock } from '../../src/ports/clock.ts'
import type { ActivityView } from './clearing-choice.ts'

interface Written {
  underWay: number
  lastMs: number
}

export class RegionActivity implements ActivityView {
  readonly #clock: Clock
  readonly #regions = new Map<number, Written>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** In the turn in which the regions are marked; the function that it gives is called at the end. */
  begin(firstRegion: number, endRegion: number): () => void {
    for (let region = firstRegion; region < endRegion; region++) {
      const written = this.#regions.get(region)
      if (written === undefined) this.#regions.set(region, { underWay: 1, lastMs: 0 })
      else written.underWay += 1
    }
    return () => this.#end(firstRegion, endRegion)
  }

  /** Nothing is under way in it, and nothing was since then. */
  quietSince(region: number, sinceMs: number): boolean {
    const written = this.#regions.get(region)
    return written === undefined || (written.underWay === 0 && written.lastMs < sinceMs)
  }

  /** When something there last ended; undefined: not lately. */
  lastMs(region: number): number | undefined {
    return this.#regions.get(region)?.lastMs
  }

  /** What was last written before that is the same as never. */
  forgetBefore(ms: number): void {
    for (const [region, { underWay, lastMs }] of this.#regions) {
      if (underWay === 0 && lastMs < ms) this.#regions.delete(region)
    }
  }

  #end(firstRegion: number, endRegion: number): void {
    const nowMs = this.#clock.nowMs()
    for (let region = firstRegion; region < endRegion; region++) {
      const written = this.#regions.get(region)!
      written.underWay -= 1
      written.lastMs = nowMs
    }
  }
}

/**
 * Ways to one server, tried at the same time with a discovery login each, and handed out in the
 * order in which they answer. A direct portal goes before the management path when both answer at
 * about the same time. It only asks; sessions are logged in by the caller, one at a time.
 */
import { leg } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'
import { anyOf, Signal } from './signal.ts'

/** Straight to the server, or relayed by the manager. */
export type Route = 'direct' | 'management'

export interface Way {
  readonly route: Route
  readonly portal: string
}

export class ProbeRace {
  readonly #clock: Clock
  readonly #changed = new Signal()
  readonly #answered: Record<Route, Way[]> = { direct: [], management: [] }
  readonly #open: Record<Route, number> = { direct: 0, management: 0 }
  #graceUntilMs = Number.POSITIVE_INFINITY

  constructor(clock: Clock, ways: readonly Way[], probe: (way: Way) => Promise<boolean>) {
    this.#clock = clock
    for (const way of ways) void this.#run(way, probe)
  }

  async #run(way: Way, probe: (way: Way) => Promise<boolean>): Promise<void> {
    this.#open[way.route]++
    const good = await probe(way)
    this.#open[way.route]--
    if (good) this.#answered[way.route].push(way)
    if (good && way.route === 'management' && this.#graceUntilMs === Number.POSITIVE_INFINITY) {
      this.#graceUntilMs = this.#clock.nowMs() + leg.directGraceMs
    }
    this.#changed.notify()
  }

  /** The next way that answered; undefined when there is none and will be none. */
  async next(): Promise<Way | undefined> {
    for (;;) {
      const way = this.#take()
      if (way !== undefined) return way
      const pending = this.#answered.management.length > 0
      if (!pending && this.#open.direct + this.#open.management === 0) return undefined
      const ms = Math.max(0, this.#graceUntilMs - this.#clock.nowMs())
      await anyOf([this.#changed], pending ? { clock: this.#clock, ms } : undefined)
    }
  }

  #take(): Way | undefined {
    const direct = this.#answered.direct.shift()
    if (direct !== undefined) return direct
    if (this.#open.direct > 0 && this.#clock.nowMs() < this.#graceUntilMs) return undefined
    return this.#answered.management.shift()
  }
}

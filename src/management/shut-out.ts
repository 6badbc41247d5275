/** For how long changes shut clients out: count, last, longest, and a histogram. */
import type { ShutOut } from '../control/messages/admin.ts'

const boundsMs = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000]

export class ShutOutTimes {
  #changes = 0
  #lastMs = 0
  #maxMs = 0
  #totalMs = 0
  readonly #counts = new Array<number>(boundsMs.length + 1).fill(0)

  record(ms: number): void {
    this.#changes += 1
    this.#lastMs = ms
    this.#maxMs = Math.max(this.#maxMs, ms)
    this.#totalMs += ms
    const found = boundsMs.findIndex((bound) => ms <= bound)
    const bucket = found < 0 ? boundsMs.length : found
    this.#counts[bucket] = this.#counts[bucket]! + 1
  }

  get summary(): ShutOut {
    return {
      changes: this.#changes,
      lastMs: this.#lastMs,
      maxMs: this.#maxMs,
      totalMs: this.#totalMs,
      // The last bucket has no bound: 0.
      histogram: this.#counts.map((changes, i) => ({ upToMs: boundsMs[i] ?? 0, changes })),
    }
  }
}

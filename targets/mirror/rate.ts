/** Bytes a second of something that goes on, over the last few seconds, for people. */
import { mirror } from '../../src/base/limits.ts'
import type { Clock } from '../../src/ports/clock.ts'

export class Rate {
  readonly #clock: Clock
  #startedMs: number
  #bytes = 0
  #formerBytes = 0
  #formerMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
    this.#startedMs = clock.nowMs()
  }

  add(bytes: number): void {
    this.#roll()
    this.#bytes += bytes
  }

  get bytesPerSecond(): number {
    this.#roll()
    const ms = this.#clock.nowMs() - this.#startedMs + this.#formerMs
    return ms > 0 ? Math.round(((this.#bytes + this.#formerBytes) / ms) * 1000) : 0
  }

  /** The last window counts in full until the next one is over. */
  #roll(): void {
    const nowMs = this.#clock.nowMs()
    const ms = nowMs - this.#startedMs
    if (ms < mirror.rateWindowMs) return
    this.#formerBytes = this.#bytes
    this.#formerMs = ms
    this.#bytes = 0
    this.#startedMs = nowMs
  }
}

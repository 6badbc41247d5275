/**
 * The clock by which leases are counted: boot time, which goes on while the machine is suspended.
 * Beside it the monotonic clock is looked at. When the two part, one of them did not say how much
 * time went by, and nothing that was counted before is worth anything (design: leases).
 */
import { mirror as limits } from '../../src/base/limits.ts'
import type { Clock } from '../../src/ports/clock.ts'

export class BootWatch {
  readonly #clock: Clock
  #apartMs: number
  #voidBeforeMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock) {
    this.#clock = clock
    this.#apartMs = clock.bootMs() - clock.nowMs()
  }

  /** Boot time now. */
  look(): number {
    const bootMs = this.#clock.bootMs()
    const apartMs = bootMs - this.#clock.nowMs()
    if (Math.abs(apartMs - this.#apartMs) > limits.clocksPartMs) {
      this.#voidBeforeMs = bootMs
      this.#apartMs = apartMs
    }
    return bootMs
  }

  /** As of the last look: what was counted from an earlier boot time is void. */
  get voidBeforeMs(): number {
    return this.#voidBeforeMs
  }
}

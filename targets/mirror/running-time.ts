/**
 * Monotonic time without the moments in which this process did not run. Whether somebody else is
 * silent is counted in it: what they sent while we stood still has yet to be read. It owns a timer.
 */
import type { Cancel, Clock } from '../../src/ports/clock.ts'

const tickMs = 100
/** A tick this late says that we did not run. */
const lateMs = 100

export class RunningTime {
  readonly #clock: Clock
  #lostMs = 0
  #dueAtMs = 0
  #cancel: Cancel

  constructor(clock: Clock) {
    this.#clock = clock
    this.#cancel = this.#arm()
  }

  nowMs(): number {
    const nowMs = this.#clock.nowMs()
    const pausedMs = Math.max(0, nowMs - this.#dueAtMs - lateMs)
    return nowMs - pausedMs - this.#lostMs
  }

  stop(): void {
    this.#cancel()
  }

  #arm(): Cancel {
    this.#dueAtMs = this.#clock.nowMs() + tickMs
    return this.#clock.after(tickMs, () => {
      this.#lostMs += Math.max(0, this.#clock.nowMs() - this.#dueAtMs - lateMs)
      this.#cancel = this.#arm()
    })
  }
}

/**
 * What this server has promised as a replica that is not the primary: that it goes along with the
 * primary for a lease. Remembered by segment, so that a close can say for how long a primary that
 * cannot be reached may still go on (design: leases). Only arithmetic and the clock.
 */
import { mirror as limits } from '../../src/base/limits.ts'
import type { Clock } from '../../src/ports/clock.ts'
import { BootWatch } from './boot-watch.ts'

export class Confirmer {
  readonly #watch: BootWatch
  /** A former process on this machine may have confirmed everything until then. Boot time. */
  readonly #startedAtMs: number
  /** Until when a lease may run, by segment. Boot time, the margin included. */
  readonly #until = new Map<string, number>()

  /** To be made when the process begins, before it can be asked anything. */
  constructor(clock: Clock) {
    this.#watch = new BootWatch(clock)
    this.#startedAtMs = this.#watch.look()
  }

  /** Boot time. */
  nowMs(): number {
    return this.#watch.look()
  }

  /** In the turn in which a request is carried out whose answer confirms the segment. */
  confirmed(segmentId: string, leaseMs: number, nowMs = this.nowMs()): void {
    const untilMs = nowMs + leaseMs * limits.leaseMargin
    if (untilMs > (this.#until.get(segmentId) ?? 0)) this.#until.set(segmentId, untilMs)
  }

  /**
   * For how long the lease of a primary may still run that counts on this replica, if nothing is
   * confirmed from now on. Clocks that parted are no reason for it to be over: then it is as after a
   * start.
   */
  leftMs(segmentId: string, leaseMs: number): number {
    const nowMs = this.#watch.look()
    const assumedAtMs = Math.max(this.#startedAtMs, this.#watch.voidBeforeMs)
    const untilMs = Math.max(
      assumedAtMs + leaseMs * limits.leaseMargin,
      this.#until.get(segmentId) ?? 0,
    )
    return Math.max(0, Math.ceil(untilMs - nowMs))
  }
}

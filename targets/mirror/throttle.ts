/**
 * Holds copying between servers to so many bytes a second, so that clients keep the rest of the
 * disks and of the network; and to half of the time, so that they keep as much where the machine is
 * slower than the limit. A token bucket that may owe: work is done first and paid for after, so that
 * nobody waits for it while holding a lock. One for a whole server.
 */
import { mirror } from '../../src/base/limits.ts'
import type { Clock } from '../../src/ports/clock.ts'

/** So much unused time counts afterwards, and so long is nobody's wait before it looks again. */
const burstMs = 250
const longestWaitMs = 1_000

/**
 * What comparing and copying counts: content that was sent counts in full, what was only read to be
 * compared a part of that, for it costs no network and only half of the disks' time.
 */
export function costBytes({
  read,
  sent,
}: {
  readonly read: number
  readonly sent: number
}): number {
  return sent + Math.max(0, read - sent) / mirror.comparedPerCopied
}

export class Throttle {
  readonly #clock: Clock
  #bytesPerSecond: number
  /** Bytes that may be moved now; below 0 they are owed. */
  #balance = 0
  #atMs: number

  /** `bytesPerSecond` 0: no limit. */
  constructor(clock: Clock, bytesPerSecond: number) {
    this.#clock = clock
    this.#bytesPerSecond = bytesPerSecond
    this.#atMs = clock.nowMs()
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond
  }

  set bytesPerSecond(value: number) {
    this.#refill()
    this.#bytesPerSecond = value
  }

  /**
   * Undefined: go on. Otherwise to be asked again when it resolves, which is within a second, so
   * that whoever waits sees that it was stopped, and another limit holds soon.
   */
  wait(): Promise<void> | undefined {
    if (this.#bytesPerSecond === 0) return undefined
    this.#refill()
    if (this.#balance >= 0) return undefined
    const owedMs = Math.ceil((-this.#balance / this.#bytesPerSecond) * 1000)
    return new Promise((resolve) => {
      this.#clock.after(Math.min(owedMs, longestWaitMs), resolve)
    })
  }

  /** Call it when work begins, and what it returns when the work is done. */
  begin(): (bytes: number) => void {
    const beganMs = this.#clock.nowMs()
    return (bytes) => this.spend(bytes, this.#clock.nowMs() - beganMs)
  }

  /** `tookMs`: work that kept the disks or the network busy for so long is followed by as long a rest. */
  spend(bytes: number, tookMs = 0): void {
    this.#refill()
    if (this.#bytesPerSecond === 0) return
    const restMs = Math.min(tookMs, longestWaitMs)
    const restBytes = (restMs / 1000) * this.#bytesPerSecond
    this.#balance = Math.min(this.#balance - bytes, -restBytes)
  }

  #refill(): void {
    const nowMs = this.#clock.nowMs()
    const earned = ((nowMs - this.#atMs) / 1000) * this.#bytesPerSecond
    const most = (burstMs / 1000) * this.#bytesPerSecond
    this.#balance = Math.min(this.#balance + earned, most)
    this.#atMs = nowMs
  }
}

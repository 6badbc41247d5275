/**
 * Is the target alive? Pings it (NOP-Out, RFC 7143 11.18) at a fixed interval and gives the session
 * up when a ping stays unanswered and nothing else comes, or when a command stays unanswered while
 * pings are not. A moment in which this process itself stood still is not held against the target:
 * what it sent meanwhile has yet to be read.
 */
import { leg as limits } from '../base/limits.ts'
import type { Cancel, Clock } from '../ports/clock.ts'

interface PulseOptions {
  readonly clock: Clock
  readonly ping: () => void
  /** Since when the oldest command without an answer waits. */
  readonly oldestAtMs: () => number | undefined
  readonly fail: (cause: string) => void
}

const tickMs = limits.pulseTickMs
/** A tick this late says that we did not run. */
const lateMs = 100

export class Pulse {
  readonly #options: PulseOptions
  #pingedAtMs: number | undefined
  #heardAtMs: number
  #nextPingAtMs: number
  #cancel: Cancel

  constructor(options: PulseOptions) {
    this.#options = options
    this.#heardAtMs = options.clock.nowMs()
    this.#nextPingAtMs = this.#heardAtMs + limits.nopIntervalMs
    this.#cancel = this.#arm()
  }

  /** Anything came from the target. */
  heard(): void {
    this.#heardAtMs = this.#options.clock.nowMs()
  }

  /** The ping was answered. */
  answered(): void {
    this.#pingedAtMs = undefined
  }

  stop(): void {
    this.#cancel()
  }

  #arm(): Cancel {
    const { clock } = this.#options
    const dueAtMs = clock.nowMs() + tickMs
    return clock.after(tickMs, () => {
      const nowMs = clock.nowMs()
      this.#cancel = this.#arm()
      if (nowMs - dueAtMs < lateMs) this.#look(nowMs)
    })
  }

  #look(nowMs: number): void {
    const { ping, oldestAtMs, fail } = this.#options
    const pinged = this.#pingedAtMs
    if (pinged !== undefined && nowMs - Math.max(pinged, this.#heardAtMs) >= limits.nopDeadlineMs) {
      fail(`silent for ${limits.nopDeadlineMs} ms after a NOP-Out`)
      return
    }
    const oldest = oldestAtMs()
    if (oldest !== undefined && nowMs - oldest >= limits.commandDeadlineMs) {
      fail(`a command was not answered for ${limits.commandDeadlineMs} ms`)
      return
    }
    if (pinged === undefined && nowMs >= this.#nextPingAtMs) {
      this.#pingedAtMs = nowMs
      this.#nextPingAtMs = nowMs + limits.nopIntervalMs
      ping()
    }
  }
}

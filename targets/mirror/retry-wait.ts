/**
 * Waits before something is tried again with a partner: until it is up where it is not, else for a
 * time that doubles. `stop` ends every wait, for good.
 */
import { mirror } from '../../src/base/limits.ts'
import { anyOf, Signal } from '../../src/leg/signal.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Partner } from './partner.ts'

export class RetryWait {
  readonly #clock: Clock
  readonly #look = new Signal()
  #stopped = false
  #delayMs: number = mirror.retryFirstMs

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get stopped(): boolean {
    return this.#stopped
  }

  /** Something went well: the next wait is a short one. */
  reset(): void {
    this.#delayMs = mirror.retryFirstMs
  }

  async delay(): Promise<void> {
    if (this.#stopped) return
    const ms = this.#delayMs
    this.#delayMs = Math.min(ms * 2, mirror.retryLongestMs)
    await anyOf([this.#look], { clock: this.#clock, ms })
  }

  /** Until a session stands, or it was stopped. */
  async untilUp(partner: Partner): Promise<void> {
    while (!this.#stopped && !partner.up) await this.untilChanged(partner)
  }

  async untilChanged(partner: Partner): Promise<void> {
    if (this.#stopped) return
    // Waits here, not for the partner's promise itself, which may never resolve.
    const looked = anyOf([this.#look])
    void partner.changed().then(() => this.#look.notify())
    await looked
  }

  /** Ends the wait that goes on. */
  look(): void {
    this.#look.notify()
  }

  stop(): void {
    this.#stopped = true
    this.#look.notify()
  }
}

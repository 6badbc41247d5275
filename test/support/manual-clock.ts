/** A Clock that a test moves by hand: timers run in the order of their time, in `advance`. */
import type { Cancel, Clock } from '../../src/ports/clock.ts'

interface Timer {
  readonly atMs: number
  readonly run: () => void
}

export class ManualClock implements Clock {
  #nowMs = 0
  readonly #timers = new Set<Timer>()

  nowMs(): number {
    return this.#nowMs
  }

  bootMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return 1_800_000_000_000 + this.#nowMs
  }

  after(delayMs: number, run: () => void): Cancel {
    const timer = { atMs: this.#nowMs + delayMs, run }
    this.#timers.add(timer)
    return () => {
      this.#timers.delete(timer)
    }
  }

  get timers(): number {
    return this.#timers.size
  }

  /** Runs every timer that is due meanwhile, and lets what it started go on, before the next. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs
    await settle()
    for (;;) {
      const next = [...this.#timers].sort((left, right) => left.atMs - right.atMs)[0]
      if (next === undefined || next.atMs > untilMs) break
      this.#timers.delete(next)
      this.#nowMs = next.atMs
      next.run()
      await settle()
    }
    this.#nowMs = untilMs
  }
}

/** Lets everything go on that waits for nothing but promises. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Holds a long operation to so many bytes a second, so that it leaves the machine to others. */
import type { Clock } from '../ports/clock.ts'

export class Pacer {
  readonly #clock: Clock | undefined
  readonly #bytesPerSecond: number
  readonly #startedMs: number
  #bytes = 0

  /** Without a clock it holds up nothing. */
  constructor(clock: Clock | undefined, bytesPerSecond: number) {
    this.#clock = clock
    this.#bytesPerSecond = bytesPerSecond
    this.#startedMs = clock?.nowMs() ?? 0
  }

  /** Resolves when these bytes, and those before, may have been moved. */
  async moved(bytes: number): Promise<void> {
    const clock = this.#clock
    if (clock === undefined) return
    this.#bytes += bytes
    const dueMs = this.#startedMs + (this.#bytes / this.#bytesPerSecond) * 1000
    const waitMs = dueMs - clock.nowMs()
    if (waitMs < 1) return
    await new Promise<void>((resolve) => {
      clock.after(waitMs, resolve)
    })
  }
}

/**
 * A place to wait until something may have changed. A waiter is called once and looks again for
 * itself; nothing is carried along, so a notification that comes too early or too often is harmless.
 */
import type { Cancel, Clock } from '../ports/clock.ts'

export class Signal {
  #waiters = new Set<() => void>()

  /** Calls `run` once, at the next notification. */
  once(run: () => void): Cancel {
    const waiter = (): void => run()
    this.#waiters.add(waiter)
    return () => this.#waiters.delete(waiter)
  }

  notify(): void {
    if (this.#waiters.size === 0) return
    const waiters = this.#waiters
    this.#waiters = new Set()
    for (const waiter of waiters) waiter()
  }

  /** For status and tests. */
  get waiting(): number {
    return this.#waiters.size
  }
}

/** Resolves at the first notification of any of the signals, or when the time is over. */
export function anyOf(
  signals: readonly Signal[],
  timeout?: { readonly clock: Clock; readonly ms: number },
): Promise<void> {
  return new Promise((resolve) => {
    const cancels: Cancel[] = []
    const done = (): void => {
      for (const cancel of cancels) cancel()
      resolve()
    }
    for (const signal of signals) cancels.push(signal.once(done))
    if (timeout !== undefined) cancels.push(timeout.clock.after(timeout.ms, done))
  })
}

/**
 * Time as a parameter, so that the same code runs in a deterministic simulation.
 * Nothing outside src/adapters asks the machine what time it is.
 */
export interface Clock {
  /** Monotonic milliseconds; does not count time in which the machine was suspended. */
  nowMs(): number
  /** Monotonic milliseconds since boot, counting suspended time. */
  bootMs(): number
  /** Milliseconds since 1970. Only for people, and for numbers that must grow over restarts. */
  wallMs(): number
  /** Calls `run` once after `delayMs`; the returned function cancels it, and may be called late. */
  after(delayMs: number, run: () => void): Cancel
}

export type Cancel = () => void

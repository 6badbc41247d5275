/**
 * The number that each of this program's logins carries (X-io.palisade.Login): the larger of the
 * clock in ms and the last one + 1. It keeps a login that was itself delayed in the network from
 * ending its successor. One for the whole program, because a server may compare the logins of all
 * our sessions. A clock that went back is found out by the first refusal, which says the number known.
 */
import type { Clock } from '../ports/clock.ts'

export class LoginNumbers {
  readonly #clock: Clock
  #last = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  next(): number {
    this.#last = Math.max(Math.floor(this.#clock.wallMs()), this.#last + 1)
    return this.#last
  }

  /** A server knows this one: the next is higher. */
  seen(known: number): void {
    if (Number.isSafeInteger(known) && known < Number.MAX_SAFE_INTEGER) {
      this.#last = Math.max(this.#last, known)
    }
  }
}

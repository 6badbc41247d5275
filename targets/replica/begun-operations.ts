/**
 * Counts the operations that have begun to touch the store and not yet ended, so that a close can
 * wait for them. Knows neither generations nor commands.
 */
import { assert } from '../../src/base/assert.ts'

export class BegunOperations {
  #count = 0
  #ever = 0
  #waiting: (() => void)[] = []

  get count(): number {
    return this.#count
  }

  /** How many have begun so far. */
  get ever(): number {
    return this.#ever
  }

  /** Call in the turn in which the store is touched; each begin has exactly one end. */
  begin(): void {
    this.#count += 1
    this.#ever += 1
  }

  end(): void {
    assert(this.#count > 0, 'an operation ends once')
    this.#count -= 1
    if (this.#count > 0) return
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  /** Resolves when none is under way; whoever waits must have made sure that none begins. */
  async drained(): Promise<void> {
    while (this.#count > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }
}

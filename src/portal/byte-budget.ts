/**
 * How many bytes may be held for a purpose: for one session, and with a parent for all of them. A
 * request larger than the cap is granted when nothing else is held, so that it can never wait for
 * ever. No queue of its own: who was told "no" asks again when something was given back.
 */
import { assert } from '../base/assert.ts'

export class ByteBudget {
  readonly #capBytes: number
  readonly #parent: ByteBudget | undefined
  readonly #waiting = new Set<() => void>()
  #heldBytes = 0

  constructor(capBytes: number, parent?: ByteBudget) {
    this.#capBytes = capBytes
    this.#parent = parent
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  tryTake(bytes: number): boolean {
    if (this.#heldBytes > 0 && this.#heldBytes + bytes > this.#capBytes) return false
    if (this.#parent?.tryTake(bytes) === false) return false
    this.#heldBytes += bytes
    return true
  }

  /** For bytes that came unasked for: the peer was allowed to send them. */
  take(bytes: number): void {
    this.#heldBytes += bytes
    this.#parent?.take(bytes)
  }

  give(bytes: number): void {
    assert(bytes <= this.#heldBytes, 'more was given back than taken')
    this.#heldBytes -= bytes
    this.#parent?.give(bytes)
    if (this.#waiting.size === 0) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const run of waiting) run()
  }

  /** Calls `run` once, after something was given back here or in the parent. */
  whenGiven(run: () => void): void {
    const root = this.#parent ?? this
    root.#waiting.add(run)
  }

  forget(run: () => void): void {
    const root = this.#parent ?? this
    root.#waiting.delete(run)
  }
}

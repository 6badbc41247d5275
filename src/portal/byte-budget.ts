/**
 * How many bytes may be held for a purpose: for one session, and with a parent for all of them. One
 * request is granted whatever else is held, to each that has none, so that nobody waits for ever for
 * what others do not give back. No queue of its own: who was told "no" asks again when something was
 * given back.
 */
import { assert } from '../base/assert.ts'

export class ByteBudget {
  readonly #capBytes: number
  readonly #parent: ByteBudget | undefined
  readonly #waiting = new Set<() => void>()
  #heldBytes = 0
  #grantedBytes = 0

  constructor(capBytes: number, parent?: ByteBudget) {
    this.#capBytes = capBytes
    this.#parent = parent
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Of these, what came unasked for. */
  get unaskedBytes(): number {
    return this.#heldBytes - this.#grantedBytes
  }

  /** All together hold more than they should: too much came unasked for. */
  get isCrowded(): boolean {
    const root = this.#parent ?? this
    return root.#heldBytes > root.#capBytes
  }

  tryTake(bytes: number): boolean {
    if (this.#grantedBytes > 0) {
      if (this.#heldBytes + bytes > this.#capBytes) return false
      if (this.#parent?.tryTake(bytes) === false) return false
      this.#count(bytes)
    } else this.grant(bytes)
    return true
  }

  /** Whatever is held. */
  grant(bytes: number): void {
    this.#count(bytes)
    this.#parent?.grant(bytes)
  }

  /** For bytes that came unasked for: the peer was allowed to send them. */
  take(bytes: number): void {
    this.#heldBytes += bytes
    this.#parent?.take(bytes)
  }

  #count(bytes: number): void {
    this.#heldBytes += bytes
    this.#grantedBytes += bytes
  }

  /** `grantedBytes` of them had been granted by `tryTake`, the others came unasked for. */
  give(bytes: number, grantedBytes: number): void {
    assert(bytes <= this.#heldBytes, 'more was given back than taken')
    assert(grantedBytes <= this.#grantedBytes, 'more was given back than granted')
    this.#heldBytes -= bytes
    this.#grantedBytes -= grantedBytes
    this.#parent?.give(bytes, grantedBytes)
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

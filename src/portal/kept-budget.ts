/**
 * How much all connections of a program together may keep of what they sent, to send it again. What
 * is kept is a convenience: beyond the cap whoever keeps most forgets what it has kept for longest,
 * so that one initiator that acknowledges nothing pays for it before others do. RFC 7143 7.2.2.
 */

/** What one connection keeps. */
export interface Keeper {
  readonly heldBytes: number
  /** Drops what was kept for longest; false: there is nothing. */
  forgetFirst(): boolean
}

export class KeptBudget {
  readonly #capBytes: number
  readonly #keepers = new Set<Keeper>()
  #heldBytes = 0

  constructor(capBytes: number) {
    this.#capBytes = capBytes
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  add(keeper: Keeper): void {
    this.#keepers.add(keeper)
  }

  /** It keeps nothing any more. */
  remove(keeper: Keeper): void {
    this.#keepers.delete(keeper)
  }

  /** A keeper has dropped something, for whatever reason. */
  less(bytes: number): void {
    this.#heldBytes -= bytes
  }

  /** A keeper keeps more. */
  more(bytes: number): void {
    this.#heldBytes += bytes
    while (this.#heldBytes > this.#capBytes && this.#largest()?.forgetFirst()) {
      // One at a time: the next may be another's.
    }
  }

  #largest(): Keeper | undefined {
    let largest: Keeper | undefined
    for (const keeper of this.#keepers) {
      if (keeper.heldBytes > (largest?.heldBytes ?? 0)) largest = keeper
    }
    return largest
  }
}

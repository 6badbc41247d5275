/**
 * Knows when every operation that began before some instant has ended. An operation that looked up
 * a physical page may still be reading or writing it after the page was freed; the page is handed
 * out again only when those operations are gone.
 */
export class OperationEras {
  #current = new Era()
  #before: Promise<void> = Promise.resolve()

  /** Enter in the turn in which pages are looked up; leave when the last of the I/O has settled. */
  enter(): Era {
    this.#current.active++
    return this.#current
  }

  /** Resolves when everything that has entered so far has left. */
  drained(): Promise<void> {
    const closing = this.#current
    this.#current = new Era()
    this.#before = Promise.all([this.#before, closing.ended()]).then(() => undefined)
    return this.#before
  }
}

export class Era {
  active = 0
  /** For operations that are one promise: made once, so that each of them is a chain of two. */
  readonly left = (): void => this.leave()
  readonly leftFailing = (error: unknown): never => {
    this.leave()
    throw error
  }
  #idle: (() => void) | undefined

  leave(): void {
    this.active--
    if (this.active === 0) this.#idle?.()
  }

  /** Called once, when nothing can enter any more. */
  ended(): Promise<void> {
    if (this.active === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#idle = resolve
    })
  }
}

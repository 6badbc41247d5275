/**
 * Pages that one operation has for itself for a while: others that would write there wait until
 * they are free. Whoever waits asks again afterwards, in the turn in which it goes on.
 */
const none: readonly Promise<void>[] = []

export class BusyPages {
  readonly #busy = new Map<number, Promise<void>>()

  get empty(): boolean {
    return this.#busy.size === 0
  }

  /** What is to be waited for before the pages from `first` up to `end` are free; mostly nothing. */
  within(first: number, end: number): readonly Promise<void>[] {
    if (this.#busy.size === 0) return none
    const busy: Promise<void>[] = []
    for (const [page, ended] of this.#busy) {
      if (page >= first && page < end) busy.push(ended)
    }
    return busy
  }

  /** Takes pages that are free; to be given back by calling what is returned, once. */
  take(pages: Iterable<number>): () => void {
    const taken = [...pages]
    if (taken.length === 0) return () => undefined
    let settle = (): void => undefined
    const ended = new Promise<void>((resolve) => {
      settle = resolve
    })
    for (const page of taken) this.#busy.set(page, ended)
    return () => {
      for (const page of taken) this.#busy.delete(page)
      settle()
    }
  }

  /** Takes a run of pages as soon as it is free; `check` is asked each time before. */
  async takeRun(first: number, end: number, check: () => void): Promise<() => void> {
    for (;;) {
      check()
      const busy = this.within(first, end)
      if (busy.length === 0) break
      await Promise.all(busy)
    }
    return this.take(Array.from({ length: end - first }, (_, i) => first + i))
  }
}

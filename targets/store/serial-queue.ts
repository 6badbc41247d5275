/** Runs asynchronous jobs one after the other, in the order in which they were given. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#last.then(job)
    // The next job does not care how this one ended; whoever gave it does.
    this.#last = result.catch(() => undefined)
    return result
  }

  /** Resolves when nothing given so far is left. */
  async idle(): Promise<void> {
    await this.#last
  }
}

/** Waits for all, then rejects with the first failure: nothing is left under way behind the caller. */
export function settleAll(promises: readonly Promise<void>[]): Promise<void> {
  const [only] = promises
  return promises.length === 1 && only !== undefined ? only : settleSeveral(promises)
}

async function settleSeveral(promises: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(promises)) {
    if (result.status === 'rejected') throw result.reason
  }
}

/** Locks of one background job: what it waits for can be given up for all of it. */
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import type { Lock, RangeLocks, Release } from './range-locks.ts'

export class JobLocks {
  readonly #locks: RangeLocks
  readonly #waits = new Set<Promise<Release | undefined>>()
  #ended = false

  constructor(locks: RangeLocks) {
    this.#locks = locks
  }

  /** Undefined once the job was ended. */
  shared({ lba, blocks }: BlockExtent): Promise<Release | undefined> {
    return this.#ended ? Promise.resolve(undefined) : this.#take(this.#locks.read(lba, blocks))
  }

  exclusive({ lba, blocks }: BlockExtent): Promise<Release | undefined> {
    return this.#ended ? Promise.resolve(undefined) : this.#take(this.#locks.write(lba, blocks))
  }

  /** Nothing is waited for any more, and nothing that is asked for is given. */
  end(): void {
    this.#ended = true
    for (const wait of this.#waits) this.#locks.abandon(wait)
  }

  async #take(lock: Lock): Promise<Release | undefined> {
    if (!(lock instanceof Promise)) return lock
    this.#waits.add(lock)
    const release = await lock
    this.#waits.delete(lock)
    if (!this.#ended) return release
    release?.()
    return undefined
  }
}

/**
 * Locks over ranges of the blocks of one segment, held by its primary: they give overlapping
 * writes one order on every replica, and keep reads from what is not on every one yet. Shared for
 * reads, exclusive for writes.
 *
 * Fair: whoever comes waits for everything before it that overlaps and is not shared with it,
 * whether that is held or still waits; so readers never starve a writer. One list in the order
 * of arrival is all there is: an operation is compared with those under way, which are few.
 */
import { assert } from '../../src/base/assert.ts'

/** Gives the lock back; to be called once. */
export type Release = () => void

/** The lock, at once or later; `undefined` where the wait was abandoned. */
export type Lock = Release | Promise<Release | undefined>

interface Entry {
  readonly first: number
  readonly end: number
  readonly exclusive: boolean
  /** Those before it that it waits for. 0: it has the lock. */
  blockers: number
  previous: Entry | undefined
  next: Entry | undefined
  /** What its owner waits for; undefined once the lock is had. */
  wait: Wait | undefined
  left: boolean
}

interface Wait {
  readonly promise: Promise<Release | undefined>
  readonly settle: (release: Release | undefined) => void
}

export class RangeLocks {
  #oldest: Entry | undefined
  #newest: Entry | undefined

  /** Together with other reads, after every write of the range that was asked for before. */
  read(lba: number, blocks: number): Lock {
    return this.#enter(lba, blocks, false)
  }

  /** Alone in the range, after everything that was asked for before. */
  write(lba: number, blocks: number): Lock {
    return this.#enter(lba, blocks, true)
  }

  /**
   * Ends a wait: it resolves to undefined, and whoever stood behind goes on. False: too late, the
   * lock was given and is to be released.
   */
  abandon(waiting: Promise<Release | undefined>): boolean {
    for (let entry = this.#oldest; entry !== undefined; entry = entry.next) {
      if (entry.wait?.promise !== waiting) continue
      this.#abandon(entry)
      return true
    }
    return false
  }

  /** Nobody has or waits for anything. */
  get idle(): boolean {
    return this.#oldest === undefined
  }

  #enter(first: number, blocks: number, exclusive: boolean): Lock {
    const entry: Entry = {
      first,
      end: first + blocks,
      exclusive,
      blockers: 0,
      previous: this.#newest,
      next: undefined,
      wait: undefined,
      left: false,
    }
    for (let other = this.#oldest; other !== undefined; other = other.next) {
      if (conflict(entry, other)) entry.blockers++
    }
    if (this.#newest === undefined) this.#oldest = entry
    else this.#newest.next = entry
    this.#newest = entry
    if (entry.blockers === 0) return () => this.#leave(entry)
    entry.wait = newWait()
    return entry.wait.promise
  }

  #abandon(entry: Entry): void {
    const { wait } = entry
    assert(wait !== undefined, 'only a wait is abandoned')
    entry.wait = undefined
    this.#leave(entry)
    wait.settle(undefined)
  }

  #leave(entry: Entry): void {
    assert(!entry.left, 'a lock is given back once')
    entry.left = true
    if (entry.previous === undefined) this.#oldest = entry.next
    else entry.previous.next = entry.next
    if (entry.next === undefined) this.#newest = entry.previous
    else entry.next.previous = entry.previous
    for (let other = entry.next; other !== undefined; other = other.next) {
      if (!conflict(entry, other)) continue
      other.blockers--
      if (other.blockers === 0) this.#grant(other)
    }
  }

  #grant(entry: Entry): void {
    const { wait } = entry
    assert(wait !== undefined, 'who had to wait waits')
    entry.wait = undefined
    wait.settle(() => this.#leave(entry))
  }
}

function conflict(one: Entry, other: Entry): boolean {
  return (one.exclusive || other.exclusive) && one.first < other.end && other.first < one.end
}

function newWait(): Wait {
  let settle: Wait['settle'] = () => undefined
  const promise = new Promise<Release | undefined>((resolve) => {
    settle = resolve
  })
  return { promise, settle }
}

/**
 * Decides when a simulated machine stops, a sync fails, or there is no room. Operations of all its disks are counted;
 * at the chosen one the machine stops: that operation and all later ones never answer.
 */
import { StorageError } from '../../src/base/errors.ts'

export interface FaultOptions {
  /** Stop at this operation, counted from 1. */
  readonly crashAt?: number
  /** Let this flush fail, counted from 1. */
  readonly failFlushAt?: number
  /** What is written from this operation on, and before the other one, finds no room. */
  readonly fullFrom?: number
  readonly fullUntil?: number
  /** 0 <= n < 1. */
  readonly random: () => number
}

export class FaultPlan {
  readonly crashed: Promise<void>
  readonly random: () => number
  operations = 0
  /** Operations that found no room. */
  withoutRoom = 0
  flushes = 0
  /** Operations that found no disk any more. */
  refused = 0
  readonly #options: FaultOptions
  #stopped = false
  #unplugged = false
  #crash: () => void = () => undefined

  constructor(options: FaultOptions) {
    this.#options = options
    this.random = options.random
    this.crashed = new Promise((resolve) => {
      this.#crash = resolve
    })
  }

  /** Stops the machine by hand. */
  stop(): void {
    this.#stopped = true
    this.#crash()
  }

  /** The disk is pulled out: every operation fails from now on, and the machine goes on. */
  unplug(): void {
    this.#unplugged = true
  }

  /** Asked before a read. */
  async beforeRead(): Promise<void> {
    if (this.#stopped) return forever()
    if (!this.#unplugged) return
    this.refused++
    throw new StorageError('io-error', 'the test has pulled the disk out')
  }

  /** Asked before the operation has any effect. */
  async before(kind: 'write' | 'flush' | 'transact' | 'name'): Promise<void> {
    await this.beforeRead()
    this.operations++
    if (kind === 'flush') this.flushes++
    // Stopping before and after the effect are different states: both are tried.
    if (this.operations === this.#options.crashAt && this.random() < 0.5) {
      this.stop()
      return forever()
    }
  }

  /** Asked when the effect is there and nobody has been told. */
  async after(): Promise<void> {
    if (this.#stopped) return forever()
    if (this.#options.crashAt !== undefined && this.operations >= this.#options.crashAt) {
      this.stop()
      return forever()
    }
  }

  get isFull(): boolean {
    const { fullFrom = Number.POSITIVE_INFINITY, fullUntil = 0 } = this.#options
    return this.operations >= fullFrom && this.operations < fullUntil
  }

  /** Throws where there is no room; some of what was to be written may be there all the same. */
  mustHaveRoom(name: string): void {
    if (!this.isFull) return
    this.withoutRoom++
    throw new StorageError('no-space', `${name}: the test leaves no room`)
  }

  get flushFails(): boolean {
    return this.flushes === this.#options.failFlushAt
  }

  flushError(name: string): StorageError {
    return new StorageError('io-error', `sync ${name}: the test lets it fail`)
  }
}

function forever(): Promise<never> {
  return new Promise(() => undefined)
}

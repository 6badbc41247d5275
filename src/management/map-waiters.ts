/** Callers of GetMap that wait for a newer map of a volume; each for a bounded time. */
import { manager as limits } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'
import type { Generation } from '../volume/generation.ts'
import type { VolumeMap } from '../volume/map.ts'

interface Waiter {
  readonly volumeId: string
  readonly newerThan: Generation
  readonly answer: (map: VolumeMap | undefined) => void
}

export class MapWaiters {
  readonly #clock: Clock
  readonly #waiters = new Set<Waiter>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Undefined when none came in time. */
  wait(volumeId: string, newerThan: Generation): Promise<VolumeMap | undefined> {
    return new Promise((resolve) => {
      const waiter: Waiter = {
        volumeId,
        newerThan,
        answer: (map) => {
          cancel()
          this.#waiters.delete(waiter)
          resolve(map)
        },
      }
      const cancel = this.#clock.after(limits.getMapWaitMs, () => waiter.answer(undefined))
      this.#waiters.add(waiter)
    })
  }

  /** A map was decided. */
  committed(map: VolumeMap): void {
    for (const waiter of [...this.#waiters]) {
      if (waiter.volumeId === map.volumeId && waiter.newerThan < map.generation) waiter.answer(map)
    }
  }

  stop(): void {
    for (const waiter of [...this.#waiters]) waiter.answer(undefined)
  }
}

/**
 * A RESERVE (6) or (10) ends with the session that sent it, and so with the process of its front
 * end: one that came through a former process of this client is released, by a full change, for what
 * that process sent may still be under way. One that came through a shim that never starts again
 * stays until a reset or an operator ends it: nobody here could tell that from one that is cut off.
 * SPC-2 5.5.1.
 */
import { background } from '../../src/base/background.ts'
import { shim } from '../../src/base/limits.ts'
import { anyOf } from '../../src/leg/signal.ts'
import type { Clock } from '../../src/ports/clock.ts'
import { withoutReserve } from '../../src/scsi/reservation-table.ts'
import { bringAbout, type SharedState } from '../../src/scsi/unit-settings.ts'
import type { VolumeState } from '../volume-state.ts'
import type { VolumeSettings } from './volume-settings.ts'

export interface ReserveKeeperOptions {
  readonly state: VolumeState
  readonly settings: VolumeSettings
  readonly clock: Clock
}

export class ReserveKeeper {
  readonly #options: ReserveKeeperOptions
  #releasing = false
  #closed = false

  constructor(options: ReserveKeeperOptions) {
    this.#options = options
  }

  /** After each map. */
  look(): void {
    if (this.#releasing || this.#closed || !this.#isOver(this.#options.settings.state)) return
    this.#releasing = true
    background(this.#release(), () => undefined)
  }

  close(): void {
    this.#closed = true
  }

  async #release(): Promise<void> {
    const { settings, state, clock } = this.#options
    while (!this.#closed && !state.gone) {
      const outcome = await bringAbout(
        settings,
        (now) =>
          this.#isOver(now)
            ? { ...now, reservations: withoutReserve(now.reservations) }
            : undefined,
        { takesAway: true },
      )
      if (outcome === 'done') break
      await anyOf([state.changed], { clock, ms: shim.revertRetryMs })
    }
    this.#releasing = false
  }

  #isOver({ reservations }: SharedState): boolean {
    const { settings } = this.#options
    const { reserved, reservedThrough } = reservations
    if (reserved === undefined || reservedThrough === undefined) return false
    return reservedThrough !== settings.owner && settings.isOfThisClient(reservedThrough)
  }
}

/**
 * What initiators set on a unit that one target alone serves: kept in memory, one value for all
 * nexuses. What must survive a loss of power (registrations with APTPL) goes through `persist`
 * before a change is done.
 */
import { noReservations } from './reservation-table.ts'
import type { ChangeOutcome, SharedState, UnitSettings } from './unit-settings.ts'

export const defaultSharedState: SharedState = {
  descriptorSense: false,
  softwareWriteProtect: false,
  mediumLoaded: true,
  sanitize: undefined,
  reservations: noReservations,
}

export interface MemoryUnitSettingsOptions {
  readonly initial?: SharedState
  /**
   * Makes durable what has to be; undefined where nothing has. False: it could not, and the change
   * is not made.
   */
  readonly persist?: (former: SharedState, next: SharedState) => Promise<boolean> | undefined
}

export class MemoryUnitSettings implements UnitSettings {
  readonly owner = 'the only one'
  #state: SharedState
  #changing: Promise<boolean> | undefined
  readonly #persist: MemoryUnitSettingsOptions['persist']

  constructor(options: MemoryUnitSettingsOptions = {}) {
    this.#state = options.initial ?? defaultSharedState
    this.#persist = options.persist
  }

  get state(): SharedState {
    return this.#state
  }

  /** One at a time: who comes while another is being made durable looks again after it. */
  async change(former: SharedState, next: SharedState): Promise<ChangeOutcome> {
    if (this.#changing !== undefined) {
      await this.#changing
      return 'changed'
    }
    if (former !== this.#state) return 'changed'
    const persisted = this.#persist?.(former, next)
    if (persisted === undefined) {
      this.#state = next
      return 'done'
    }
    this.#changing = persisted
    try {
      if (!(await persisted)) return 'unavailable'
      this.#state = next
      return 'done'
    } finally {
      this.#changing = undefined
    }
  }
}

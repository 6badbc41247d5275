/**
 * What initiators set on a logical unit and what then holds for all of them, whatever front end they
 * come through: one value, replaced as a whole. A plain target keeps it itself, a volume's is
 * configuration in its map. Rules live elsewhere: modes in mode-select.ts, reservations in
 * reservation-*.ts, the medium in unit-state.ts.
 */
import type { ReservationTable } from './reservation-table.ts'
import type { SanitizeRecord } from './sanitize-record.ts'

export interface SharedState {
  /** D_SENSE of the Control mode page: descriptor format sense. SPC-4 7.5.8. */
  readonly descriptorSense: boolean
  /** SWP of the Control mode page. */
  readonly softwareWriteProtect: boolean
  /** False after the medium of a removable unit was ejected. SBC-3 5.25. */
  readonly mediumLoaded: boolean
  /** The operation that is under way or has failed. */
  readonly sanitize: SanitizeRecord | undefined
  readonly reservations: ReservationTable
}

export type ChangeOutcome = 'done' | 'changed' | 'unavailable' | 'unknown'

export interface UnitSettings {
  /** The newest known; a new object after each change. */
  readonly state: SharedState
  /** Names this side among all that serve the unit, in operations that one of them carries out. */
  readonly owner: string
  /**
   * Replaces `former` by `next` if `former` still holds. Resolves when every front end obeys it and,
   * where the table asks for it (APTPL), when it survives a loss of power. `changed`: somebody was
   * faster, look again; `unavailable`: nothing was changed, and nothing can be now (BUSY);
   * `unknown`: it may have been made, or may still be (ABORTED COMMAND). Never rejects.
   */
  change(
    former: SharedState,
    next: SharedState,
    /** True when something that another initiator may do is taken away: it waits for its fence. */
    how: { readonly takesAway: boolean },
  ): Promise<ChangeOutcome>
  /**
   * Undoes what ended with a session or by a reset: it is so at once for those who look here, and
   * everywhere as soon as can be. Absent where `change` makes it so at once.
   */
  revert?(edit: Edit): void
}

/** Undefined where nothing is to be changed. */
export type Edit = (state: SharedState) => SharedState | undefined

/**
 * Changes the newest state, however often others are faster. `edit` gives undefined where nothing is
 * to be changed. Never rejects.
 */
export async function bringAbout(
  settings: UnitSettings,
  edit: Edit,
  how: { readonly takesAway: boolean },
): Promise<Exclude<ChangeOutcome, 'changed'>> {
  for (;;) {
    const former = settings.state
    const next = edit(former)
    if (next === undefined) return 'done'
    const outcome = await settings.change(former, next, how)
    if (outcome !== 'changed') return outcome
  }
}

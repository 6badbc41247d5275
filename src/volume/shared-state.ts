/**
 * What initiators have set on a volume (reservations, D_SENSE, SWP, its medium) as a part of its map:
 * the state itself, how often it was changed, and by which changes of late. Pure.
 */
import { sharedStateChanges } from '../base/limits.ts'
import { defaultSharedState } from '../scsi/memory-unit-settings.ts'
import { cleared } from '../scsi/reservation-changes.ts'
import type { SharedState } from '../scsi/unit-settings.ts'

export interface VersionedState {
  /** Grows by one with each change: a change names the version that it replaces. */
  readonly version: number
  readonly state: SharedState
  /**
   * Names of the newest changes, oldest first. A front end that lost the answer to a change finds
   * out here what became of it.
   */
  readonly changes: readonly string[]
}

/** Of a volume on which nobody ever set anything. */
export const initialState: VersionedState = { version: 0, state: defaultSharedState, changes: [] }

export function nextVersion(former: VersionedState, change: string, state: SharedState) {
  const changes = [...former.changes, change].slice(-sharedStateChanges)
  return { version: former.version + 1, state, changes }
}

/** What became of a change that was to replace version `former`. Undefined: it may still be made. */
export function outcomeOf(
  now: VersionedState,
  change: string,
  former: number,
): 'done' | 'changed' | undefined {
  if (now.changes.includes(change)) return 'done'
  return now.version === former ? undefined : 'changed'
}

/** By an operator, who tells every registrant. */
export function withoutReservations({ reservations, ...state }: SharedState): SharedState {
  const ports = reservations.registrations.map(({ initiatorPort }) => initiatorPort)
  return { ...state, reservations: cleared(reservations, ports) }
}

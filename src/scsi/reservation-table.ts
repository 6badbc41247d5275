/**
 * Who has registered, who holds the unit, and what that means for others still to be told: a value,
 * without rules (reservation-access.ts, reservation-changes.ts). SPC-4 5.12, SPC-2 5.6.
 *
 * Deviation: SPC-4 5.12.1 has an I_T nexus hold reservations, here an initiator port does: SCSI is
 * told of one target port, whatever portal groups and front ends there are. So a registration holds
 * on all paths of an initiator that uses one ISID for them, as with ALL_TG_PT.
 */

/** Zero means: not registered. */
export const noKey = '0000000000000000'

export interface Registration {
  /** `Nexus.initiatorPort`. */
  readonly initiatorPort: string
  /** RESERVATION KEY as 16 hexadecimal digits; never zero. */
  readonly key: string
}

export interface ReservationTable {
  /** PRGENERATION, modulo 2^32. SPC-4 5.12.8. */
  readonly generation: number
  readonly registrations: readonly Registration[]
  /** Holder of a persistent reservation. With the types for all registrants it names nobody. */
  readonly persistent: { readonly type: number; readonly holder: string | undefined } | undefined
  /** Initiator port that holds a RESERVE (6) or (10). */
  readonly reserved: string | undefined
  /** `UnitSettings.owner` of where that RESERVE came; it ends with that one. */
  readonly reservedThrough?: string
  /** APTPL: the registrations survive a loss of power. */
  readonly persistThroughPowerLoss: boolean
  /** The newest, oldest first: a front end may see only the last of several tables. */
  readonly notices: readonly ReservationNotice[]
}

export type ReservationEvent =
  | 'reservations-preempted'
  | 'reservations-released'
  | 'registrations-preempted'

/** What a change has to tell others: a unit attention, and perhaps the end of their commands. */
export interface ReservationNotice {
  /** Counts the notices of this unit from 1. */
  readonly number: number
  readonly event: ReservationEvent
  readonly initiatorPorts: readonly string[]
  /** PREEMPT AND ABORT: what they have under way ends. SPC-4 5.12.11.2.6. */
  readonly abort: boolean
}

export const noReservations: ReservationTable = {
  generation: 0,
  registrations: [],
  persistent: undefined,
  reserved: undefined,
  persistThroughPowerLoss: false,
  notices: [],
}

export function isRegistered(table: ReservationTable, initiatorPort: string): boolean {
  return table.registrations.some((each) => each.initiatorPort === initiatorPort)
}

export function keyOf(table: ReservationTable, initiatorPort: string): string | undefined {
  return table.registrations.find((each) => each.initiatorPort === initiatorPort)?.key
}

export function withoutReserve({
  reservedThrough: _,
  ...table
}: ReservationTable): ReservationTable {
  return { ...table, reserved: undefined }
}

/**
 * What is left of a table after a loss of power, nothing where APTPL does not say otherwise.
 * PRGENERATION begins anew at zero, and RESERVE is over. SPC-4 5.12.5, 5.12.8; SPC-2 5.5.1.
 */
export function survivingPowerLoss(table: ReservationTable): ReservationTable | undefined {
  if (!table.persistThroughPowerLoss) return undefined
  return { ...withoutReserve(table), generation: 0, notices: [] }
}

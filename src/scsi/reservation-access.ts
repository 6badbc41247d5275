/**
 * May a command of this initiator port be carried out, as far as reservations go. Pure. SPC-4 5.12.1
 * (tables 63 and 64) and SBC-3 4.17 say it for persistent reservations, SPC-2 5.5 for RESERVE. Which
 * class a command belongs to is a column of its row in the command table.
 */
import { isRegistered, type ReservationTable } from './reservation-table.ts'

/** TYPE of a persistent reservation. SPC-4 6.15.3.4. */
export const ReservationType = {
  WRITE_EXCLUSIVE: 1,
  EXCLUSIVE_ACCESS: 3,
  WRITE_EXCLUSIVE_REGISTRANTS_ONLY: 5,
  EXCLUSIVE_ACCESS_REGISTRANTS_ONLY: 6,
  WRITE_EXCLUSIVE_ALL_REGISTRANTS: 7,
  EXCLUSIVE_ACCESS_ALL_REGISTRANTS: 8,
} as const
export type ReservationType = (typeof ReservationType)[keyof typeof ReservationType]

/**
 * What holds a command up. `never`: nothing. `reserve`: only a RESERVE of another. `persistent`: any
 * RESERVE, even one's own (SPC-2 5.5.3.1). `read`: also a persistent reservation with exclusive
 * access. `write`: every persistent reservation. `own`: its handler decides.
 */
export type ReservationClass = 'never' | 'reserve' | 'persistent' | 'read' | 'write' | 'own'

export function isReservationType(type: number): type is ReservationType {
  return Object.values(ReservationType).some((each) => each === type)
}

/** Registered nexuses may do as much as the holder. */
export function sharesWithRegistrants(type: number): boolean {
  return type >= ReservationType.WRITE_EXCLUSIVE_REGISTRANTS_ONLY
}

/** Every registered nexus is a holder. */
export function isForAllRegistrants(type: number): boolean {
  return type >= ReservationType.WRITE_EXCLUSIVE_ALL_REGISTRANTS
}

export function isExclusiveAccess(type: number): boolean {
  return (
    type === ReservationType.EXCLUSIVE_ACCESS ||
    type === ReservationType.EXCLUSIVE_ACCESS_REGISTRANTS_ONLY ||
    type === ReservationType.EXCLUSIVE_ACCESS_ALL_REGISTRANTS
  )
}

/** Is this port a holder of the persistent reservation that there is? */
export function holds(table: ReservationTable, initiatorPort: string): boolean {
  const { persistent } = table
  if (persistent === undefined) return false
  if (isForAllRegistrants(persistent.type)) return isRegistered(table, initiatorPort)
  return persistent.holder === initiatorPort
}

export function conflicts(
  table: ReservationTable,
  initiatorPort: string,
  kind: ReservationClass,
): boolean {
  if (kind === 'never' || kind === 'own') return false
  if (table.reserved !== undefined) return kind === 'persistent' || table.reserved !== initiatorPort
  const { persistent } = table
  if (persistent === undefined || kind === 'reserve' || kind === 'persistent') return false
  if (persistent.holder === initiatorPort) return false
  if (sharesWithRegistrants(persistent.type) && isRegistered(table, initiatorPort)) return false
  return kind === 'write' || isExclusiveAccess(persistent.type)
}

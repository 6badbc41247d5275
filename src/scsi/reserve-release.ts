/**
 * RESERVE and RELEASE (6), (10) of the whole unit. SPC-2 7.21, 7.22, 7.16, 7.17, with the exceptions
 * of SPC-4 5.12.3 (CRH) where there are persistent reservations. The reservation ends with the
 * session of its holder, with resets (unit-reset.ts), and with the process where it came.
 */
import { release6, release10, reserve6, reserve10 } from './cdb-reservation.ts'
import { type Command, command, whereSettable } from './command.ts'
import { holds, sharesWithRegistrants } from './reservation-access.ts'
import type { Decision } from './reservation-changes.ts'
import { changeReservations } from './reservation-command.ts'
import { isRegistered, type ReservationTable, withoutReserve } from './reservation-table.ts'

const unchanged: Decision = { kind: 'unchanged' }
const conflict: Decision = { kind: 'refused', why: 'conflict' }

/** Registrants hold by another kind of reservation what they ask for: GOOD, and nothing happens. */
function withPersistent(table: ReservationTable, port: string): Decision | undefined {
  const { persistent, registrations } = table
  if (persistent === undefined) return registrations.length > 0 ? conflict : undefined
  const shares = sharesWithRegistrants(persistent.type) && isRegistered(table, port)
  return shares || holds(table, port) ? unchanged : conflict
}

export function reserveUnit(table: ReservationTable, port: string, owner: string): Decision {
  const exceptional = withPersistent(table, port)
  if (exceptional !== undefined) return exceptional
  if (table.reserved !== undefined && table.reserved !== port) return conflict
  if (table.reserved === port && table.reservedThrough === owner) return unchanged
  const next = { ...table, reserved: port, reservedThrough: owner }
  return { kind: 'change', table: next, takesAway: true, aborts: [] }
}

/** From whoever does not hold it, it is no error and changes nothing. SPC-2 7.16.2. */
export function releaseUnit(table: ReservationTable, port: string): Decision {
  const exceptional = withPersistent(table, port)
  if (exceptional !== undefined) return exceptional
  if (table.reserved !== port) return unchanged
  return { kind: 'change', table: withoutReserve(table), takesAway: false, aborts: [] }
}

function changing(
  layout: typeof reserve6,
  decide: (table: ReservationTable, port: string, owner: string) => Decision,
): Command {
  return command(layout, {
    medium: 'none',
    reservation: 'own',
    sets: true,
    when: whereSettable,
    run: (call) =>
      changeReservations(call, (table) =>
        decide(table, call.nexus.initiatorPort, call.settings.owner),
      ),
  })
}

export const reserveReleaseCommands: readonly Command[] = [
  changing(reserve6, reserveUnit),
  changing(reserve10, reserveUnit),
  changing(release6, releaseUnit),
  changing(release10, releaseUnit),
]

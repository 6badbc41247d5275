/** Reservations of a volume as the command line shows them. */
import type { ReservationType } from '../scsi/reservation-access.ts'
import { noReservations, type ReservationTable } from '../scsi/reservation-table.ts'
import type { VolumeMap } from '../volume/map.ts'

const types: Readonly<Record<ReservationType, string>> = {
  1: 'write exclusive',
  3: 'exclusive access',
  5: 'write exclusive, registrants only',
  6: 'exclusive access, registrants only',
  7: 'write exclusive, all registrants',
  8: 'exclusive access, all registrants',
}

function tableOf(map: VolumeMap): ReservationTable {
  return map.shared?.state.reservations ?? noReservations
}

function typeOf({ persistent }: ReservationTable): string | null {
  return persistent === undefined ? null : types[persistent.type as ReservationType]
}

/** In `--json`: a contract with scripts. */
export function reservationsJson(map: VolumeMap) {
  const table = tableOf(map)
  return {
    generation: table.generation,
    registrations: table.registrations.map(({ initiatorPort, key }) => ({ initiatorPort, key })),
    type: typeOf(table),
    holder: table.persistent?.holder ?? null,
    reservedBy: table.reserved ?? null,
  }
}

/** Lines for people; none where nothing is reserved or registered. */
export function reservationLines(map: VolumeMap): string[] {
  const table = tableOf(map)
  const type = typeOf(table)
  const holder = table.persistent?.holder ?? 'every registrant'
  return [
    ...(type === null ? [] : [`reserved    ${type}, by ${holder}`]),
    ...(table.reserved === undefined ? [] : [`reserved    by RESERVE of ${table.reserved}`]),
    ...table.registrations.map(({ initiatorPort, key }) => `registered  ${initiatorPort}, ${key}`),
  ]
}

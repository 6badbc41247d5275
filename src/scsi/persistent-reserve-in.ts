/**
 * PERSISTENT RESERVE IN: what there is of registrations and reservations, from the newest table
 * known. SPC-4 6.15.
 */
import type { Call } from './call.ts'
import { readFullStatus, readKeys, readReservation, reportCapabilities } from './cdb-reservation.ts'
import { allocated, type Command, command, dataIn, whereSettable } from './command.ts'
import { holds, isForAllRegistrants } from './reservation-access.ts'
import { keyOf, noKey, type Registration, type ReservationTable } from './reservation-table.ts'
import { encodeTransportId } from './transport-id.ts'

/** All portals are one portal group, which is relative target port 1. */
const relativeTargetPort = 1

function headed(table: ReservationTable, entries: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt32BE(table.generation, 0)
  header.writeUInt32BE(
    entries.reduce((bytes, entry) => bytes + entry.length, 0),
    4,
  )
  return Buffer.concat([header, ...entries])
}

function keys(table: ReservationTable): Buffer {
  return headed(
    table,
    table.registrations.map(({ key }) => Buffer.from(key, 'hex')),
  )
}

/** SPC-4 6.15.3.2: the key of the holder; zero where all registrants hold it. SCOPE is LU_SCOPE. */
function reservation(table: ReservationTable): Buffer {
  const { persistent } = table
  if (persistent === undefined) return headed(table, [])
  const holder = persistent.holder
  const descriptor = Buffer.alloc(16)
  const key = isForAllRegistrants(persistent.type) || !holder ? noKey : keyOf(table, holder)
  descriptor.write(key ?? noKey, 0, 'hex')
  descriptor[13] = persistent.type
  return headed(table, [descriptor])
}

/**
 * CRH, SIP_C, ATP_C, PTPL_C; TMV with ALLOW COMMANDS 011b: TEST UNIT READY passes every persistent
 * reservation, MODE SENSE and the like pass those for writing. All six types. RLR_C is 0, and there is
 * no REPLACE LOST RESERVATION: what is kept is either found whole, or its unit is not served at all.
 */
function capabilities({ persistThroughPowerLoss }: ReservationTable): Buffer {
  const active = persistThroughPowerLoss ? 0x01 : 0x00
  return Buffer.from([0, 8, 0x1d, 0xb0 | active, 0xea, 0x01, 0, 0])
}

function statusOf(table: ReservationTable, { initiatorPort, key }: Registration): Buffer {
  const holder = holds(table, initiatorPort)
  const transportId = encodeTransportId(initiatorPort)
  const descriptor = Buffer.alloc(24)
  descriptor.write(key, 0, 'hex')
  descriptor[12] = holder ? 0x01 : 0x00
  descriptor[13] = holder ? (table.persistent?.type ?? 0) : 0
  descriptor.writeUInt16BE(relativeTargetPort, 18)
  descriptor.writeUInt32BE(transportId.length, 20)
  return Buffer.concat([descriptor, transportId])
}

function fullStatus(table: ReservationTable): Buffer {
  return headed(
    table,
    table.registrations.map((each) => statusOf(table, each)),
  )
}

function reading(layout: typeof readKeys, data: (table: ReservationTable) => Buffer): Command {
  return command(layout, {
    medium: 'none',
    reservation: 'persistent',
    when: whereSettable,
    transfer: dataIn,
    run: (call: Call, { allocationLength }) =>
      allocated(data(call.settings.state.reservations), allocationLength),
  })
}

export const persistentReserveInCommands: readonly Command[] = [
  reading(readKeys, keys),
  reading(readReservation, reservation),
  reading(reportCapabilities, capabilities),
  reading(readFullStatus, fullStatus),
]

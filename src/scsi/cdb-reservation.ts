/**
 * CDBs of reservations. SPC-4 6.15, 6.16 (PERSISTENT RESERVE IN and OUT), SPC-2 7.21, 7.22, 7.16,
 * 7.17 (RESERVE and RELEASE; third-party and extent reservations are not offered, so their bits are
 * reserved here). Layouts only.
 */
import { bits, type Field, reserved, reservedBits, u16, u32 } from '../wire/layout.ts'
import { type CdbLayout, cdb } from './cdb-layout.ts'

const allocation = { allocationLength: u16(7) }

const persistentReserveIn = (name: string, cite: string, serviceAction: number) =>
  cdb(`PERSISTENT RESERVE IN (${name})`, {
    cite,
    sizeBytes: 10,
    operationCode: 0x5e,
    serviceAction,
    fields: allocation,
    reserved: [reservedBits(1, 7, 5), reserved(2, 5)],
  })

export const readKeys = persistentReserveIn('READ KEYS', 'SPC-4 6.15.2', 0x00)
export const readReservation = persistentReserveIn('READ RESERVATION', 'SPC-4 6.15.3', 0x01)
export const reportCapabilities = persistentReserveIn('REPORT CAPABILITIES', 'SPC-4 6.15.4', 0x02)
export const readFullStatus = persistentReserveIn('READ FULL STATUS', 'SPC-4 6.15.5', 0x03)

const persistentReserveOutFields = {
  scope: bits(2, 7, 4),
  type: bits(2, 3, 0),
  parameterListLength: u32(5),
}

export type PersistentReserveOut = CdbLayout<typeof persistentReserveOutFields>

const persistentReserveOut = (name: string, serviceAction: number): PersistentReserveOut =>
  cdb(`PERSISTENT RESERVE OUT (${name})`, {
    cite: 'SPC-4 6.16',
    sizeBytes: 10,
    operationCode: 0x5f,
    serviceAction,
    fields: persistentReserveOutFields,
    reserved: [reservedBits(1, 7, 5), reserved(3, 2)],
  })

export const registerOut = persistentReserveOut('REGISTER', 0x00)
export const reserveOut = persistentReserveOut('RESERVE', 0x01)
export const releaseOut = persistentReserveOut('RELEASE', 0x02)
export const clearOut = persistentReserveOut('CLEAR', 0x03)
export const preemptOut = persistentReserveOut('PREEMPT', 0x04)
export const preemptAndAbortOut = persistentReserveOut('PREEMPT AND ABORT', 0x05)
export const registerAndIgnoreOut = persistentReserveOut('REGISTER AND IGNORE EXISTING KEY', 0x06)
export const registerAndMoveOut = persistentReserveOut('REGISTER AND MOVE', 0x07)

const whole = (sizeBytes: 6 | 10): readonly Field<never>[] => [reserved(1, sizeBytes - 2)]

export const reserve6 = cdb('RESERVE (6)', {
  cite: 'SPC-2 7.21',
  sizeBytes: 6,
  operationCode: 0x16,
  fields: {},
  reserved: whole(6),
})
export const release6 = cdb('RELEASE (6)', {
  cite: 'SPC-2 7.16',
  sizeBytes: 6,
  operationCode: 0x17,
  fields: {},
  reserved: whole(6),
})
export const reserve10 = cdb('RESERVE (10)', {
  cite: 'SPC-2 7.22',
  sizeBytes: 10,
  operationCode: 0x56,
  fields: {},
  reserved: whole(10),
})
export const release10 = cdb('RELEASE (10)', {
  cite: 'SPC-2 7.17',
  sizeBytes: 10,
  operationCode: 0x57,
  fields: {},
  reserved: whole(10),
})

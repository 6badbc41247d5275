/**
 * CDBs of third-party copy: EXTENDED COPY and RECEIVE COPY RESULTS with the one-byte list identifier
 * (SPC-4 6.3, 6.20 to 6.24), and the token commands of block devices (SBC-3 5.7, 5.45; SPC-4 6.27).
 * Layouts only.
 */
import { bits, reserved, reservedBits, u8, u32 } from '../../wire/layout.ts'
import { cdb } from '../cdb-layout.ts'

const thirdPartyCopyOut = 0x83
const thirdPartyCopyIn = 0x84

const highBits = reservedBits(1, 7, 5)
const fromFour = [highBits, reserved(3, 7), reserved(14)]

export const extendedCopy = cdb('EXTENDED COPY (LID1)', {
  cite: 'SPC-4 6.4',
  sizeBytes: 16,
  operationCode: thirdPartyCopyOut,
  serviceAction: 0x00,
  fields: { parameterListLength: u32(10) },
  reserved: [highBits, reserved(2, 8), reserved(14)],
})

const tokenFields = {
  listIdentifier: u32(6),
  parameterListLength: u32(10),
  group: bits(14, 4, 0, 'GROUP NUMBER, ignored'),
}
const tokenReserved = [highBits, reserved(2, 4), reservedBits(14, 7, 5)]

export const populateToken = cdb('POPULATE TOKEN', {
  cite: 'SBC-3 5.7',
  sizeBytes: 16,
  operationCode: thirdPartyCopyOut,
  serviceAction: 0x10,
  fields: tokenFields,
  reserved: tokenReserved,
})

export const writeUsingToken = cdb('WRITE USING TOKEN', {
  cite: 'SBC-3 5.46',
  sizeBytes: 16,
  operationCode: thirdPartyCopyOut,
  serviceAction: 0x11,
  fields: tokenFields,
  reserved: tokenReserved,
})

export const receiveCopyStatus = cdb('RECEIVE COPY STATUS (LID1)', {
  cite: 'SPC-4 6.24',
  sizeBytes: 16,
  operationCode: thirdPartyCopyIn,
  serviceAction: 0x00,
  fields: { listIdentifier: u8(2), allocationLength: u32(10) },
  reserved: fromFour,
})

export const receiveCopyOperatingParameters = cdb('RECEIVE COPY OPERATING PARAMETERS', {
  cite: 'SPC-4 6.23',
  sizeBytes: 16,
  operationCode: thirdPartyCopyIn,
  serviceAction: 0x03,
  fields: { listIdentifier: u8(2, 'ignored'), allocationLength: u32(10) },
  reserved: fromFour,
})

export const receiveCopyFailureDetails = cdb('RECEIVE COPY FAILURE DETAILS (LID1)', {
  cite: 'SPC-4 6.22',
  sizeBytes: 16,
  operationCode: thirdPartyCopyIn,
  serviceAction: 0x04,
  fields: { listIdentifier: u8(2), allocationLength: u32(10) },
  reserved: fromFour,
})

export const receiveRodTokenInformation = cdb('RECEIVE ROD TOKEN INFORMATION', {
  cite: 'SPC-4 6.26',
  sizeBytes: 16,
  operationCode: thirdPartyCopyIn,
  serviceAction: 0x07,
  fields: { listIdentifier: u32(2), allocationLength: u32(10) },
  reserved: [highBits, reserved(6, 4), reserved(14)],
})

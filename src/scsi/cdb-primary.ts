/**
 * CDBs of the commands that every device type has. SPC-4 6. Layouts only: what they do is in the
 * file of each command, and command-table.ts binds the two.
 */
import { bit, bits, reserved, reservedBits, u8, u16, u32 } from '../wire/layout.ts'
import { cdb } from './cdb-layout.ts'

export const testUnitReady = cdb('TEST UNIT READY', {
  cite: 'SPC-4 6.47',
  sizeBytes: 6,
  operationCode: 0x00,
  fields: {},
  reserved: [reserved(1, 4)],
})

export const requestSense = cdb('REQUEST SENSE', {
  cite: 'SPC-4 6.39',
  sizeBytes: 6,
  operationCode: 0x03,
  fields: {
    descriptorFormat: bit(1, 0, 'DESC'),
    allocationLength: u8(4),
  },
  reserved: [reservedBits(1, 7, 1), reserved(2, 2)],
})

export const inquiry = cdb('INQUIRY', {
  cite: 'SPC-4 6.6',
  sizeBytes: 6,
  operationCode: 0x12,
  fields: {
    enableVitalProductData: bit(1, 0, 'EVPD'),
    pageCode: u8(2),
    allocationLength: u16(3),
  },
  reserved: [reservedBits(1, 7, 1)],
})

export const modeSense6 = cdb('MODE SENSE (6)', {
  cite: 'SPC-4 6.13',
  sizeBytes: 6,
  operationCode: 0x1a,
  fields: {
    disableBlockDescriptors: bit(1, 3, 'DBD'),
    pageControl: bits(2, 7, 6, 'PC'),
    pageCode: bits(2, 5, 0),
    subpageCode: u8(3),
    allocationLength: u8(4),
  },
  reserved: [reservedBits(1, 7, 4), reservedBits(1, 2, 0)],
})

export const modeSense10 = cdb('MODE SENSE (10)', {
  cite: 'SPC-4 6.14',
  sizeBytes: 10,
  operationCode: 0x5a,
  fields: {
    longLbaAccepted: bit(1, 4, 'LLBAA'),
    disableBlockDescriptors: bit(1, 3, 'DBD'),
    pageControl: bits(2, 7, 6, 'PC'),
    pageCode: bits(2, 5, 0),
    subpageCode: u8(3),
    allocationLength: u16(7),
  },
  reserved: [reservedBits(1, 7, 5), reservedBits(1, 2, 0), reserved(4, 3)],
})

const selectFlags = {
  pageFormat: bit(1, 4, 'PF: mode pages, not vendor specific data'),
  savePages: bit(1, 0, 'SP'),
}
export const modeSelect6 = cdb('MODE SELECT (6)', {
  cite: 'SPC-4 6.11',
  sizeBytes: 6,
  operationCode: 0x15,
  fields: { ...selectFlags, parameterListLength: u8(4) },
  reserved: [reservedBits(1, 7, 5), reservedBits(1, 3, 1), reserved(2, 2)],
})

export const modeSelect10 = cdb('MODE SELECT (10)', {
  cite: 'SPC-4 6.12',
  sizeBytes: 10,
  operationCode: 0x55,
  fields: { ...selectFlags, parameterListLength: u16(7) },
  reserved: [reservedBits(1, 7, 5), reservedBits(1, 3, 1), reserved(2, 5)],
})

export const logSense = cdb('LOG SENSE', {
  cite: 'SPC-4 6.8',
  sizeBytes: 10,
  operationCode: 0x4d,
  fields: {
    saveParameters: bit(1, 0, 'SP'),
    pageControl: bits(2, 7, 6, 'PC'),
    pageCode: bits(2, 5, 0),
    subpageCode: u8(3),
    parameterPointer: u16(5),
    allocationLength: u16(7),
  },
  reserved: [reservedBits(1, 7, 1), reserved(4)],
})

export const logSelect = cdb('LOG SELECT', {
  cite: 'SPC-4 6.7',
  sizeBytes: 10,
  operationCode: 0x4c,
  fields: {
    parameterCodeReset: bit(1, 1, 'PCR'),
    saveParameters: bit(1, 0, 'SP'),
    pageControl: bits(2, 7, 6, 'PC'),
    pageCode: bits(2, 5, 0),
    subpageCode: u8(3),
    parameterListLength: u16(7),
  },
  reserved: [reservedBits(1, 7, 2), reserved(4, 3)],
})

export const reportLuns = cdb('REPORT LUNS', {
  cite: 'SPC-4 6.33',
  sizeBytes: 12,
  operationCode: 0xa0,
  fields: {
    selectReport: u8(2),
    allocationLength: u32(6),
  },
  reserved: [reserved(1), reserved(3, 3), reserved(10)],
})

export const reportSupportedOperationCodes = cdb('REPORT SUPPORTED OPERATION CODES', {
  cite: 'SPC-4 6.35',
  sizeBytes: 12,
  operationCode: 0xa3,
  serviceAction: 0x0c,
  fields: {
    returnTimeouts: bit(2, 7, 'RCTD'),
    reportingOptions: bits(2, 2, 0),
    requestedOperationCode: u8(3),
    requestedServiceAction: u16(4),
    allocationLength: u32(6),
  },
  reserved: [reservedBits(1, 7, 5), reservedBits(2, 6, 3), reserved(10)],
})

export const reportTargetPortGroups = cdb('REPORT TARGET PORT GROUPS', {
  cite: 'SPC-4 6.37',
  sizeBytes: 12,
  operationCode: 0xa3,
  serviceAction: 0x0a,
  fields: {
    parameterDataFormat: bits(1, 7, 5, '0: short header, 1: extended header'),
    allocationLength: u32(6),
  },
  reserved: [reserved(2, 4), reserved(10)],
})

export const setTargetPortGroups = cdb('SET TARGET PORT GROUPS', {
  cite: 'SPC-4 6.45',
  sizeBytes: 12,
  operationCode: 0xa4,
  serviceAction: 0x0a,
  fields: { parameterListLength: u32(6) },
  reserved: [reservedBits(1, 7, 5), reserved(2, 4), reserved(10)],
})

export const reportTaskManagementFunctions = cdb('REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS', {
  cite: 'SPC-4 6.36',
  sizeBytes: 12,
  operationCode: 0xa3,
  serviceAction: 0x0d,
  fields: {
    returnExtended: bit(2, 7, 'REPD'),
    allocationLength: u32(6),
  },
  reserved: [reservedBits(1, 7, 5), reservedBits(2, 6, 0), reserved(3, 3), reserved(10)],
})

/**
 * CDBs of the writes that do more than write: WRITE AND VERIFY, COMPARE AND WRITE, ORWRITE (SBC-3 5)
 * and WRITE ATOMIC (SBC-4 5). Layouts only, as in cdb-block.ts.
 */
import { bit, bits, reserved, reservedBits, u8, u16, u32 } from '../wire/layout.ts'
import {
  access16,
  accessReserved,
  group,
  highBits,
  verifyFlags,
  verifyReserved,
} from './cdb-block.ts'
import { cdb } from './cdb-layout.ts'

export const writeAndVerify10 = cdb('WRITE AND VERIFY (10)', {
  cite: 'SBC-3 5.37',
  sizeBytes: 10,
  operationCode: 0x2e,
  fields: { ...verifyFlags, lba: u32(2), group: group(6), transferLengthBlocks: u16(7) },
  reserved: [...verifyReserved, highBits(6)],
})
export const writeAndVerify12 = cdb('WRITE AND VERIFY (12)', {
  cite: 'SBC-3 5.38',
  sizeBytes: 12,
  operationCode: 0xae,
  fields: { ...verifyFlags, lba: u32(2), transferLengthBlocks: u32(6), group: group(10) },
  reserved: [...verifyReserved, highBits(10)],
})
export const writeAndVerify16 = cdb('WRITE AND VERIFY (16)', {
  cite: 'SBC-3 5.39',
  sizeBytes: 16,
  operationCode: 0x8e,
  fields: {
    ...verifyFlags,
    lbaHigh: u32(2),
    lbaLow: u32(6),
    transferLengthBlocks: u32(10),
    group: group(14),
  },
  reserved: [...verifyReserved, highBits(14)],
})

export const compareAndWrite = cdb('COMPARE AND WRITE', {
  cite: 'SBC-3 5.2',
  sizeBytes: 16,
  operationCode: 0x89,
  fields: {
    protect: bits(1, 7, 5, 'WRPROTECT'),
    disablePageOut: bit(1, 4, 'DPO, ignored'),
    forceUnitAccess: bit(1, 3, 'FUA'),
    forceUnitAccessNonVolatile: bit(1, 1, 'FUA_NV, obsolete, ignored'),
    lbaHigh: u32(2),
    lbaLow: u32(6),
    blocks: u8(13, 'NUMBER OF LOGICAL BLOCKS'),
    group: group(14),
  },
  reserved: [...accessReserved, reserved(10, 3), highBits(14)],
})

export const orWrite = cdb('ORWRITE (16)', {
  cite: 'SBC-3 5.5',
  sizeBytes: 16,
  operationCode: 0x8b,
  fields: access16,
  reserved: [...accessReserved, highBits(14)],
})

export const writeAtomic = cdb('WRITE ATOMIC (16)', {
  cite: 'SBC-4 5.48',
  sizeBytes: 16,
  operationCode: 0x9c,
  fields: {
    protect: bits(1, 7, 5, 'WRPROTECT'),
    disablePageOut: bit(1, 4, 'DPO, ignored'),
    forceUnitAccess: bit(1, 3, 'FUA'),
    lbaHigh: u32(2),
    lbaLow: u32(6),
    atomicBoundary: u16(10),
    transferLengthBlocks: u16(12),
    group: group(14),
  },
  reserved: [reservedBits(1, 2, 0), highBits(14)],
})

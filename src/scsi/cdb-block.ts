/**
 * CDBs of the block commands. SBC-3 5; READ (6) and WRITE (6) are in SBC-2 only. Layouts only: what
 * they do is in the file of each command, and command-table.ts binds the two. GROUP NUMBER and the
 * bits marked ignored are accepted with any value, because initiators set them and nothing is lost.
 */
import { bit, bits, reserved, reservedBits, u8, u16, u32 } from '../wire/layout.ts'
import { cdb } from './cdb-layout.ts'

/** READ (6) and WRITE (6): a 21-bit LBA, and a length of which 0 means 256. */
const access6 = {
  lbaHigh: bits(1, 4, 0),
  lbaLow: u16(2),
  transferLengthBlocks: u8(4, '0 means 256'),
}
export const group = (byte: number) => bits(byte, 4, 0, 'GROUP NUMBER, ignored')

/** Byte 1 of READ and WRITE (10), (12), (16). */
const accessFlags = {
  protect: bits(1, 7, 5, 'RDPROTECT or WRPROTECT'),
  disablePageOut: bit(1, 4, 'DPO, ignored'),
  forceUnitAccess: bit(1, 3, 'FUA'),
  forceUnitAccessNonVolatile: bit(1, 1, 'FUA_NV, obsolete, ignored'),
}
export const accessReserved = [reservedBits(1, 2, 2), reservedBits(1, 0, 0)]
const access10 = { ...accessFlags, lba: u32(2), group: group(6), transferLengthBlocks: u16(7) }
const access12 = { ...accessFlags, lba: u32(2), transferLengthBlocks: u32(6), group: group(10) }
export const access16 = {
  ...accessFlags,
  lbaHigh: u32(2),
  lbaLow: u32(6),
  transferLengthBlocks: u32(10),
  group: group(14),
}
export const highBits = (byte: number) => reservedBits(byte, 7, 5)

export const read6 = cdb('READ (6)', {
  cite: 'SBC-2 5.5',
  sizeBytes: 6,
  operationCode: 0x08,
  fields: access6,
  reserved: [highBits(1)],
})
export const read10 = cdb('READ (10)', {
  cite: 'SBC-3 5.11',
  sizeBytes: 10,
  operationCode: 0x28,
  fields: access10,
  reserved: [...accessReserved, highBits(6)],
})
export const read12 = cdb('READ (12)', {
  cite: 'SBC-3 5.12',
  sizeBytes: 12,
  operationCode: 0xa8,
  fields: access12,
  reserved: [...accessReserved, highBits(10)],
})
export const read16 = cdb('READ (16)', {
  cite: 'SBC-3 5.13',
  sizeBytes: 16,
  operationCode: 0x88,
  fields: access16,
  reserved: [...accessReserved, highBits(14)],
})

export const write6 = cdb('WRITE (6)', {
  cite: 'SBC-2 5.24',
  sizeBytes: 6,
  operationCode: 0x0a,
  fields: access6,
  reserved: [highBits(1)],
})
export const write10 = cdb('WRITE (10)', {
  cite: 'SBC-3 5.33',
  sizeBytes: 10,
  operationCode: 0x2a,
  fields: access10,
  reserved: [...accessReserved, highBits(6)],
})
export const write12 = cdb('WRITE (12)', {
  cite: 'SBC-3 5.34',
  sizeBytes: 12,
  operationCode: 0xaa,
  fields: access12,
  reserved: [...accessReserved, highBits(10)],
})
export const write16 = cdb('WRITE (16)', {
  cite: 'SBC-3 5.35',
  sizeBytes: 16,
  operationCode: 0x8a,
  fields: access16,
  reserved: [...accessReserved, highBits(14)],
})

export const verifyFlags = {
  protect: bits(1, 7, 5, 'VRPROTECT or WRPROTECT'),
  disablePageOut: bit(1, 4, 'DPO, ignored'),
  byteCheck: bits(1, 2, 1, 'BYTCHK'),
}
export const verifyReserved = [reservedBits(1, 3, 3), reservedBits(1, 0, 0)]
export const verify10 = cdb('VERIFY (10)', {
  cite: 'SBC-3 5.29',
  sizeBytes: 10,
  operationCode: 0x2f,
  fields: { ...verifyFlags, lba: u32(2), group: group(6), verificationLengthBlocks: u16(7) },
  reserved: [...verifyReserved, highBits(6)],
})
export const verify12 = cdb('VERIFY (12)', {
  cite: 'SBC-3 5.30',
  sizeBytes: 12,
  operationCode: 0xaf,
  fields: { ...verifyFlags, lba: u32(2), verificationLengthBlocks: u32(6), group: group(10) },
  reserved: [...verifyReserved, highBits(10)],
})
export const verify16 = cdb('VERIFY (16)', {
  cite: 'SBC-3 5.31',
  sizeBytes: 16,
  operationCode: 0x8f,
  fields: {
    ...verifyFlags,
    lbaHigh: u32(2),
    lbaLow: u32(6),
    verificationLengthBlocks: u32(10),
    group: group(14),
  },
  reserved: [...verifyReserved, highBits(14)],
})

const writeSameFlags = {
  protect: bits(1, 7, 5, 'WRPROTECT'),
  anchor: bit(1, 4, 'ANCHOR'),
  unmap: bit(1, 3, 'UNMAP'),
}
export const writeSame10 = cdb('WRITE SAME (10)', {
  cite: 'SBC-3 5.43',
  sizeBytes: 10,
  operationCode: 0x41,
  fields: { ...writeSameFlags, lba: u32(2), group: group(6), blocks: u16(7, '0: to the end') },
  reserved: [reservedBits(1, 2, 0), highBits(6)],
})
export const writeSame16 = cdb('WRITE SAME (16)', {
  cite: 'SBC-3 5.44',
  sizeBytes: 16,
  operationCode: 0x93,
  fields: {
    ...writeSameFlags,
    noDataOutBuffer: bit(1, 0, 'NDOB'),
    lbaHigh: u32(2),
    lbaLow: u32(6),
    blocks: u32(10, '0: to the end'),
    group: group(14),
  },
  reserved: [reservedBits(1, 2, 1), highBits(14)],
})

export const unmap = cdb('UNMAP', {
  cite: 'SBC-3 5.28',
  sizeBytes: 10,
  operationCode: 0x42,
  fields: {
    anchor: bit(1, 0, 'ANCHOR'),
    group: group(6),
    parameterListLength: u16(7),
  },
  reserved: [reservedBits(1, 7, 1), reserved(2, 4), highBits(6)],
})

export const synchronizeCache10 = cdb('SYNCHRONIZE CACHE (10)', {
  cite: 'SBC-3 5.26',
  sizeBytes: 10,
  operationCode: 0x35,
  fields: {
    nonVolatileOnly: bit(1, 2, 'SYNC_NV, obsolete, ignored'),
    immediate: bit(1, 1, 'IMMED'),
    lba: u32(2),
    group: group(6),
    blocks: u16(7, '0: to the end'),
  },
  reserved: [reservedBits(1, 7, 3), reservedBits(1, 0, 0), highBits(6)],
})
export const synchronizeCache16 = cdb('SYNCHRONIZE CACHE (16)', {
  cite: 'SBC-3 5.27',
  sizeBytes: 16,
  operationCode: 0x91,
  fields: {
    nonVolatileOnly: bit(1, 2, 'SYNC_NV, obsolete, ignored'),
    immediate: bit(1, 1, 'IMMED'),
    lbaHigh: u32(2),
    lbaLow: u32(6),
    blocks: u32(10, '0: to the end'),
    group: group(14),
  },
  reserved: [reservedBits(1, 7, 3), reservedBits(1, 0, 0), highBits(14)],
})

export const readCapacity10 = cdb('READ CAPACITY (10)', {
  cite: 'SBC-3 5.15',
  sizeBytes: 10,
  operationCode: 0x25,
  fields: { lba: u32(2, 'obsolete'), partialMediumIndicator: bit(8, 0, 'PMI, obsolete') },
  reserved: [reserved(1), reserved(6, 2), reservedBits(8, 7, 1)],
})
export const readCapacity16 = cdb('READ CAPACITY (16)', {
  cite: 'SBC-3 5.16',
  sizeBytes: 16,
  operationCode: 0x9e,
  serviceAction: 0x10,
  fields: {
    lbaHigh: u32(2, 'obsolete'),
    lbaLow: u32(6, 'obsolete'),
    allocationLength: u32(10),
    partialMediumIndicator: bit(14, 0, 'PMI, obsolete'),
  },
  reserved: [highBits(1), reservedBits(14, 7, 1)],
})

const prefetchReserved = [reservedBits(1, 7, 2), reservedBits(1, 0, 0)]
export const prefetch10 = cdb('PRE-FETCH (10)', {
  cite: 'SBC-3 5.8',
  sizeBytes: 10,
  operationCode: 0x34,
  fields: {
    immediate: bit(1, 1, 'IMMED'),
    lba: u32(2),
    group: group(6),
    blocks: u16(7, '0: to the end'),
  },
  reserved: [...prefetchReserved, highBits(6)],
})
export const prefetch16 = cdb('PRE-FETCH (16)', {
  cite: 'SBC-3 5.9',
  sizeBytes: 16,
  operationCode: 0x90,
  fields: {
    immediate: bit(1, 1, 'IMMED'),
    lbaHigh: u32(2),
    lbaLow: u32(6),
    blocks: u32(10, '0: to the end'),
    group: group(14),
  },
  reserved: [...prefetchReserved, highBits(14)],
})

export const getLbaStatus = cdb('GET LBA STATUS', {
  cite: 'SBC-3 5.4',
  sizeBytes: 16,
  operationCode: 0x9e,
  serviceAction: 0x12,
  fields: { lbaHigh: u32(2), lbaLow: u32(6), allocationLength: u32(10) },
  reserved: [highBits(1), reserved(14)],
})

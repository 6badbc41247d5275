/**
 * The commands that servers have among themselves and that exist on replication targets only, by
 * vendor-specific operation codes (SPC-4 4.2.5.1: C0h to FFh): PALISADE IN (C0h) and PALISADE OUT
 * (C1h), each with service actions. Layouts only; what they carry is in replication-data.ts, what
 * they do in replica-unit.ts and replication-target.ts.
 */
import { cdb } from '../../src/scsi/cdb-layout.ts'
import { reserved, reservedBits, u32 } from '../../src/wire/layout.ts'

export const palisadeIn = 0xc0
export const palisadeOut = 0xc1

const high = reservedBits(1, 7, 5)
const range = { lbaHigh: u32(2), lbaLow: u32(6), blocks: u32(10) }
const parameterList = { parameterListLength: u32(10) }

/**
 * Which replicas here go along with the server that asks, as their primary. It is of no logical
 * unit: its LUN is ignored, no generation is compared.
 */
export const heartbeat = cdb('PALISADE IN, HEARTBEAT', {
  cite: 'SPC-4 4.2.5.1',
  sizeBytes: 16,
  operationCode: palisadeIn,
  serviceAction: 0x01,
  fields: {
    startingNumber: u32(2, 'the answer names replicas from this number on'),
    allocationLength: u32(10),
  },
  reserved: [high, reserved(6, 4), reserved(14)],
})

/** SHA-256 of each page of a range that begins at a page boundary. */
export const digests = cdb('PALISADE IN, DIGESTS', {
  cite: 'SPC-4 4.2.5.1',
  sizeBytes: 16,
  operationCode: palisadeIn,
  serviceAction: 0x02,
  fields: range,
  reserved: [high, reserved(14)],
})

/** All masks of the replica. */
export const readMasks = cdb('PALISADE IN, READ MASKS', {
  cite: 'SPC-4 4.2.5.1',
  sizeBytes: 16,
  operationCode: palisadeIn,
  serviceAction: 0x03,
  fields: { allocationLength: u32(10) },
  reserved: [high, reserved(2, 8), reserved(14)],
})

/** Takes bits out of masks, in order with the writes of the session: its data are immediate. */
export const clearRegions = cdb('PALISADE OUT, CLEAR REGIONS', {
  cite: 'SPC-4 4.2.5.1',
  sizeBytes: 16,
  operationCode: palisadeOut,
  serviceAction: 0x01,
  fields: parameterList,
  reserved: [high, reserved(2, 8), reserved(14)],
})

/** Adds masks to those of the replica, durably, with their labels. */
export const takeMasks = cdb('PALISADE OUT, TAKE MASKS', {
  cite: 'SPC-4 4.2.5.1',
  sizeBytes: 16,
  operationCode: palisadeOut,
  serviceAction: 0x02,
  fields: parameterList,
  reserved: [high, reserved(2, 8), reserved(14)],
})

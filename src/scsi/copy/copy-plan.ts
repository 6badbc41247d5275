/**
 * The parameter list of EXTENDED COPY (LID1): what is to be copied between whom. SPC-4 6.4. Lengths,
 * counts and kinds are checked here before anything is copied; what a descriptor says is looked at
 * when its segment's turn has come.
 */
import { copy as limits } from '../../base/limits.ts'
import { bit, bits, layout, reserved, reservedBits, u8, u16, u32 } from '../../wire/layout.ts'
import { lba64 } from '../cdb-layout.ts'
import { invalidParameterField } from '../command.ts'
import { checkCondition, type ScsiResult } from '../result.ts'
import {
  INLINE_DATA_LENGTH_EXCEEDED,
  PARAMETER_LIST_LENGTH_ERROR,
  TOO_MANY_SEGMENT_DESCRIPTORS,
  TOO_MANY_TARGET_DESCRIPTORS,
  UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE_CODE,
  UNSUPPORTED_TARGET_DESCRIPTOR_TYPE_CODE,
} from '../sense.ts'
import {
  type CscdDescriptor,
  cscdDescriptorBytes,
  decodeCscd,
  identificationDescriptor,
} from './cscd.ts'

/** DESCRIPTOR TYPE CODE: from block device to block device. */
export const blockToBlock = 0x02

/** LIST ID USAGE. SPC-4 6.4.3.2. */
export const ListIdUsage = { HOLD: 0, RESERVED: 1, DISCARD: 2, NONE: 3 } as const

const header = layout({
  name: 'EXTENDED COPY (LID1) parameter list',
  cite: 'SPC-4 6.4.3.1',
  sizeBytes: 16,
  fields: {
    listIdentifier: u8(0),
    strictSequence: bit(1, 5, 'STR: they are copied in sequence in any case'),
    listIdUsage: bits(1, 4, 3),
    priority: bits(1, 2, 0, 'ignored'),
    cscdBytes: u16(2),
    segmentBytes: u32(8),
    inlineBytes: u32(12),
  },
  reserved: [reservedBits(1, 7, 6), reserved(4, 4)],
})

const segmentDescriptor = layout({
  name: 'block device to block device segment descriptor',
  cite: 'SPC-4 6.4.7.5',
  sizeBytes: 28,
  fields: {
    typeCode: u8(0),
    destinationCount: bit(1, 1, 'DC: the count is of blocks of the destination'),
    concatenate: bit(1, 0, 'CAT'),
    descriptorLength: u16(2),
    source: u16(4),
    destination: u16(6),
    blocks: u16(10),
    sourceLbaHigh: u32(12),
    sourceLbaLow: u32(16),
    destinationLbaHigh: u32(20),
    destinationLbaLow: u32(24),
  },
  reserved: [reservedBits(1, 7, 2), reserved(8, 2)],
})

export interface CopySegment {
  /** CSCD DESCRIPTOR IDs. */
  readonly source: number
  readonly destination: number
  readonly countsDestination: boolean
  readonly blocks: number
  readonly sourceLba: number
  readonly destinationLba: number
}

export interface CopyPlan {
  /** Undefined where the initiator will not ask for it. */
  readonly listIdentifier: number | undefined
  readonly cscds: readonly CscdDescriptor[]
  readonly segments: readonly CopySegment[]
}

const lengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)

export function parseCopyPlan(list: Buffer): CopyPlan | ScsiResult {
  if (list.length < header.sizeBytes) return lengthError
  const { listIdentifier, listIdUsage, cscdBytes, segmentBytes, inlineBytes } = header.decode(list)
  if (cscdBytes + segmentBytes > limits.descriptorListBytes) return lengthError
  if (header.sizeBytes + cscdBytes + segmentBytes > list.length) return lengthError
  if (inlineBytes > 0) return checkCondition(INLINE_DATA_LENGTH_EXCEEDED)
  if (listIdUsage === ListIdUsage.RESERVED) return invalidParameterField(1, 4)
  const unnamed = listIdUsage === ListIdUsage.NONE
  if (unnamed && listIdentifier !== 0) return invalidParameterField(0)
  const cscds = parseCscds(list.subarray(0, header.sizeBytes + cscdBytes))
  if ('status' in cscds) return cscds
  const begin = header.sizeBytes + cscdBytes
  const segments = parseSegments(list.subarray(0, begin + segmentBytes), begin)
  if ('status' in segments) return segments
  return { listIdentifier: unnamed ? undefined : listIdentifier, cscds, segments }
}

function parseCscds(list: Buffer): readonly CscdDescriptor[] | ScsiResult {
  const cscds: CscdDescriptor[] = []
  for (let at = header.sizeBytes; at < list.length; at += cscdDescriptorBytes) {
    if (at + cscdDescriptorBytes > list.length) return invalidParameterField(2)
    if (cscds.length === limits.cscds) return checkCondition(TOO_MANY_TARGET_DESCRIPTORS)
    if (list[at] !== identificationDescriptor) {
      return checkCondition(UNSUPPORTED_TARGET_DESCRIPTOR_TYPE_CODE)
    }
    cscds.push(decodeCscd(list, at))
  }
  return cscds
}

function parseSegments(list: Buffer, begin: number): readonly CopySegment[] | ScsiResult {
  const { sizeBytes } = segmentDescriptor
  const segments: CopySegment[] = []
  for (let at = begin; at < list.length; at += sizeBytes) {
    if (segments.length === limits.segments) return checkCondition(TOO_MANY_SEGMENT_DESCRIPTORS)
    if (list[at] !== blockToBlock) {
      return checkCondition(UNSUPPORTED_SEGMENT_DESCRIPTOR_TYPE_CODE)
    }
    if (at + sizeBytes > list.length) return lengthError
    const row = segmentDescriptor.decode(list, at)
    if (row.descriptorLength !== sizeBytes - 4) return invalidParameterField(at + 2)
    segments.push({
      source: row.source,
      destination: row.destination,
      countsDestination: row.destinationCount,
      blocks: row.blocks,
      sourceLba: lba64({ lbaHigh: row.sourceLbaHigh, lbaLow: row.sourceLbaLow }),
      destinationLba: lba64({ lbaHigh: row.destinationLbaHigh, lbaLow: row.destinationLbaLow }),
    })
  }
  return segments
}

/**
 * RECEIVE COPY STATUS, FAILURE DETAILS (both LID1) and OPERATING PARAMETERS: what became of a copy,
 * and what copies can be. SPC-4 6.22 to 6.24. No data are held for RECEIVE COPY DATA.
 */
import { blockSizes, copy as limits } from '../../base/limits.ts'
import type { Call } from '../call.ts'
import {
  allocated,
  type Command,
  command,
  dataIn,
  invalidCdbField,
  whereSettable,
} from '../command.ts'
import type { ScsiResult } from '../result.ts'
import { encodeSense } from '../sense-format.ts'
import {
  receiveCopyFailureDetails,
  receiveCopyOperatingParameters,
  receiveCopyStatus,
} from './cdb-copy.ts'
import { blockToBlock } from './copy-plan.ts'
import type { CopyRecord } from './copy-records.ts'
import { identificationDescriptor } from './cscd.ts'

/** COPY MANAGER STATUS. SPC-4 6.24. */
const CopyManagerStatus = { IN_PROGRESS: 0, DONE: 1, FAILED: 2 } as const

const listIdentifierByte = 2

function recordOf(call: Call, listIdentifier: number): CopyRecord | undefined {
  return call.conditions.copies.find(call.nexus, listIdentifier)
}

function known(call: Call, listIdentifier: number): ScsiResult | undefined {
  const found = recordOf(call, listIdentifier)
  return found === undefined ? invalidCdbField(listIdentifierByte) : undefined
}

function managerStatus({ ended }: CopyRecord): number {
  if (ended === undefined) return CopyManagerStatus.IN_PROGRESS
  return ended.status === 0 ? CopyManagerStatus.DONE : CopyManagerStatus.FAILED
}

function copyStatus(record: CopyRecord): Buffer {
  const data = Buffer.alloc(12)
  data.writeUInt32BE(data.length - 4, 0)
  data[4] = managerStatus(record)
  data.writeUInt16BE(record.segments, 5)
  // TRANSFER COUNT UNITS is 0: bytes, which one command's limits keep below 2^32.
  data.writeUInt32BE(record.bytes, 8)
  return data
}

function failureDetails(record: CopyRecord, descriptorSense: boolean): Buffer {
  const { ended } = record
  if (ended?.sense === undefined) return Buffer.alloc(4)
  const sense = encodeSense(ended.sense, descriptorSense)
  const data = Buffer.alloc(60)
  data.writeUInt32BE(data.length + sense.length - 4, 0)
  data[56] = ended.status
  data.writeUInt16BE(sense.length, 58)
  return Buffer.concat([data, sense])
}

/** Of the descriptor lists that are understood, in ascending order. */
export const implementedDescriptors = [blockToBlock, identificationDescriptor]
/** As a power of two: a segment ends at a whole block of the smallest kind. */
export const segmentGranularity = Math.log2(Math.min(...blockSizes))

function operatingParameters(): Buffer {
  const data = Buffer.alloc(44)
  data.writeUInt32BE(data.length + implementedDescriptors.length - 4, 0)
  data[4] = 0x01 // SNLID: a copy may do without a list identifier
  data.writeUInt16BE(limits.cscds, 8)
  data.writeUInt16BE(limits.segments, 10)
  data.writeUInt32BE(limits.descriptorListBytes, 12)
  data.writeUInt32BE(limits.segmentBytes, 16)
  // No inline data, no held data, no streams: bytes 20 to 31 are zero.
  data.writeUInt16BE(limits.concurrentCopies, 34)
  data[36] = limits.concurrentCopies
  data[37] = segmentGranularity
  data[43] = implementedDescriptors.length
  return Buffer.concat([data, Buffer.from(implementedDescriptors)])
}

export const receiveCopyResultsCommands: readonly Command[] = [
  command(receiveCopyStatus, {
    medium: 'none',
    reservation: 'read',
    when: whereSettable,
    transfer: dataIn,
    check: (call, { listIdentifier }) => known(call, listIdentifier),
    run(call, { listIdentifier, allocationLength }) {
      return allocated(copyStatus(recordOf(call, listIdentifier)!), allocationLength)
    },
  }),
  command(receiveCopyOperatingParameters, {
    medium: 'none',
    reservation: 'read',
    when: whereSettable,
    transfer: dataIn,
    run: (_call, { allocationLength }) => allocated(operatingParameters(), allocationLength),
  }),
  command(receiveCopyFailureDetails, {
    medium: 'none',
    reservation: 'read',
    when: whereSettable,
    transfer: dataIn,
    check: (call, { listIdentifier }) => known(call, listIdentifier),
    run(call, { listIdentifier, allocationLength }) {
      const { descriptorSense } = call.settings.state
      const record = recordOf(call, listIdentifier)!
      return allocated(failureDetails(record, descriptorSense), allocationLength)
    },
  }),
]

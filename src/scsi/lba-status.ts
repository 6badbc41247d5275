/**
 * GET LBA STATUS: which blocks from an address on are allocated. SBC-3 5.4. The answer need not
 * reach the end of the unit: whoever wants more asks again from where it ends.
 */
import { scsi } from '../base/limits.ts'
import { bits, layout, reserved, reservedBits, u32 } from '../wire/layout.ts'
import { checkRange } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { getLbaStatus } from './cdb-block.ts'
import { lba64 } from './cdb-layout.ts'
import { allocated, type Command, command, dataIn } from './command.ts'
import type { AllocationRun } from './logical-unit.ts'

const header = layout({
  name: 'GET LBA STATUS parameter data',
  cite: 'SBC-3 5.4.2',
  sizeBytes: 8,
  fields: { parameterDataLength: u32(0, 'bytes that follow this field') },
  reserved: [reserved(4, 4)],
})

const descriptor = layout({
  name: 'LBA status descriptor',
  cite: 'SBC-3 5.4.2.2',
  sizeBytes: 16,
  fields: {
    lbaHigh: u32(0),
    lbaLow: u32(4),
    blocks: u32(8),
    provisioningStatus: bits(12, 3, 0, '0: mapped, 1: deallocated'),
  },
  reserved: [reservedBits(12, 7, 4), reserved(13, 3)],
})

const largestRunBlocks = 0xffff_ffff

interface StatusFields {
  readonly lbaHigh: number
  readonly lbaLow: number
  readonly allocationLength: number
}

/** As many runs as there is room for, and one even where there is none. */
async function run(call: Call, fields: StatusFields): Promise<Outcome> {
  const { allocationLength } = fields
  const lba = lba64(fields)
  const room = Math.floor((allocationLength - header.sizeBytes) / descriptor.sizeBytes)
  const most = Math.min(Math.max(1, room), scsi.allocationRuns)
  // A descriptor has room for so many blocks: a longer run ends the answer.
  const blocks = Math.min(call.facts.blocks - lba, largestRunBlocks)
  const found = await call.mapping({ lba, blocks }, most)
  return isRuns(found) ? allocated(encodeLbaStatus(lba, found), allocationLength) : found
}

function isRuns(found: readonly AllocationRun[] | Outcome): found is readonly AllocationRun[] {
  return Array.isArray(found)
}

/** Room for an answer of so many runs. */
export function lbaStatusBytes(runs: number): number {
  return header.sizeBytes + runs * descriptor.sizeBytes
}

export function encodeLbaStatus(from: number, runs: readonly AllocationRun[]): Buffer {
  const data = Buffer.alloc(lbaStatusBytes(runs.length))
  header.encode({ parameterDataLength: data.length - 4 }, data)
  let lba = from
  runs.forEach((each, i) => {
    const row = {
      lbaHigh: Math.floor(lba / 0x1_0000_0000),
      lbaLow: lba % 0x1_0000_0000,
      blocks: each.blocks,
      provisioningStatus: each.mapped ? 0 : 1,
    }
    descriptor.encode(row, data, header.sizeBytes + i * descriptor.sizeBytes)
    lba += each.blocks
  })
  return data
}

/** The runs of an answer as an initiator gets it, from its first address on; for front ends. */
export function decodeLbaStatus(data: Buffer): AllocationRun[] {
  const runs: AllocationRun[] = []
  const end = Math.min(data.length, header.decode(data).parameterDataLength + 4)
  for (let at = header.sizeBytes; at + descriptor.sizeBytes <= end; at += descriptor.sizeBytes) {
    const { blocks, provisioningStatus } = descriptor.decode(data, at)
    runs.push({ mapped: provisioningStatus === 0, blocks })
  }
  return runs
}

export const lbaStatusCommands: readonly Command[] = [
  command(getLbaStatus, {
    medium: 'read',
    reservation: 'read',
    transfer: dataIn,
    check: (call, fields) => checkRange(call, lba64(fields), 1),
    run,
  }),
]

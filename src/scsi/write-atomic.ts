/**
 * WRITE ATOMIC (16): all of the data or nothing, for readers and after any failure. SBC-4 5.48.
 * Alignment and granularity are a physical block (SBC-4 6.6.4), and ATOMIC BOUNDARY is 0: a request
 * is one atomic write.
 *
 * Deviation: the Block Limits VPD page has no field for a boundary that no atomic write may cross
 * where its ATOMIC BOUNDARY is 0. A striped volume has one; what would cross it is an invalid field
 * in the CDB. Writes aligned to their own length, a power of two, as file systems send, never do.
 */
import { checkRange } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { lba64 } from './cdb-layout.ts'
import { writeAtomic } from './cdb-update.ts'
import { type Command, command, invalidCdbField } from './command.ts'
import { announcesOther, totalBytes, wrongAmount } from './data-out.ts'
import type { UnitFacts } from './logical-unit.ts'
import { good, type ScsiResult } from './result.ts'

interface AtomicFields {
  readonly protect: number
  readonly lbaHigh: number
  readonly lbaLow: number
  readonly atomicBoundary: number
  readonly transferLengthBlocks: number
  readonly forceUnitAccess: boolean
}

/** ATOMIC ALIGNMENT and ATOMIC TRANSFER LENGTH GRANULARITY. */
export function atomicGranularityBlocks(facts: UnitFacts): number {
  return facts.atomicBlocks === 0 ? 0 : facts.physicalBlockBytes / facts.blockBytes
}

function check(call: Call, fields: AtomicFields): ScsiResult | undefined {
  const { protect, atomicBoundary, transferLengthBlocks: blocks } = fields
  if (protect) return invalidCdbField(1, 7)
  if (atomicBoundary !== 0) return invalidCdbField(10)
  const outside = checkRange(call, lba64(fields), blocks)
  if (outside) return outside
  const wrong = checkAtomic(call.facts, lba64(fields), blocks)
  if (wrong) return wrong
  return announcesOther(call, blocks * call.facts.blockBytes) ? wrongAmount : undefined
}

function checkAtomic(facts: UnitFacts, lba: number, blocks: number): ScsiResult | undefined {
  const { atomicBlocks, atomicBoundaryBlocks: boundary } = facts
  const granularity = atomicGranularityBlocks(facts)
  if (lba % granularity !== 0) return invalidCdbField(2)
  if (blocks > atomicBlocks || blocks % granularity !== 0) return invalidCdbField(12)
  if (boundary !== 0 && (lba % boundary) + blocks > boundary) return invalidCdbField(2)
  return undefined
}

function run(call: Call, fields: AtomicFields): Promise<Outcome> | Outcome {
  const { transferLengthBlocks: blocks, forceUnitAccess } = fields
  if (blocks === 0) return good()
  if (totalBytes(call.dataOut) !== blocks * call.facts.blockBytes) return wrongAmount
  return call.writeAtomic(lba64(fields), call.dataOut, { forceUnitAccess })
}

export const writeAtomicCommands: readonly Command[] = [
  command(writeAtomic, {
    medium: 'write',
    reservation: 'write',
    when: (unit) => unit.facts.atomicBlocks > 0,
    transfer: ({ transferLengthBlocks }, blockBytes) => ({
      direction: 'out',
      bytes: transferLengthBlocks * blockBytes,
    }),
    check,
    run,
  }),
]

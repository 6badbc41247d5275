/**
 * The checks that every command naming blocks has in common: protection information, range, length,
 * write protection. SBC-3 4.5 (capacity), 4.22.2 (protection), 6.6.3 (limits).
 */
import { blockBytes, largestCommandBytes } from '../base/limits.ts'
import type { Call } from './call.ts'
import { invalidFieldInCdb } from './command.ts'
import { checkCondition, type ScsiResult } from './result.ts'
import { LBA_OUT_OF_RANGE, WRITE_PROTECTED } from './sense.ts'

const largestCommandBlocks = largestCommandBytes / blockBytes

const lbaOutOfRange = checkCondition(LBA_OUT_OF_RANGE)
const writeProtected = checkCondition(WRITE_PROTECTED)

/**
 * The end itself may be named with a length of zero. Both numbers are below 2^64 as doubles, whose
 * sum cannot wrap, and whatever was rounded is far beyond the end.
 */
export function checkRange(call: Call, lba: number, blocks: number): ScsiResult | undefined {
  return lba + blocks > call.facts.blocks ? lbaOutOfRange : undefined
}

export interface BlockAccess {
  readonly lba: number
  readonly blocks: number
  /** RDPROTECT, WRPROTECT or VRPROTECT: no unit here is formatted with protection information. */
  readonly protect?: number
}

/** READ, WRITE and VERIFY. A wrong field says so before a wrong place does. */
export function checkAccess(call: Call, access: BlockAccess): ScsiResult | undefined {
  if (access.protect) return invalidFieldInCdb
  if (access.blocks > largestCommandBlocks) return invalidFieldInCdb
  return checkRange(call, access.lba, access.blocks)
}

export function checkWritable(call: Call): ScsiResult | undefined {
  return call.facts.readOnly ? writeProtected : undefined
}

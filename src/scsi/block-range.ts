/**
 * The checks that every command naming blocks has in common: protection information, range, length.
 * SBC-3 4.5 (capacity), 4.22.2 (protection), 6.6.3 (limits). Whether the unit may be written at all
 * is asked before any of them, for every command that writes.
 */
import { largestCommandBytes } from '../base/limits.ts'
import type { Call } from './call.ts'
import { invalidCdbField } from './command.ts'
import { checkCondition, type ScsiResult } from './result.ts'
import { LBA_OUT_OF_RANGE } from './sense.ts'

const lbaOutOfRange = checkCondition(LBA_OUT_OF_RANGE)
/** RDPROTECT and the like. */
const protectInvalid = invalidCdbField(1, 7)

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
  if (access.protect) return protectInvalid
  if (access.blocks * call.facts.blockBytes > largestCommandBytes) return lengthInvalid(call.cdb)
  return checkRange(call, access.lba, access.blocks)
}

/** TRANSFER LENGTH or its like is wrong; where it is follows from the size of the CDB. SPC-4 4.2. */
export function lengthInvalid(cdb: Buffer): ScsiResult {
  const sizeCode = cdb[0]! >> 5
  if (sizeCode === 0) return invalidCdbField(4)
  if (sizeCode === 4) return invalidCdbField(10)
  return invalidCdbField(sizeCode === 5 ? 6 : 7)
}

/**
 * COMPARE AND WRITE: what is stored becomes the second half of the data where it is the first half.
 * SBC-3 5.2. That it is one step is the unit's affair.
 */
import { scsi } from '../base/limits.ts'
import { checkRange } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { lba64 } from './cdb-layout.ts'
import { compareAndWrite } from './cdb-update.ts'
import { type Command, command, invalidCdbField } from './command.ts'
import { announcesOther, firstBytes, remainder, totalBytes, wrongAmount } from './data-out.ts'
import { good, type ScsiResult } from './result.ts'

interface CompareFields {
  readonly protect: number
  readonly blocks: number
  readonly lbaHigh: number
  readonly lbaLow: number
  readonly forceUnitAccess: boolean
}

/** All or nothing: with other data than exactly two times the blocks, halves would be guessed. */
function check(call: Call, fields: CompareFields): ScsiResult | undefined {
  const { protect, blocks } = fields
  if (protect) return invalidCdbField(1, 7)
  if (blocks > scsi.maxCompareAndWriteBlocks) return invalidCdbField(13)
  const outside = checkRange(call, lba64(fields), blocks)
  if (outside) return outside
  return announcesOther(call, 2 * blocks * call.facts.blockBytes) ? invalidCdbField(13) : undefined
}

function run(call: Call, fields: CompareFields): Promise<Outcome> | Outcome {
  const { blocks, forceUnitAccess } = fields
  if (blocks === 0) return good()
  const half = blocks * call.facts.blockBytes
  if (totalBytes(call.dataOut) !== 2 * half) return wrongAmount
  const compare = firstBytes(call.dataOut, half)
  const write = remainder(call.dataOut, half)
  return call.compareAndWrite(lba64(fields), { compare, write }, { forceUnitAccess })
}

export const compareAndWriteCommands: readonly Command[] = [
  command(compareAndWrite, {
    medium: 'write',
    reservation: 'write',
    transfer: ({ blocks }, blockBytes) => ({ direction: 'out', bytes: 2 * blocks * blockBytes }),
    check,
    run,
  }),
]

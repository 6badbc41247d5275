/**
 * VERIFY (10), (16): reads the blocks (BYTCHK 00b) or compares them with the data that came (01b).
 * SBC-3 5.29, 5.31. The comparison of one block with many (11b) is not supported.
 */
import { blockBytes, scsi } from '../base/limits.ts'
import { checkAccess } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { verify10, verify16 } from './cdb-block.ts'
import { lba64 } from './cdb-layout.ts'
import { type Command, command, invalidFieldInCdb } from './command.ts'
import { DataReader, incompleteBlock, totalBytes } from './data-out.ts'
import { checkCondition, good, isGood, type ScsiResult } from './result.ts'
import type { Transfer } from './scsi-target.ts'
import { MISCOMPARE_DURING_VERIFY } from './sense.ts'

interface Verification {
  readonly lba: number
  readonly blocks: number
  readonly protect: number
  readonly byteCheck: number
}

interface VerifyFields {
  readonly protect: number
  readonly byteCheck: number
  readonly verificationLengthBlocks: number
}

const pieceBlocks = scsi.pieceBytes / blockBytes

function verification(fields: VerifyFields, lba: number): Verification {
  const { protect, byteCheck, verificationLengthBlocks } = fields
  return { lba, blocks: verificationLengthBlocks, protect, byteCheck }
}

function verifying<V>(of: (fields: V) => Verification) {
  return {
    medium: 'read' as const,
    reservation: 'read' as const,
    transfer(fields: V): Transfer {
      const { byteCheck, blocks } = of(fields)
      if (byteCheck === 0) return { direction: 'none', bytes: 0 }
      return { direction: 'out', bytes: blocks * blockBytes }
    },
    check(call: Call, fields: V): ScsiResult | undefined {
      const wanted = of(fields)
      return wanted.byteCheck > 1 ? invalidFieldInCdb : checkAccess(call, wanted)
    },
    run: (call: Call, fields: V) => verify(call, of(fields)),
  }
}

async function verify(call: Call, { lba, blocks, byteCheck }: Verification): Promise<Outcome> {
  if (byteCheck === 1 && totalBytes(call.dataOut) < blocks * blockBytes) return incompleteBlock
  const expected = byteCheck === 1 ? new DataReader(call.dataOut) : undefined
  for (let done = 0; done < blocks; done += pieceBlocks) {
    const outcome = await call.read(lba + done, Math.min(pieceBlocks, blocks - done))
    if (!isGood(outcome)) return outcome
    const difference = expected && firstDifference(expected, outcome.dataIn)
    if (difference !== undefined) return miscompare(done * blockBytes + difference)
  }
  return good()
}

function firstDifference(expected: DataReader, stored: readonly Buffer[]): number | undefined {
  let offset = 0
  for (const buffer of stored) {
    const difference = expected.firstDifference(buffer)
    if (difference !== undefined) return offset + difference
    offset += buffer.length
  }
  return undefined
}

/** INFORMATION is the offset in the data of the first byte that differs. SBC-3 5.29. */
function miscompare(offsetBytes: number): ScsiResult {
  return checkCondition({ ...MISCOMPARE_DURING_VERIFY, information: offsetBytes })
}

export const verifyCommands: readonly Command[] = [
  command(
    verify10,
    verifying((fields) => verification(fields, fields.lba)),
  ),
  command(
    verify16,
    verifying((fields) => verification(fields, lba64(fields))),
  ),
]

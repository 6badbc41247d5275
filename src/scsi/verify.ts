/**
 * VERIFY (10), (12), (16): reads the blocks (BYTCHK 00b), or compares them with the data that came,
 * block by block (01b) or one block with each of them (11b). SBC-3 5.29 to 5.31.
 */
import { physicalBlockBytes, scsi } from '../base/limits.ts'
import { checkAccess } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { verify10, verify12, verify16 } from './cdb-block.ts'
import { lba64 } from './cdb-layout.ts'
import { type Command, command, invalidCdbField } from './command.ts'
import { DataReader, prefix, totalBytes, wrongAmount } from './data-out.ts'
import { checkCondition, good, isGood, type ScsiResult } from './result.ts'
import type { Transfer } from './scsi-target.ts'
import { MISCOMPARE_DURING_VERIFY } from './sense.ts'

export const ByteCheck = { NONE: 0, ALL: 1, ONE_BLOCK: 3 } as const

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

function verification(fields: VerifyFields, lba: number): Verification {
  const { protect, byteCheck, verificationLengthBlocks } = fields
  return { lba, blocks: verificationLengthBlocks, protect, byteCheck }
}

function verifying<V>(of: (fields: V) => Verification) {
  return {
    medium: 'read' as const,
    reservation: 'read' as const,
    transfer(fields: V, blockBytes: number): Transfer {
      const bytes = dataBlocks(of(fields)) * blockBytes
      return { direction: bytes === 0 ? 'none' : 'out', bytes }
    },
    check(call: Call, fields: V): ScsiResult | undefined {
      const wanted = of(fields)
      if (wanted.byteCheck === 2) return invalidCdbField(1, 2)
      return checkAccess(call, wanted)
    },
    run: (call: Call, fields: V) => verify(call, of(fields)),
  }
}

function dataBlocks({ byteCheck, blocks }: Verification): number {
  if (byteCheck === ByteCheck.ALL) return blocks
  return byteCheck === ByteCheck.ONE_BLOCK ? Math.min(1, blocks) : 0
}

function verify(call: Call, wanted: Verification): Promise<Outcome> | Outcome {
  const { lba, blocks, byteCheck } = wanted
  if (blocks === 0) return good()
  const { blockBytes } = call.facts
  if (totalBytes(call.dataOut) < dataBlocks(wanted) * blockBytes) return wrongAmount
  if (byteCheck === ByteCheck.NONE) return verifyBlocks(call, { lba, blocks })
  if (byteCheck === ByteCheck.ALL) {
    return verifyBlocks(call, { lba, blocks, expected: new DataReader(call.dataOut) })
  }
  const block = prefix(call.dataOut, blockBytes)
  return block ? verifyBlocks(call, { lba, blocks, expected: repeating(block) }) : wrongAmount
}

/** What stored data are compared with, from front to back. */
interface Expected {
  firstDifferenceOf(stored: readonly Buffer[]): number | undefined
}

interface Blocks {
  readonly lba: number
  readonly blocks: number
  readonly expected?: Expected
}

/** Reads blocks piece by piece, and compares them where there is something to compare with. */
export async function verifyBlocks(call: Call, wanted: Blocks): Promise<Outcome> {
  const { lba, blocks, expected } = wanted
  const { blockBytes } = call.facts
  const pieceBlocks = scsi.pieceBytes / blockBytes
  for (let done = 0; done < blocks; done += pieceBlocks) {
    if (call.aborted) return { status: 0x40 }
    const outcome = await call.read(lba + done, Math.min(pieceBlocks, blocks - done))
    if (!isGood(outcome)) return outcome
    const difference = expected?.firstDifferenceOf(outcome.dataIn)
    outcome.release?.()
    if (difference !== undefined) return miscompare(done * blockBytes + difference)
  }
  return good()
}

/** One block, compared with each block that is stored. Pieces are whole blocks of any size. */
function repeating(block: Buffer): Expected {
  const pattern = Buffer.alloc(Math.max(block.length, physicalBlockBytes), block)
  return {
    firstDifferenceOf(stored) {
      const bytes = totalBytes(stored)
      const patterns = Array.from({ length: Math.ceil(bytes / pattern.length) }, () => pattern)
      return new DataReader(patterns).firstDifferenceOf(stored)
    },
  }
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
    verify12,
    verifying((fields) => verification(fields, fields.lba)),
  ),
  command(
    verify16,
    verifying((fields) => verification(fields, lba64(fields))),
  ),
]

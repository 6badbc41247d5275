/**
 * WRITE SAME (10), (16): one block, or zeros, all over a range. SBC-3 5.43, 5.44. Zeros are a
 * matter of the unit, which knows how to give space back; anything else is written out in pieces.
 */
import { physicalBlockBytes, scsi } from '../base/limits.ts'
import { checkRange, lengthInvalid } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { writeSame10, writeSame16 } from './cdb-block.ts'
import { lba64 } from './cdb-layout.ts'
import { type Command, command, invalidCdbField } from './command.ts'
import { announcesOther, prefix, wrongAmount } from './data-out.ts'
import { good, isGood, type ScsiResult } from './result.ts'
import type { Transfer } from './scsi-target.ts'

interface Same {
  readonly lba: number
  /** 0: to the end. */
  readonly blocks: number
  readonly protect: number
  readonly anchor: boolean
  readonly unmap: boolean
  readonly noDataOutBuffer: boolean
}

interface SameFields {
  readonly blocks: number
  readonly protect: number
  readonly anchor: boolean
  readonly unmap: boolean
}

/** A block of zeros of any size. */
const zeros = Buffer.alloc(physicalBlockBytes)

function same(fields: SameFields, lba: number, noDataOutBuffer: boolean): Same {
  const { blocks, protect, anchor, unmap } = fields
  return { lba, blocks, protect, anchor, unmap, noDataOutBuffer }
}

function writingSame<V>(of: (fields: V) => Same) {
  return {
    medium: 'write' as const,
    reservation: 'write' as const,
    transfer: (fields: V, blockBytes: number): Transfer =>
      of(fields).noDataOutBuffer
        ? { direction: 'none', bytes: 0 }
        : { direction: 'out', bytes: blockBytes },
    check: (call: Call, fields: V) => check(call, of(fields)),
    run: (call: Call, fields: V) => writeSame(call, of(fields)),
  }
}

/**
 * No block is anchored here (ANC_SUP is 0), and only thin units unmap. SBC-3 5.43. One block of data
 * is all there is to it: who announces less or more means something else.
 */
function check(call: Call, wanted: Same): ScsiResult | undefined {
  if (wanted.protect) return invalidCdbField(1, 7)
  if (wanted.anchor) return invalidCdbField(1, 4)
  if (wanted.unmap && !call.facts.thin) return invalidCdbField(1, 3)
  const outside = checkRange(call, wanted.lba, wanted.blocks)
  if (outside) return outside
  if (count(call, wanted) > scsi.maxWriteSameBlocks) return lengthInvalid(call.cdb)
  if (wanted.noDataOutBuffer) return undefined
  return announcesOther(call, call.facts.blockBytes) ? wrongAmount : undefined
}

function count(call: Call, { lba, blocks }: Same): number {
  return blocks === 0 ? call.facts.blocks - lba : blocks
}

async function writeSame(call: Call, wanted: Same): Promise<Outcome> {
  const { lba } = wanted
  const blocks = count(call, wanted)
  const { blockBytes } = call.facts
  const zeroBlock = zeros.subarray(0, blockBytes)
  const block = wanted.noDataOutBuffer ? zeroBlock : prefix(call.dataOut, blockBytes)
  if (!block) return wrongAmount
  if (blocks === 0) return good()
  // LBPRZ is 1, so a block that is not zero cannot be had by unmapping, whatever UNMAP says.
  return block.equals(zeroBlock)
    ? call.unmap([{ lba, blocks }])
    : writeOut(call, lba, blocks, block)
}

async function writeOut(call: Call, lba: number, blocks: number, block: Buffer): Promise<Outcome> {
  const { blockBytes } = call.facts
  const pattern = Buffer.allocUnsafe(Math.min(scsi.patternBytes, blocks * blockBytes)).fill(block)
  const pieceBlocks = scsi.pieceBytes / blockBytes
  for (let done = 0; done < blocks; done += pieceBlocks) {
    if (call.aborted) return { status: 0x40 }
    const data = repeat(pattern, Math.min(pieceBlocks, blocks - done) * blockBytes)
    const outcome = await call.write(lba + done, data, { forceUnitAccess: false })
    if (!isGood(outcome)) return outcome
  }
  return good()
}

/** The pattern as often as it takes, in one list and without a copy. */
function repeat(pattern: Buffer, bytes: number): readonly Buffer[] {
  const data: Buffer[] = []
  for (let left = bytes; left > 0; left -= pattern.length) data.push(pattern.subarray(0, left))
  return data
}

export const writeSameCommands: readonly Command[] = [
  command(
    writeSame10,
    writingSame((fields) => same(fields, fields.lba, false)),
  ),
  command(
    writeSame16,
    writingSame((fields) => same(fields, lba64(fields), fields.noDataOutBuffer)),
  ),
]

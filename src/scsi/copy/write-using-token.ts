/**
 * WRITE USING TOKEN: writes what a ROD token stands for, or zeros for the token of zeros. SBC-3 5.46.
 * With IMMED the status could come before the data are written; here it comes after it in any case.
 */
import { copy as limits } from '../../base/limits.ts'
import { bit, bytes, layout, reserved, reservedBits, u16, u32 } from '../../wire/layout.ts'
import type { Call, Outcome } from '../call.ts'
import { lba64 } from '../cdb-layout.ts'
import { type Command, invalidParameterField } from '../command.ts'
import type { BlockExtent } from '../logical-unit.ts'
import { checkCondition, good, isGood, type ScsiResult, Status } from '../result.ts'
import {
  COPY_TARGET_DEVICE_DATA_UNDERRUN,
  INVALID_TOKEN_LENGTH,
  INVALID_TOKEN_OPERATION,
  PARAMETER_LIST_LENGTH_ERROR,
  UNSUPPORTED_TOKEN_TYPE,
} from '../sense.ts'
import { parseRanges, totalBlocks } from './block-ranges.ts'
import { writeUsingToken } from './cdb-copy.ts'
import { copyByToken } from './copy-by-token.ts'
import type { CopyRecord } from './copy-records.ts'
import { RodType, rodToken, rodTokenBytes, rodTokenLength } from './rod-token.ts'
import type { HeldToken } from './token-store.ts'

const header = layout({
  name: 'WRITE USING TOKEN parameter list',
  cite: 'SBC-3 5.46.2',
  sizeBytes: 536,
  fields: {
    dataLength: u16(0, 'bytes that follow this field'),
    deleteToken: bit(2, 1, 'DEL_TKN'),
    immediate: bit(2, 0, 'IMMED'),
    lbaHigh: u32(8),
    lbaLow: u32(12, 'OFFSET INTO ROD, in blocks'),
    token: bytes(16, rodTokenBytes),
    rangeDescriptorsLength: u16(534),
  },
  reserved: [reservedBits(2, 7, 2), reserved(3, 5), reserved(528, 6)],
})

interface Wanted {
  readonly ranges: readonly BlockExtent[]
  readonly token: Buffer
  readonly offsetBlocks: number
  readonly deleteToken: boolean
}

const lengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)

function parse(call: Call, list: Buffer): Wanted | ScsiResult {
  if (list.length < header.sizeBytes) return lengthError
  const fields = header.decode(list)
  const { dataLength, token, deleteToken } = fields
  if (dataLength + 2 > list.length) return lengthError
  if (dataLength + 2 < header.sizeBytes) return invalidParameterField(0)
  const ranges = parseRanges(call, list.subarray(0, dataLength + 2), header.sizeBytes)
  if ('status' in ranges) return ranges
  return { ranges, token, deleteToken, offsetBlocks: lba64(fields) }
}

async function write(call: Call, wanted: Wanted, record: CopyRecord): Promise<Outcome> {
  const { rodType, rodTokenLength: length } = rodToken.decode(wanted.token)
  if (length !== rodTokenLength) return checkCondition(INVALID_TOKEN_LENGTH)
  if (rodType === RodType.BLOCK_DEVICE_ZERO) return writeZeros(call, wanted.ranges, record)
  if (rodType !== RodType.POINT_IN_TIME_COPY_DEFAULT) return checkCondition(UNSUPPORTED_TOKEN_TYPE)
  const held = call.tokens.find(wanted.token, call.nexus.targetName)
  if ('key' in held) return checkCondition(held)
  if (held.blockBytes !== call.facts.blockBytes) return checkCondition(INVALID_TOKEN_OPERATION)
  return writeHeld(call, { wanted, held }, record)
}

async function writeZeros(
  call: Call,
  ranges: readonly BlockExtent[],
  record: CopyRecord,
): Promise<Outcome> {
  for (const range of ranges) {
    if (call.aborted) return { status: Status.TASK_ABORTED }
    const outcome = range.blocks === 0 ? good() : await call.unmap([range])
    if (!isGood(outcome)) return outcome
    record.segments += 1
    record.bytes += range.blocks * call.facts.blockBytes
  }
  return good()
}

/** As much as the token has; where the ranges ask for more, that is an underrun. SBC-3 5.46.1. */
async function writeHeld(
  call: Call,
  { wanted, held }: { readonly wanted: Wanted; readonly held: HeldToken },
  record: CopyRecord,
): Promise<Outcome> {
  const { blockBytes } = call.facts
  const heldBlocks = held.data.length / blockBytes
  const { offsetBlocks, ranges, deleteToken } = wanted
  const blocks = totalBlocks(ranges)
  if (blocks > 0 && offsetBlocks >= heldBlocks) return invalidParameterField(8)
  const data = blocks === 0 ? held.data : held.data.subarray(offsetBlocks * blockBytes)
  const outcome = await writeOut(call, { ranges, data }, record)
  if (!isGood(outcome)) return outcome
  call.tokens.use(held)
  if (record.bytes < blocks * blockBytes) return checkCondition(COPY_TARGET_DEVICE_DATA_UNDERRUN)
  if (deleteToken) call.tokens.delete(held)
  return good()
}

async function writeOut(
  call: Call,
  { ranges, data }: { readonly ranges: readonly BlockExtent[]; readonly data: Buffer },
  record: CopyRecord,
): Promise<Outcome> {
  const { blockBytes } = call.facts
  for (const { lba, blocks } of ranges) {
    const bytes = Math.min(blocks * blockBytes, data.length - record.bytes)
    for (let done = 0; done < bytes; done += limits.pieceBytes) {
      if (call.aborted) return { status: Status.TASK_ABORTED }
      const size = Math.min(limits.pieceBytes, bytes - done)
      const piece = data.subarray(record.bytes, record.bytes + size)
      const at = lba + done / blockBytes
      const outcome = await call.write(at, [piece], { forceUnitAccess: false })
      if (!isGood(outcome)) return outcome
      record.bytes += size
    }
    if (bytes < blocks * blockBytes) return good()
    record.segments += 1
  }
  return good()
}

export const writeUsingTokenCommands: readonly Command[] = [
  copyByToken(writeUsingToken, { use: 'write', parse, work: write }),
]

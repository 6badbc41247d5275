/**
 * The block device range descriptors of POPULATE TOKEN and WRITE USING TOKEN: which blocks of the
 * unit, in which order. SBC-3 5.7.3. All of them are checked before any is touched.
 */
import { copy as limits } from '../../base/limits.ts'
import { layout, reserved, u32 } from '../../wire/layout.ts'
import { checkRange } from '../block-range.ts'
import type { Call } from '../call.ts'
import { lba64 } from '../cdb-layout.ts'
import { invalidParameterField } from '../command.ts'
import type { BlockExtent } from '../logical-unit.ts'
import { checkCondition, type ScsiResult } from '../result.ts'
import { PARAMETER_LIST_LENGTH_ERROR, TOO_MANY_SEGMENT_DESCRIPTORS } from '../sense.ts'

const descriptor = layout({
  name: 'block device range descriptor',
  cite: 'SBC-3 5.7.3',
  sizeBytes: 16,
  fields: { lbaHigh: u32(0), lbaLow: u32(4), blocks: u32(8) },
  reserved: [reserved(12, 4)],
})

const lengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)

/** The two bytes before `begin` are the length of the descriptors. */
export function parseRanges(
  call: Call,
  list: Buffer,
  begin: number,
): readonly BlockExtent[] | ScsiResult {
  const bytes = list.readUInt16BE(begin - 2)
  if (begin + bytes > list.length) return lengthError
  if (bytes < descriptor.sizeBytes) return invalidParameterField(begin - 2)
  // An incomplete descriptor at the end is ignored, by rule.
  const count = Math.floor(bytes / descriptor.sizeBytes)
  if (count > limits.rangeDescriptors) return checkCondition(TOO_MANY_SEGMENT_DESCRIPTORS)
  const ranges = Array.from({ length: count }, (_, i) => {
    const row = descriptor.decode(list, begin + i * descriptor.sizeBytes)
    return { lba: lba64(row), blocks: row.blocks }
  })
  return (
    checkRanges(call, ranges) ?? overlap(ranges, begin) ?? tooLong(call, ranges, begin) ?? ranges
  )
}

export function totalBlocks(ranges: readonly BlockExtent[]): number {
  return ranges.reduce((sum, { blocks }) => sum + blocks, 0)
}

function checkRanges(call: Call, ranges: readonly BlockExtent[]): ScsiResult | undefined {
  for (const { lba, blocks } of ranges) {
    const outside = checkRange(call, lba, blocks)
    if (outside) return outside
  }
  return undefined
}

/** MAXIMUM TOKEN TRANSFER SIZE holds for one command as for one token. */
function tooLong(
  call: Call,
  ranges: readonly BlockExtent[],
  begin: number,
): ScsiResult | undefined {
  const bytes = totalBlocks(ranges) * call.facts.blockBytes
  return bytes > limits.tokenBytes ? invalidParameterField(begin) : undefined
}

/** No block may be named twice. */
function overlap(ranges: readonly BlockExtent[], begin: number): ScsiResult | undefined {
  const sorted = ranges.filter(({ blocks }) => blocks > 0).sort((a, b) => a.lba - b.lba)
  const twice = sorted.some(({ lba }, i) => {
    const before = sorted[i - 1]
    return before !== undefined && before.lba + before.blocks > lba
  })
  return twice ? invalidParameterField(begin) : undefined
}

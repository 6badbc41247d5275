/**
 * UNMAP: gives ranges of blocks back. SBC-3 5.28. The whole parameter list is checked before the
 * unit is asked for anything, so that a bad descriptor leaves nothing half done.
 */
import { scsi } from '../base/limits.ts'
import { bytes, layout, reserved, u16, u32 } from '../wire/layout.ts'
import { checkRange } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { unmap } from './cdb-block.ts'
import { lba64 } from './cdb-layout.ts'
import { type Command, command, invalidCdbField, invalidParameterField } from './command.ts'
import { prefix, totalBytes } from './data-out.ts'
import type { BlockExtent } from './logical-unit.ts'
import { checkCondition, good, type ScsiResult } from './result.ts'
import { PARAMETER_LIST_LENGTH_ERROR } from './sense.ts'

const header = layout({
  name: 'UNMAP parameter list',
  cite: 'SBC-3 5.28.2',
  sizeBytes: 8,
  fields: {
    dataLength: u16(0, 'bytes that follow this field'),
    descriptorsLength: u16(2, 'bytes of block descriptors'),
  },
  reserved: [reserved(4, 4)],
})

const descriptor = layout({
  name: 'UNMAP block descriptor',
  cite: 'SBC-3 5.28.2',
  sizeBytes: 16,
  fields: {
    lbaHigh: u32(0),
    lbaLow: u32(4),
    blocks: u32(8),
    ignored: bytes(12, 4),
  },
})

const lengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)
const dataLengthInvalid = invalidParameterField(0)
const descriptorsInvalid = invalidParameterField(2)

/** The extents of a parameter list, or what is wrong with its lengths. */
function parse(list: Buffer): readonly BlockExtent[] | ScsiResult {
  if (list.length < header.sizeBytes) return lengthError
  const { dataLength, descriptorsLength } = header.decode(list)
  if (header.sizeBytes + descriptorsLength > list.length) return lengthError
  if (dataLength < descriptorsLength + header.sizeBytes - 2) return dataLengthInvalid
  // An incomplete descriptor at the end is ignored, by rule.
  const count = Math.floor(descriptorsLength / descriptor.sizeBytes)
  if (count > scsi.maxUnmapDescriptors) return descriptorsInvalid
  return Array.from({ length: count }, (_, i) => {
    const row = descriptor.decode(list, header.sizeBytes + i * descriptor.sizeBytes)
    return { lba: lba64(row), blocks: row.blocks }
  })
}

/** The parameter list of an UNMAP, as an initiator sends it. */
export function unmapParameterList(extents: readonly BlockExtent[]): Buffer {
  const descriptorsLength = extents.length * descriptor.sizeBytes
  const list = Buffer.alloc(header.sizeBytes + descriptorsLength)
  header.encode({ dataLength: list.length - 2, descriptorsLength }, list)
  extents.forEach(({ lba, blocks }, i) => {
    const halves = { lbaHigh: Math.floor(lba / 0x1_0000_0000), lbaLow: lba >>> 0 }
    const row = { ...halves, blocks, ignored: Buffer.alloc(4) }
    descriptor.encode(row, list, header.sizeBytes + i * descriptor.sizeBytes)
  })
  return list
}

function checkExtents(call: Call, extents: readonly BlockExtent[]): ScsiResult | undefined {
  let blocks = 0
  for (const [index, extent] of extents.entries()) {
    const outside = checkRange(call, extent.lba, extent.blocks)
    if (outside) return outside
    blocks += extent.blocks
    // The descriptor with which it becomes too much; NUMBER OF LOGICAL BLOCKS is its byte 8.
    if (blocks > scsi.maxUnmapBlocks)
      return invalidParameterField(header.sizeBytes + index * 16 + 8)
  }
  return undefined
}

function run(
  call: Call,
  fields: { readonly parameterListLength: number },
): Promise<Outcome> | Outcome {
  const { parameterListLength } = fields
  if (parameterListLength === 0) return good()
  const list = prefix(call.dataOut, Math.min(parameterListLength, totalBytes(call.dataOut)))
  const extents = parse(list ?? Buffer.alloc(0))
  if ('status' in extents) return extents
  const wrong = checkExtents(call, extents)
  if (wrong) return wrong
  const some = extents.filter((extent) => extent.blocks > 0)
  return some.length === 0 ? good() : call.unmap(some)
}

export const unmapCommands: readonly Command[] = [
  command(unmap, {
    medium: 'write',
    reservation: 'write',
    when: (unit) => unit.facts.thin,
    transfer: (fields) => ({ direction: 'out', bytes: fields.parameterListLength }),
    // No block is anchored here: ANC_SUP is 0. SBC-3 6.6.4.
    check: (_call, { anchor }) => (anchor ? invalidCdbField(1, 0) : undefined),
    run,
  }),
]

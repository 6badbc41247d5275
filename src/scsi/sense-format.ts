/**
 * Sense data as bytes: fixed format (70h) and descriptor format (72h), current errors only.
 * SPC-4 4.5.2 and 4.5.3. What is reported is decided elsewhere.
 */
import { assert } from '../base/assert.ts'
import type { Sense } from './result.ts'

const fixedBytes = 18
const nothing = Buffer.alloc(0)
/** An additional sense length of 244 after a header of eight bytes. SPC-4 4.5.2. */
export const largestSenseBytes = 252
const informationDescriptorBytes = 12
const keySpecificDescriptorBytes = 8

/** `descriptorFormat`: D_SENSE. What has descriptors to carry has that format in any case. */
export function encodeSense(sense: Sense, descriptorFormat = false): Buffer {
  const fixed = sense.descriptors === undefined && !descriptorFormat
  return fixed ? encodeFixed(sense) : encodeDescriptors(sense)
}

/** SPC-4 4.5.3. INFORMATION has 32 bits here: a larger value is left out, with VALID zero. */
export function encodeFixed(sense: Sense): Buffer {
  const { information } = sense
  const valid = information !== undefined && information <= 0xffff_ffff
  const buffer = Buffer.alloc(fixedBytes)
  buffer[0] = (valid ? 0x80 : 0) | 0x70
  buffer[2] = sense.key
  if (valid) buffer.writeUInt32BE(information, 3)
  buffer.writeUInt32BE(sense.commandSpecific ?? 0, 8)
  buffer[7] = fixedBytes - 8
  buffer[12] = sense.asc
  buffer[13] = sense.ascq
  keySpecific(sense)?.copy(buffer, 15)
  return buffer
}

/** SPC-4 4.5.2: an eight-byte header and descriptors, what was computed here first. */
export function encodeDescriptors(sense: Sense): Buffer {
  const own = [information(sense), commandSpecific(sense), specificDescriptor(sense)]
  const descriptors = Buffer.concat([...own, sense.descriptors ?? nothing])
  assert(
    descriptors.length <= largestSenseBytes - 8,
    'sense descriptors fit the additional sense length',
  )
  const header = Buffer.from([0x72, sense.key, sense.asc, sense.ascq, 0, 0, 0, descriptors.length])
  return Buffer.concat([header, descriptors])
}

/** SPC-4 4.5.2.2. */
function information(sense: Sense): Buffer {
  if (sense.information === undefined) return nothing
  const descriptor = Buffer.alloc(informationDescriptorBytes)
  descriptor.set([0x00, informationDescriptorBytes - 2, 0x80])
  descriptor.writeBigUInt64BE(BigInt(sense.information), 4)
  return descriptor
}

/** SPC-4 4.5.2.3. */
function commandSpecific(sense: Sense): Buffer {
  if (sense.commandSpecific === undefined) return nothing
  const descriptor = Buffer.alloc(informationDescriptorBytes)
  descriptor.set([0x01, informationDescriptorBytes - 2])
  descriptor.writeBigUInt64BE(BigInt(sense.commandSpecific), 4)
  return descriptor
}

/** SPC-4 4.5.2.4. */
function specificDescriptor(sense: Sense): Buffer {
  const specific = keySpecific(sense)
  if (specific === undefined) return nothing
  const descriptor = Buffer.alloc(keySpecificDescriptorBytes)
  descriptor.set([0x02, keySpecificDescriptorBytes - 2])
  specific.copy(descriptor, 4)
  return descriptor
}

/** The three bytes that both formats have: SKSV, C/D, BPV and bit with a field, or a progress. */
function keySpecific({ fieldPointer, progress }: Sense): Buffer | undefined {
  if (fieldPointer === undefined && progress === undefined) return undefined
  const bytes = Buffer.from([0x80, 0, 0])
  bytes.writeUInt16BE(fieldPointer?.byte ?? progress ?? 0, 1)
  if (fieldPointer?.inCdb) bytes[0]! |= 0x40
  if (fieldPointer?.bit !== undefined) bytes[0]! |= 0x08 | fieldPointer.bit
  return bytes
}

/** Key, codes and INFORMATION of current sense data in either format; undefined where it is none. */
export function decodeSense(buffer: Buffer): Sense | undefined {
  const [code = 0] = buffer
  if ((code & 0x7f) === 0x70 && buffer.length >= 14) {
    const sense = { key: buffer[2]! & 0x0f, asc: buffer[12]!, ascq: buffer[13]! }
    return (code & 0x80) === 0 ? sense : { ...sense, information: buffer.readUInt32BE(3) }
  }
  if (code === 0x72 && buffer.length >= 4) {
    return { key: buffer[1]! & 0x0f, asc: buffer[2]!, ascq: buffer[3]! }
  }
  return undefined
}

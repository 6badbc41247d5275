/** The block descriptor of mode parameter lists, short and long. SBC-3 6.5.2. */
import type { UnitFacts } from './logical-unit.ts'

export const shortDescriptorBytes = 8
export const longDescriptorBytes = 16

export function blockDescriptor(facts: UnitFacts, long: boolean): Buffer {
  return long ? longDescriptor(facts) : shortDescriptor(facts)
}

/** FFFFFFFFh where the number of blocks needs more than the field has. */
function shortDescriptor({ blocks, blockBytes }: UnitFacts): Buffer {
  const descriptor = Buffer.alloc(shortDescriptorBytes)
  descriptor.writeUInt32BE(Math.min(blocks, 0xffff_ffff), 0)
  descriptor.writeUIntBE(blockBytes, 5, 3)
  return descriptor
}

function longDescriptor({ blocks, blockBytes }: UnitFacts): Buffer {
  const descriptor = Buffer.alloc(longDescriptorBytes)
  descriptor.writeBigUInt64BE(BigInt(blocks), 0)
  descriptor.writeUInt32BE(blockBytes, 12)
  return descriptor
}

/**
 * The first byte of a descriptor that asks for another size than the unit has, undefined where it
 * asks for none. A number of blocks of zero, or the highest there is, leaves it as it is.
 */
export function otherSize(descriptor: Buffer, facts: UnitFacts): number | undefined {
  const long = descriptor.length === longDescriptorBytes
  const own = blockDescriptor(facts, long)
  const countBytes = long ? 8 : 4
  const count = descriptor.subarray(0, countBytes)
  const keeps = [0x00, 0xff].some((value) => count.every((byte) => byte === value))
  if (!keeps && !count.equals(own.subarray(0, countBytes))) return 0
  const lengthAt = long ? 12 : 5
  return descriptor.subarray(lengthAt).equals(own.subarray(lengthAt)) ? undefined : lengthAt
}

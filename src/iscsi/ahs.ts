/**
 * The chain of Additional Header Segments behind a header: each has a length of 2 bytes, a type,
 * then its specific part, padded to four bytes. RFC 7143 11.2.2. What a type means is not known
 * here.
 */
import { assert } from '../base/assert.ts'

export interface AhsSegment {
  /** 0 to 63; the two high bits of the byte are reserved and ignored. */
  readonly type: number
  /** AHSLength bytes: all that follows the type byte, without padding. A view. */
  readonly payload: Buffer
}

const headBytes = 3
const none: readonly AhsSegment[] = []

/** The segments in order, or undefined when the chain does not add up to its length. */
export function parseAhs(ahs: Buffer): readonly AhsSegment[] | undefined {
  if (ahs.length === 0) return none
  const segments: AhsSegment[] = []
  for (let offset = 0; offset < ahs.length; ) {
    if (offset + headBytes > ahs.length) return undefined
    const length = ahs.readUInt16BE(offset)
    const end = offset + headBytes + length
    if (end > ahs.length) return undefined
    segments.push({ type: ahs[offset + 2]! & 0x3f, payload: ahs.subarray(offset + headBytes, end) })
    offset = (end + 3) & ~3
  }
  return segments
}

/** A chain ready for `encodeFrame`. */
export function buildAhs(segments: readonly AhsSegment[]): Buffer {
  const sizes = segments.map(({ payload }) => (headBytes + payload.length + 3) & ~3)
  const ahs = Buffer.alloc(sizes.reduce((sum, size) => sum + size, 0))
  let offset = 0
  for (const [index, { type, payload }] of segments.entries()) {
    assert(type <= 0x3f && payload.length <= 0xffff, 'an AHS has 6 bits of type, 16 of length')
    ahs.writeUInt16BE(payload.length, offset)
    ahs[offset + 2] = type
    payload.copy(ahs, offset + headBytes)
    offset += sizes[index]!
  }
  return ahs
}

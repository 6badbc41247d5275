/**
 * A frame to bytes for the wire: lengths, I bit, padding and digests around an encoded header. The
 * counterpart of the framer. RFC 7143 11.2.
 */
import { assert } from '../base/assert.ts'
import { crc32c } from '../base/crc32c.ts'

export interface Digests {
  readonly header: boolean
  readonly data: boolean
}

export interface FrameParts {
  /** A whole number of four-byte words, as `buildAhs` makes it. */
  readonly ahs?: Uint8Array | undefined
  readonly data?: readonly Uint8Array[] | undefined
  readonly immediate?: boolean | undefined
  /** Default: none, as in the login phase. */
  readonly digests?: Digests
}

const largestDataSegmentBytes = 2 ** 24 - 1
const largestAhsBytes = 255 * 4
const zeros = [0, 1, 2, 3].map((count) => Buffer.alloc(count))

function digestOf(buffers: readonly Uint8Array[]): Buffer {
  const digest = Buffer.allocUnsafe(4)
  digest.writeUInt32LE(crc32c(buffers), 0)
  return digest
}

/**
 * Completes `header` (48 bytes, owned by this call from now on) and returns what goes out, in
 * order. The data buffers are passed on as they are, not copied.
 */
export function encodeFrame(header: Buffer, parts: FrameParts = {}): Uint8Array[] {
  const { ahs, data, digests } = parts
  const out: Uint8Array[] = [header]
  if (parts.immediate === true) header[0] = header[0]! | 0x40
  if (ahs !== undefined) {
    assert(ahs.length % 4 === 0 && ahs.length <= largestAhsBytes, 'AHS in whole words')
    header[4] = ahs.length / 4
    out.push(ahs)
  }
  let dataBytes = 0
  if (data !== undefined) for (const buffer of data) dataBytes += buffer.length
  assert(dataBytes <= largestDataSegmentBytes, 'DataSegmentLength has 24 bits')
  header[5] = dataBytes >>> 16
  header[6] = (dataBytes >>> 8) & 0xff
  header[7] = dataBytes & 0xff
  if (digests?.header === true) out.push(digestOf(out))
  if (data === undefined || dataBytes === 0) return out
  const first = out.length
  for (const buffer of data) out.push(buffer)
  if (dataBytes % 4 !== 0) out.push(zeros[-dataBytes & 3]!)
  if (digests?.data === true) out.push(digestOf(out.slice(first)))
  return out
}

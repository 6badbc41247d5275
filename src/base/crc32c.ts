/**
 * CRC32C (Castagnoli), the digest of iSCSI (RFC 7143 13.1) and of our own log records. Slicing by
 * 16: bytes at a time for short runs, such as a header, whole words for long ones.
 */
import { assert } from './assert.ts'

const reflectedPolynomial = 0x82f63b78
const slices = 16
/** From this length on the word form wins, in spite of the view that it makes. */
const wordFormBytes = 256

/** tables[k * 256 + i]: what byte i does to the remainder when k bytes follow it. */
const tables = buildTables()

function buildTables(): Int32Array {
  const all = new Int32Array(slices * 256)
  for (let i = 0; i < 256; i++) {
    let value = i
    for (let k = 0; k < 8; k++)
      value = value & 1 ? (value >>> 1) ^ reflectedPolynomial : value >>> 1
    all[i] = value
  }
  for (let i = 256; i < slices * 256; i++) {
    const previous = all[i - 256]!
    all[i] = (previous >>> 8) ^ all[previous & 0xff]!
  }
  return all
}

assert(new Uint8Array(new Uint32Array([1]).buffer)[0] === 1, 'a little-endian machine')

function byteForm(start: number, data: Uint8Array, from: number, to: number): number {
  const t = tables
  let crc = start
  for (let i = from; i < to; i++) crc = t[(crc ^ data[i]!) & 0xff]! ^ (crc >>> 8)
  return crc
}

/** Sixteen bytes a turn, read one by one. */
function shortForm(start: number, d: Uint8Array): number {
  const t = tables
  let crc = start
  let i = 0
  for (; i + 16 <= d.length; i += 16) {
    crc =
      t[3840 + ((crc ^ d[i]!) & 0xff)]! ^
      t[3584 + (((crc >>> 8) ^ d[i + 1]!) & 0xff)]! ^
      t[3328 + (((crc >>> 16) ^ d[i + 2]!) & 0xff)]! ^
      t[3072 + (((crc >>> 24) ^ d[i + 3]!) & 0xff)]! ^
      t[2816 + d[i + 4]!]! ^
      t[2560 + d[i + 5]!]! ^
      t[2304 + d[i + 6]!]! ^
      t[2048 + d[i + 7]!]! ^
      t[1792 + d[i + 8]!]! ^
      t[1536 + d[i + 9]!]! ^
      t[1280 + d[i + 10]!]! ^
      t[1024 + d[i + 11]!]! ^
      t[768 + d[i + 12]!]! ^
      t[512 + d[i + 13]!]! ^
      t[256 + d[i + 14]!]! ^
      t[d[i + 15]!]!
  }
  return byteForm(crc, d, i, d.length)
}

/** Four words a turn; `data` starts at a multiple of four in its memory. */
function wordForm(start: number, data: Uint8Array): number {
  const t = tables
  const words = new Int32Array(data.buffer, data.byteOffset, (data.length >> 4) << 2)
  let crc = start
  for (let i = 0; i < words.length; i += 4) {
    const a = crc ^ words[i]!
    const b = words[i + 1]!
    const c = words[i + 2]!
    const d = words[i + 3]!
    crc =
      t[3840 + (a & 0xff)]! ^
      t[3584 + ((a >>> 8) & 0xff)]! ^
      t[3328 + ((a >>> 16) & 0xff)]! ^
      t[3072 + (a >>> 24)]! ^
      t[2816 + (b & 0xff)]! ^
      t[2560 + ((b >>> 8) & 0xff)]! ^
      t[2304 + ((b >>> 16) & 0xff)]! ^
      t[2048 + (b >>> 24)]! ^
      t[1792 + (c & 0xff)]! ^
      t[1536 + ((c >>> 8) & 0xff)]! ^
      t[1280 + ((c >>> 16) & 0xff)]! ^
      t[1024 + (c >>> 24)]! ^
      t[768 + (d & 0xff)]! ^
      t[512 + ((d >>> 8) & 0xff)]! ^
      t[256 + ((d >>> 16) & 0xff)]! ^
      t[d >>> 24]!
  }
  return byteForm(crc, data, words.length * 4, data.length)
}

/** CRC32C of the buffers, one after the other, as an unsigned number. */
export function crc32c(buffers: readonly Uint8Array[]): number {
  let crc = -1
  for (const buffer of buffers) {
    if (buffer.length < wordFormBytes) {
      crc = shortForm(crc, buffer)
      continue
    }
    const head = -buffer.byteOffset & 3
    crc = byteForm(crc, buffer, 0, head)
    crc = wordForm(crc, head === 0 ? buffer : buffer.subarray(head))
  }
  return ~crc >>> 0
}

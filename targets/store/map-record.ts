/**
 * Records of the mapping log, big endian:
 *
 *    0  length of the record in bytes      4  CRC32C of all that follows
 *    8  sequence (8 bytes)                16  kind, flags, 2 reserved bytes
 *   20  layer, 0: the live one            24  replica, page, then physical page or count (map, free)
 *                                             or the sequence covered (8 bytes; flush)
 *
 * Flags of a map record: 01h it replaces a mapping, 02h it counts only if the next record is there.
 * Sequences are contiguous over all log files. Kind 3 (zero: a run that reads as zeros whatever an
 * older layer holds) is reserved for layers.
 */
import { assert } from '../../src/base/assert.ts'
import { crc32c } from '../../src/base/crc32c.ts'

const kinds = { map: 1, free: 2, flush: 4 } as const
const flags = { replaces: 0x01, joined: 0x02 } as const
const mappingBytes = 36
const flushBytes = 32

export type MapRecord = MappingRecord | FlushRecord

export type MappingRecord =
  | {
      readonly kind: 'map'
      readonly replica: number
      readonly page: number
      readonly physical: number
      /** The page was mapped before, elsewhere: that physical page is freed by the same record. */
      readonly replaces?: true
      /** Counts only together with the record after it: there is no moment between the two. */
      readonly joined?: true
    }
  | {
      readonly kind: 'free'
      readonly replica: number
      readonly page: number
      /** Pages from `page` on that are holes afterwards. */
      readonly count: number
    }

/** Everything up to `covers` is durable, its data included. */
export interface FlushRecord {
  readonly kind: 'flush'
  readonly covers: number
}

export interface Sequenced<R> {
  readonly sequence: number
  readonly record: R
}

export function recordBytes({ kind }: MapRecord): number {
  return kind === 'flush' ? flushBytes : mappingBytes
}

export function encodeRecord(record: MapRecord, sequence: number): Buffer {
  const flush = record.kind === 'flush'
  const bytes = Buffer.alloc(recordBytes(record))
  bytes.writeUInt32BE(bytes.length, 0)
  writeNumber(bytes, sequence, 8)
  bytes.writeUInt8(kinds[record.kind], 16)
  if (flush) writeNumber(bytes, record.covers, 24)
  else {
    if (record.kind === 'map') bytes.writeUInt8(flagsOf(record), 17)
    bytes.writeUInt32BE(record.replica, 24)
    bytes.writeUInt32BE(record.page, 28)
    bytes.writeUInt32BE(record.kind === 'map' ? record.physical : record.count, 32)
  }
  bytes.writeUInt32BE(crc32c([bytes.subarray(8)]), 4)
  return bytes
}

export interface DecodedRecord extends Sequenced<MapRecord> {
  readonly lengthBytes: number
}

/** The record at `at`, or undefined where no whole, sound record begins: the log ends there. */
export function decodeRecord(log: Buffer, at: number): DecodedRecord | undefined {
  if (at + flushBytes > log.length) return undefined
  const lengthBytes = log.readUInt32BE(at)
  if (lengthBytes < flushBytes || at + lengthBytes > log.length) return undefined
  const bytes = log.subarray(at, at + lengthBytes)
  if (crc32c([bytes.subarray(8)]) !== bytes.readUInt32BE(4)) return undefined
  const record = decodeBody(bytes)
  return record && { record, sequence: readNumber(bytes, 8), lengthBytes }
}

function decodeBody(bytes: Buffer): MapRecord | undefined {
  const kind = bytes.readUInt8(16)
  if (kind === kinds.flush) return { kind: 'flush', covers: readNumber(bytes, 24) }
  if (bytes.length < mappingBytes) return undefined
  const replica = bytes.readUInt32BE(24)
  const page = bytes.readUInt32BE(28)
  const last = bytes.readUInt32BE(32)
  if (kind === kinds.map) {
    const set = bytes.readUInt8(17)
    const replaces = (set & flags.replaces) !== 0
    const joined = (set & flags.joined) !== 0
    const more = { ...(replaces && { replaces }), ...(joined && { joined }) }
    return { kind: 'map', replica, page, physical: last, ...more }
  }
  if (kind === kinds.free) return { kind: 'free', replica, page, count: last }
  return undefined
}

function flagsOf({ replaces, joined }: MappingRecord & { readonly kind: 'map' }): number {
  return (replaces ? flags.replaces : 0) | (joined ? flags.joined : 0)
}

function writeNumber(bytes: Buffer, value: number, at: number): void {
  assert(Number.isSafeInteger(value), 'a sequence stays below 2^53')
  bytes.writeUInt32BE(Math.floor(value / 2 ** 32), at)
  bytes.writeUInt32BE(value % 2 ** 32, at + 4)
}

function readNumber(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
}

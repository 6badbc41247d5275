/**
 * Text in data segments: key=value pairs, each ended by NUL, in Login, Text and their responses.
 * RFC 7143 6.1. Splitting, limits and the C bit are here; what a key means is in `keys.ts`.
 */
import { textLimits } from '../base/limits.ts'

export type TextPair = readonly [key: string, value: string]

/** Text that breaks a rule; `why` is for the log and never holds the peer's bytes. */
export interface TextFault {
  readonly kind: 'text-fault'
  readonly why: string
}

const keyPattern = /^[A-Za-z][A-Za-z0-9.+@_#-]*$/
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const fault = (why: string): TextFault => ({ kind: 'text-fault', why })

export function isTextFault(value: unknown): value is TextFault {
  return (
    typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'text-fault'
  )
}

function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return utf8.decode(bytes)
  } catch (thrown) {
    if (thrown instanceof TypeError) return undefined
    throw thrown
  }
}

function parsePair(bytes: Buffer): TextPair | TextFault {
  const equals = bytes.indexOf(0x3d)
  if (equals < 0) return fault('a pair has no =')
  if (equals > textLimits.keyBytes)
    return fault(`a key is longer than ${textLimits.keyBytes} bytes`)
  const key = bytes.toString('latin1', 0, equals)
  if (!keyPattern.test(key)) return fault('a key has characters that no key may have')
  const raw = bytes.subarray(equals + 1)
  if (raw.length > textLimits.longValueBytes) return fault(`the value of ${key} is too long`)
  const value = decodeUtf8(raw)
  return value === undefined ? fault(`the value of ${key} is not UTF-8`) : [key, value]
}

/** All pairs in order, repeated keys included; runs of NULs between pairs are one. */
export function parseText(
  data: Buffer,
  maxPairs: number = textLimits.pairs,
): readonly TextPair[] | TextFault {
  const pairs: TextPair[] = []
  for (let start = 0; start < data.length; ) {
    const end = data.indexOf(0, start)
    if (end < 0) return fault('the last pair does not end in NUL')
    if (end > start) {
      const pair = parsePair(data.subarray(start, end))
      if (isTextFault(pair)) return pair
      if (pairs.length === maxPairs) return fault(`more than ${maxPairs} pairs`)
      pairs.push(pair)
    }
    start = end + 1
  }
  return pairs
}

/** A key may be offered, and declared, once. RFC 7143 6.2. */
export function uniqueKeys(pairs: readonly TextPair[]): ReadonlyMap<string, string> | TextFault {
  const map = new Map(pairs)
  return map.size === pairs.length ? map : fault('a key comes twice')
}

export function encodeText(pairs: readonly TextPair[]): Buffer {
  return Buffer.from(pairs.map(([key, value]) => `${key}=${value}\0`).join(''), 'utf8')
}

/** Pieces for PDUs of a peer with this MaxRecvDataSegmentLength; at least one, maybe empty. */
export function splitText(text: Buffer, maxSegmentBytes: number): Buffer[] {
  const pieces: Buffer[] = []
  for (let start = 0; start < text.length; start += maxSegmentBytes) {
    pieces.push(text.subarray(start, start + maxSegmentBytes))
  }
  return pieces.length === 0 ? [text] : pieces
}

/** What one side has sent so far of a text that goes on. */
export interface TextParts {
  readonly parts: readonly Buffer[]
  readonly bytes: number
  readonly pieces: number
}

export const noText: TextParts = { parts: [], bytes: 0, pieces: 0 }

export type Gathered =
  | { readonly kind: 'more'; readonly parts: TextParts }
  | { readonly kind: 'whole'; readonly text: Buffer }
  | TextFault

/**
 * Adds one data segment of a side's text; whole once one comes without the C bit. Pairs, even
 * keys, may be cut anywhere. RFC 7143 6.2, 11.10.2.
 */
export function gatherText(
  before: TextParts,
  data: readonly Buffer[],
  continues: boolean,
  maxBytes: number = textLimits.exchangeBytes,
): Gathered {
  const parts = [...before.parts, ...data]
  const added = data.reduce((sum, part) => sum + part.length, 0)
  const bytes = before.bytes + added
  const pieces = before.pieces + 1
  if (bytes > maxBytes) return fault(`more than ${maxBytes} bytes of text`)
  if (!continues) {
    return { kind: 'whole', text: parts.length === 1 ? parts[0]! : Buffer.concat(parts, bytes) }
  }
  // A target once crashed on a request with the C bit and nothing in it; it is also without end.
  if (added === 0) return fault('C bit with an empty data segment')
  if (pieces >= textLimits.pieces) return fault(`text in more than ${textLimits.pieces} pieces`)
  return { kind: 'more', parts: { parts, bytes, pieces } }
}

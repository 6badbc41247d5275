/**
 * CHAP as both roles need it: algorithms, the response, and numbers and binary values as text. RFC
 * 7143 12.1.3, RFC 1994. Which message comes when is in `chap-target.ts` and `chap-initiator.ts`.
 */
import { chap as limits } from '../base/limits.ts'
import type { ChapHash, ChapHashes } from '../ports/chap-hashes.ts'
import type { Random } from '../ports/random.ts'
import { parseNumber } from './key.ts'

export interface ChapAlgorithm {
  /** As IANA lists it under PPP Authentication Algorithms. */
  readonly code: number
  readonly hash: ChapHash
  readonly digestBytes: number
}

/** The strongest first: so we offer them, and so we choose. */
export const chapAlgorithms: readonly ChapAlgorithm[] = [
  { code: 8, hash: 'sha3-256', digestBytes: 32 },
  { code: 7, hash: 'sha256', digestBytes: 32 },
  { code: 6, hash: 'sha1', digestBytes: 20 },
  { code: 5, hash: 'md5', digestBytes: 16 },
]

/** A name that proves itself with a secret. */
export interface ChapIdentity {
  readonly name: string
  readonly secret: Buffer
}

/** What one side asks the other to answer. */
export interface ChapChallenge {
  readonly identifier: number
  readonly challenge: Buffer
}

/** The five keys of the exchange; only here do they have a meaning. */
export const chapKeys: ReadonlySet<string> = new Set([
  'CHAP_A',
  'CHAP_I',
  'CHAP_C',
  'CHAP_N',
  'CHAP_R',
])

/** One byte, decimal or hexadecimal. A target once took more. */
export function parseIdentifier(text: string): number | undefined {
  const value = parseNumber(text)
  return value !== undefined && value <= 255 ? value : undefined
}

export function formatBinary(bytes: Buffer): string {
  return `0x${bytes.toString('hex')}`
}

/**
 * A large binary value, hexadecimal or base64 (RFC 7143 6.1). Its length is judged by the text,
 * before anything is decoded: two targets have been taken over by a response that was not.
 */
export function parseBinary(
  text: string,
  { least, most }: { readonly least: number; readonly most: number },
): Buffer | undefined {
  const digits = text.slice(2)
  const prefix = text.slice(0, 2).toLowerCase()
  const encoding = prefix === '0x' ? 'hex' : prefix === '0b' ? 'base64' : undefined
  const bytes = encoding === 'hex' ? hexBytes(digits) : base64Bytes(digits)
  if (encoding === undefined || bytes === undefined || bytes < least || bytes > most) {
    return undefined
  }
  const pattern = encoding === 'hex' ? /^[0-9a-fA-F]+$/ : /^[0-9a-zA-Z+/]+={0,2}$/
  return pattern.test(digits) ? Buffer.from(digits, encoding) : undefined
}

const hexBytes = (digits: string) => (digits.length % 2 === 0 ? digits.length / 2 : undefined)

function base64Bytes(digits: string): number | undefined {
  if (digits.length % 4 !== 0) return undefined
  const padding = digits.endsWith('==') ? 2 : digits.endsWith('=') ? 1 : 0
  return (digits.length / 4) * 3 - padding
}

/** RFC 1994 4.1: the hash over identifier, secret and challenge. */
export function chapResponse(
  hashes: ChapHashes,
  { hash }: ChapAlgorithm,
  secret: Buffer,
  { identifier, challenge }: ChapChallenge,
): Buffer {
  return hashes.digest(hash, [Uint8Array.of(identifier), secret, challenge])
}

/** Challenges of one program: each is new, and one that comes back from a peer is known again. */
export class ChapChallenges {
  readonly #random: Random
  /** Hexadecimal, the oldest first. */
  readonly #drawn = new Set<string>()

  constructor(random: Random) {
    this.#random = random
  }

  draw(bytes: number): ChapChallenge {
    const challenge = this.#random.bytes(bytes)
    const [oldest] = this.#drawn
    if (this.#drawn.size >= limits.rememberedChallenges && oldest !== undefined) {
      this.#drawn.delete(oldest)
    }
    this.#drawn.add(challenge.toString('hex'))
    return { identifier: this.#random.below(256), challenge }
  }

  /** A peer that sends us our own challenge wants us to answer it. RFC 7143 9.2.1. */
  isOwn(challenge: Buffer): boolean {
    return this.#drawn.has(challenge.toString('hex'))
  }
}

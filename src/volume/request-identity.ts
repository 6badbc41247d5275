/**
 * The identity of a request that must not take effect twice: an Additional Header Segment beside the
 * generation header (generation-header.ts), AHSType 3Eh. Who sends it, and in the same words sends
 * it again when nobody knows what became of it, is told what became of it, or that nobody knows.
 *
 *   0  client, drawn by chance (5)    5  generation of the first sending, its last 24 bits (3)
 *   8  repeated (1 bit), numbers back to the oldest unanswered one (15 bits), number (48 bits)
 *
 * A number is of one sending, and of its repetitions; each new sending of the client has a larger
 * one. What the oldest one says acknowledges everything below.
 */
import { assert } from '../base/assert.ts'
import type { Generation } from './generation.ts'

/** AHSType of a request identity. */
export const requestIdentityAhsType = 0x3e
export const requestIdentityPayloadBytes = 16
const clientBytes = 5
const generationBytes = 3
const generationSpan = 2 ** (8 * generationBytes)
const farthestBack = 2 ** 15 - 1
const numberSpan = 2 ** 48

export interface RequestIdentity {
  /** In hexadecimal digits. */
  readonly client: string
  /** Its last 24 bits. */
  readonly generationBits: number
  readonly number: number
  /** All of the client's requests below were answered, or are not asked for any more. */
  readonly oldest: number
  /** It may have had its effect already. */
  readonly repeated: boolean
}

/** What a client is known by: drawn anew by each program and for each volume. */
export function drawClient(bytes: (count: number) => Buffer): string {
  return bytes(clientBytes).toString('hex')
}

export function generationBits(generation: Generation): number {
  return generation % generationSpan
}

/** The newest generation up to `current` that has these bits. */
export function wholeGeneration(bits: number, current: Generation): Generation {
  const back = (generationBits(current) - bits + generationSpan) % generationSpan
  return Math.max(0, current - back)
}

/** The whole header segment, ready to follow another one. RFC 7143 11.2.2. */
export function encodeRequestIdentity(identity: RequestIdentity): Buffer {
  const { client, number, oldest, repeated } = identity
  assert(client.length === 2 * clientBytes, `"${client}" is no client of requests`)
  assert(oldest <= number && number < numberSpan, 'the oldest request is not newer')
  const segment = Buffer.alloc(20)
  segment.writeUInt16BE(requestIdentityPayloadBytes, 0)
  segment[2] = requestIdentityAhsType
  segment.write(client, 3, 'hex')
  segment.writeUIntBE(identity.generationBits, 8, generationBytes)
  const back = Math.min(number - oldest, farthestBack)
  segment.writeUInt16BE(back | (repeated ? 0x8000 : 0), 11)
  segment.writeUIntBE(number, 13, 6)
  return segment
}

/** Undefined where the payload of the header segment makes no sense. */
export function decodeRequestIdentity(payload: Uint8Array): RequestIdentity | undefined {
  if (payload.length !== requestIdentityPayloadBytes) return undefined
  const bytes = Buffer.from(payload)
  const word = bytes.readUInt16BE(8)
  const number = bytes.readUIntBE(10, 6)
  return {
    client: bytes.toString('hex', 0, clientBytes),
    generationBits: bytes.readUIntBE(clientBytes, generationBytes),
    number,
    oldest: Math.max(0, number - (word & farthestBack)),
    repeated: (word & 0x8000) !== 0,
  }
}

/**
 * The generation header: an Additional Header Segment on every SCSI Command and SCSI Data-Out PDU
 * between our own programs. AHSLength 9, AHSType 3Fh, one flags byte, eight bytes of generation,
 * big endian. RFC 7143 11.2.2 gives the frame of a segment and reserves the types from 3 up: only
 * who agreed on this one in the login may send it.
 * A second segment may carry a request identity (request-identity.ts).
 */
import {
  decodeRequestIdentity,
  type RequestIdentity,
  requestIdentityAhsType,
} from './request-identity.ts'

/** AHSType of the generation header. */
export const generationAhsType = 0x3f
const generationPayloadBytes = 9

export const FenceFlag = {
  /** From a primary to another replica. */
  replication: 0x01,
  /** Content that brings a replica up to date. */
  resync: 0x02,
  /** Came through the management path; only counted. */
  managementPath: 0x04,
} as const
const knownFlags = FenceFlag.replication | FenceFlag.resync | FenceFlag.managementPath

/** What a command says of its sender's configuration. */
export type Fence = { readonly kind: 'absent' } | { readonly kind: 'malformed' } | FenceHeader

export interface FenceHeader {
  readonly kind: 'header'
  readonly flags: number
  readonly generation: bigint
  /** Of a command that must not take effect twice. */
  readonly identity?: RequestIdentity
}

/** One Additional Header Segment; the payload begins after AHSType. */
export interface HeaderSegment {
  readonly type: number
  readonly payload: Uint8Array
}

const absent: Fence = { kind: 'absent' }
const malformed: Fence = { kind: 'malformed' }

/** Reads the fence of a command from its header segments; two, or an unknown type, are malformed. */
export function decodeFence(segments: readonly HeaderSegment[]): Fence {
  let fence: Fence = absent
  let identity: RequestIdentity | undefined
  for (const { type, payload } of segments) {
    if (type === requestIdentityAhsType && identity === undefined) {
      identity = decodeRequestIdentity(payload)
      if (identity === undefined) return malformed
      continue
    }
    if (type !== generationAhsType || fence.kind !== 'absent') return malformed
    fence = decodePayload(payload)
    if (fence.kind === 'malformed') return fence
  }
  return identity !== undefined && fence.kind === 'header' ? { ...fence, identity } : fence
}

function decodePayload(payload: Uint8Array): Fence {
  const flags = payload[0]
  if (payload.length !== generationPayloadBytes || flags === undefined) return malformed
  if ((flags & ~knownFlags) !== 0) return malformed
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength)
  return { kind: 'header', flags, generation: view.getBigUint64(1) }
}

/** The whole header segment, 12 bytes, ready to follow a Basic Header Segment. */
export function encodeGenerationHeader(generation: bigint, flags: number): Buffer {
  const segment = Buffer.alloc(12)
  segment.writeUInt16BE(generationPayloadBytes, 0)
  segment[2] = generationAhsType
  segment[3] = flags
  segment.writeBigUInt64BE(generation, 4)
  return segment
}

/** A Data-Out must carry exactly what its command carried. */
export function sameFence(left: Fence, right: Fence): boolean {
  if (left.kind !== 'header' || right.kind !== 'header') return left.kind === right.kind
  return left.generation === right.generation && left.flags === right.flags
}

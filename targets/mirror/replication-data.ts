/**
 * The data of the commands in replication-cdb.ts. They come from a peer: every length and number is
 * checked before it is used, a list is as long as it says or it is none, and a decoder answers
 * undefined for what is not well formed.
 */
import { mirror as limits } from '../../src/base/limits.ts'
import type { Generation } from '../../src/volume/generation.ts'
import { bit, bytes, layout, reserved, reservedBits, u8, u32, u64 } from '../../src/wire/layout.ts'
import type { LackedRegions, MaskSet } from './mask-set.ts'
import type { ClearWhat } from './partner.ts'

const incarnationBytes = 64
const serverIdBytes = 36
const serverIdPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
export const digestBytes = 32

const beatHeader = layout({
  name: 'HEARTBEAT answer',
  cite: 'SPC-4 4.2.5.1',
  sizeBytes: 8 + incarnationBytes,
  fields: {
    more: bit(0, 7, 'replicas of higher numbers are left out'),
    incarnationLength: u8(1, 'bytes of the incarnation; 0: the store is not open'),
    entries: u32(4),
    incarnation: bytes(8, incarnationBytes, 'of the store, UTF-8, padded'),
  },
  reserved: [reservedBits(0, 6, 0), reserved(2, 2)],
})

const beatEntry = layout({
  name: 'HEARTBEAT entry',
  cite: 'SPC-4 4.2.5.1',
  sizeBytes: 12,
  fields: { number: u32(0), generation: u64(4) },
})

export interface ConfirmedReplica {
  readonly number: number
  readonly generation: Generation
}

export interface Heartbeat {
  /** Of the store; empty while it is not open. */
  readonly incarnation: string
  /** Growing by number. */
  readonly confirmed: readonly ConfirmedReplica[]
  /** There are more, of higher numbers. */
  readonly more: boolean
}

/** What a heartbeat asks room for. */
export const heartbeatBytes = beatHeader.sizeBytes + limits.heartbeatEntries * beatEntry.sizeBytes

export function encodeHeartbeat({ incarnation, confirmed, more }: Heartbeat): Buffer {
  const buffer = Buffer.alloc(beatHeader.sizeBytes + confirmed.length * beatEntry.sizeBytes)
  const text = Buffer.from(incarnation).subarray(0, incarnationBytes)
  const padded = Buffer.alloc(incarnationBytes)
  text.copy(padded)
  const header = { more, incarnationLength: text.length, entries: confirmed.length }
  beatHeader.encode({ ...header, incarnation: padded }, buffer)
  for (const [index, { number, generation }] of confirmed.entries()) {
    const at = beatHeader.sizeBytes + index * beatEntry.sizeBytes
    beatEntry.encode({ number, generation: BigInt(generation) }, buffer, at)
  }
  return buffer
}

export function decodeHeartbeat(buffer: Buffer): Heartbeat | undefined {
  if (buffer.length < beatHeader.sizeBytes) return undefined
  const { more, incarnationLength, entries, incarnation } = beatHeader.decode(buffer)
  if (incarnationLength > incarnationBytes) return undefined
  if (buffer.length !== beatHeader.sizeBytes + entries * beatEntry.sizeBytes) return undefined
  const confirmed: ConfirmedReplica[] = []
  let last = -1
  for (let at = beatHeader.sizeBytes; at < buffer.length; at += beatEntry.sizeBytes) {
    const { number, generation } = beatEntry.decode(buffer, at)
    const known = asGeneration(generation)
    if (known === undefined || number <= last || number > limits.replicasOnServer) return undefined
    confirmed.push({ number, generation: known })
    last = number
  }
  if (more && confirmed.length === 0) return undefined
  return { incarnation: incarnation.toString('utf8', 0, incarnationLength), confirmed, more }
}

const masksHeader = layout({
  name: 'masks',
  cite: 'SPC-4 4.2.5.1',
  sizeBytes: 16,
  fields: {
    inSyncGeneration: u64(0),
    inSyncLength: u32(8, 'bytes of the in-sync mask'),
    lacks: u8(12, 'replicas that lack something'),
  },
  reserved: [reserved(13, 3)],
})

const lacksHeader = layout({
  name: 'lacks mask',
  cite: 'SPC-4 4.2.5.1',
  sizeBytes: 48,
  fields: {
    serverId: bytes(0, serverIdBytes),
    regionsLength: u32(36, 'bytes of the mask'),
    label: u64(40),
  },
})

/** Bytes of one mask of a replica. */
export function maskBytes(blocks: number, blockBytes: number): number {
  return Math.ceil(Math.ceil((blocks * blockBytes) / limits.regionBytes) / 8)
}

/** The most that the masks of a replica take. */
export function masksBytes(blocks: number, blockBytes: number): number {
  const one = maskBytes(blocks, blockBytes)
  return masksHeader.sizeBytes + one + limits.lackingReplicas * (lacksHeader.sizeBytes + one)
}

export function encodeMasks({ inSync, lacks, inSyncGeneration }: MaskSet): Buffer {
  const header = {
    inSyncGeneration: BigInt(inSyncGeneration),
    inSyncLength: inSync.length,
    lacks: lacks.length,
  }
  const parts = lacks.flatMap(({ serverId, label, regions }) => [
    lacksHeader.build({
      serverId: Buffer.from(serverId.padEnd(serverIdBytes), 'latin1'),
      regionsLength: regions.length,
      label: BigInt(label),
    }),
    regions,
  ])
  return Buffer.concat([masksHeader.build(header), inSync, ...parts])
}

/** The masks are views. `most`: bytes of one mask at most. */
export function decodeMasks(buffer: Buffer, most: number): MaskSet | undefined {
  if (buffer.length < masksHeader.sizeBytes) return undefined
  const header = masksHeader.decode(buffer)
  const inSyncGeneration = asGeneration(header.inSyncGeneration)
  if (inSyncGeneration === undefined || header.inSyncLength > most) return undefined
  if (header.lacks > limits.lackingReplicas) return undefined
  let at = masksHeader.sizeBytes
  const inSync = buffer.subarray(at, at + header.inSyncLength)
  at += header.inSyncLength
  const lacks: LackedRegions[] = []
  for (let i = 0; i < header.lacks; i++) {
    const one = decodeLacks(buffer, at, most)
    if (one === undefined) return undefined
    lacks.push(one)
    at += lacksHeader.sizeBytes + one.regions.length
  }
  return at === buffer.length ? { inSync, lacks, inSyncGeneration } : undefined
}

function decodeLacks(buffer: Buffer, at: number, most: number): LackedRegions | undefined {
  const start = at + lacksHeader.sizeBytes
  if (start > buffer.length) return undefined
  const { serverId, regionsLength, label } = lacksHeader.decode(buffer, at)
  const known = asGeneration(label)
  const id = asServerId(serverId)
  if (known === undefined || id === undefined) return undefined
  if (regionsLength > most || start + regionsLength > buffer.length) return undefined
  return { serverId: id, label: known, regions: buffer.subarray(start, start + regionsLength) }
}

const clearHeader = layout({
  name: 'CLEAR REGIONS parameter list',
  cite: 'SPC-4 4.2.5.1',
  sizeBytes: 8,
  fields: {
    inSync: bit(0, 7, 'of the in-sync mask'),
    lacks: u8(1, 'servers of whose masks'),
    regions: u32(4),
  },
  reserved: [reservedBits(0, 6, 0), reserved(2, 2)],
})

export interface Clearing {
  readonly regions: readonly number[]
  readonly of: ClearWhat
}

/** The largest parameter list of CLEAR REGIONS: small enough to be immediate data. */
export const clearBytes =
  clearHeader.sizeBytes + limits.lackingReplicas * serverIdBytes + limits.clearedRegions * 4

export function encodeClearing({ regions, of: { inSync, lacks } }: Clearing): Buffer {
  const header = clearHeader.build({ inSync, lacks: lacks.length, regions: regions.length })
  const ids = lacks.map((serverId) => Buffer.from(serverId.padEnd(serverIdBytes), 'latin1'))
  const list = Buffer.alloc(regions.length * 4)
  for (const [index, region] of regions.entries()) list.writeUInt32BE(region, index * 4)
  return Buffer.concat([header, ...ids, list])
}

/** `most`: regions of the replica. */
export function decodeClearing(buffer: Buffer, most: number): Clearing | undefined {
  if (buffer.length < clearHeader.sizeBytes) return undefined
  const header = clearHeader.decode(buffer)
  if (header.lacks > limits.lackingReplicas || header.regions > limits.clearedRegions) {
    return undefined
  }
  const listAt = clearHeader.sizeBytes + header.lacks * serverIdBytes
  if (buffer.length !== listAt + header.regions * 4) return undefined
  const lacks: string[] = []
  for (let at = clearHeader.sizeBytes; at < listAt; at += serverIdBytes) {
    const id = asServerId(buffer.subarray(at, at + serverIdBytes))
    if (id === undefined) return undefined
    lacks.push(id)
  }
  const regions: number[] = []
  for (let at = listAt; at < buffer.length; at += 4) regions.push(buffer.readUInt32BE(at))
  if (regions.some((region) => region >= most)) return undefined
  return { regions, of: { inSync: header.inSync, lacks } }
}

function asGeneration(wide: bigint): Generation | undefined {
  return wide <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(wide) : undefined
}

function asServerId(field: Buffer): string | undefined {
  const text = field.toString('latin1')
  return serverIdPattern.test(text) ? text : undefined
}

/**
 * The pages of a mask file, as bytes. A page is one sector, so that a loss of power leaves the old
 * one or the new one and never a part of both; it says whose it is and where it belongs, so that
 * what a disk put in the wrong place, or let rot, is recognised.
 *
 *    0  "PLMK"    4  CRC32C of bytes 8 to 512    8  format (2)    10  kind (1)    11  slot (1)
 *   12  index (4)    16  identity of the segment (16)    32  contents
 *
 * Contents of a page of bits: the bits of `regionsPerPage` regions of the mask in that slot. Of a
 * head, of which there are two copies (the slot says which):
 *
 *   32  sequence (8)    40  length of the replica in bytes (8)    48  bytes of a region (4)
 *   56  for each lacks slot: identity of the server (16, zeros: free), label (8)
 */
import { assert } from '../../src/base/assert.ts'
import { crc32c } from '../../src/base/crc32c.ts'
import { StorageError } from '../../src/base/errors.ts'
import { mirror } from '../../src/base/limits.ts'
import { asGeneration, type Generation } from '../../src/volume/generation.ts'

export const maskPageBytes = 512
const contentsAt = 32
export const pageBitsBytes = maskPageBytes - contentsAt
export const regionsPerPage = pageBitsBytes * 8
/** Slot 0 is the in-sync mask; a map names fewer other replicas than there are lacks slots. */
export const inSyncSlot = 0
export const lacksSlots = 8
export const slots = 1 + lacksSlots

const magic = Buffer.from('PLMK')
const format = 1
const kinds = { head: 1, bits: 2 } as const
const slotsAt = 56
const slotBytes = 24

export interface PagePlace {
  readonly kind: keyof typeof kinds
  /** The mask of a page of bits; the copy of a head. */
  readonly slot: number
  readonly index: number
}

export interface MaskHead {
  readonly sequence: number
  /** Of the replica. Zeros in pages of masks of regions beyond are no damage. */
  readonly bytes: number
  readonly owners: readonly SlotOwner[]
}

export interface SlotOwner {
  readonly slot: number
  readonly serverId: string
  readonly label: Generation
}

/** Regions of a replica of this length; the last one may be short. */
export function regionsIn(bytes: number): number {
  return Math.ceil(bytes / mirror.regionBytes)
}

/** Pages of each of its masks. */
export function pagesIn(bytes: number): number {
  return Math.ceil(regionsIn(bytes) / regionsPerPage)
}

export type PageContents = Buffer | 'blank' | 'damaged'

export function encodePage(segmentId: string, place: PagePlace, contents: Buffer): Buffer {
  assert(contents.length <= pageBitsBytes, 'the contents fit a page')
  const page = Buffer.alloc(maskPageBytes)
  magic.copy(page)
  page.writeUInt16BE(format, 8)
  page.writeUInt8(kinds[place.kind], 10)
  page.writeUInt8(place.slot, 11)
  page.writeUInt32BE(place.index, 12)
  uuidBytes(segmentId).copy(page, 16)
  contents.copy(page, contentsAt)
  page.writeUInt32BE(crc32c([page.subarray(8)]), 4)
  return page
}

/** Contents of the page that is at this place; a newer format is told apart from damage. */
export function decodePage(segmentId: string, place: PagePlace, page: Buffer): PageContents {
  if (page.every((byte) => byte === 0)) return 'blank'
  if (!page.subarray(0, 4).equals(magic)) return 'damaged'
  if (page.readUInt32BE(4) !== crc32c([page.subarray(8)])) return 'damaged'
  const found = page.readUInt16BE(8)
  if (found !== format) {
    const why = `masks of format ${found}, this program knows ${format}`
    throw new StorageError('wrong-version', `${why}: use the palisade version that made them`)
  }
  const here =
    page.readUInt8(10) === kinds[place.kind] &&
    page.readUInt8(11) === place.slot &&
    page.readUInt32BE(12) === place.index &&
    page.subarray(16, 32).equals(uuidBytes(segmentId))
  return here ? page.subarray(contentsAt) : 'damaged'
}

export function encodeHead(head: MaskHead): Buffer {
  const contents = Buffer.alloc(pageBitsBytes)
  contents.writeBigUInt64BE(BigInt(head.sequence), 0)
  contents.writeBigUInt64BE(BigInt(head.bytes), 8)
  contents.writeUInt32BE(mirror.regionBytes, 16)
  for (const { slot, serverId, label } of head.owners) {
    const at = slotsAt - contentsAt + (slot - 1) * slotBytes
    uuidBytes(serverId).copy(contents, at)
    contents.writeBigUInt64BE(BigInt(label), at + 16)
  }
  return contents
}

export function decodeHead(contents: Buffer): MaskHead {
  const regionBytes = contents.readUInt32BE(16)
  if (regionBytes !== mirror.regionBytes) {
    const why = `masks with regions of ${regionBytes} bytes, this program has ${mirror.regionBytes}`
    throw new StorageError('wrong-version', `${why}: use the palisade version that made them`)
  }
  const owners: SlotOwner[] = []
  for (let slot = 1; slot <= lacksSlots; slot++) {
    const at = slotsAt - contentsAt + (slot - 1) * slotBytes
    const identity = contents.subarray(at, at + 16)
    if (identity.every((byte) => byte === 0)) continue
    const label = asGeneration(Number(contents.readBigUInt64BE(at + 16)))
    owners.push({ slot, serverId: uuidText(identity), label })
  }
  return {
    sequence: Number(contents.readBigUInt64BE(0)),
    bytes: Number(contents.readBigUInt64BE(8)),
    owners,
  }
}

function uuidBytes(uuid: string): Buffer {
  const bytes = Buffer.from(uuid.replaceAll('-', ''), 'hex')
  assert(bytes.length === 16, `"${uuid}" is no UUID`)
  return bytes
}

function uuidText(bytes: Buffer): string {
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

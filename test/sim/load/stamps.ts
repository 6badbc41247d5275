/**
 * What the simulated initiators write: each sector says which volume and block it belongs to and
 * which operation wrote it, over and over, so that a torn or a misplaced one shows itself.
 */
export const sectorBytes = 512
/** In the place of the block's number where one pattern goes to several blocks. */
const anyBlock = 0xffff_ffff

export interface Stamp {
  readonly volume: number
  readonly lba: number
  readonly operation: number
}

/** `operation` 0 is what nobody wrote: zeros. */
export function stampedSector({ volume, lba, operation }: Stamp): Buffer {
  const sector = Buffer.alloc(sectorBytes)
  if (operation === 0) return sector
  for (let at = 0; at < sectorBytes; at += 16) {
    sector.writeUInt32BE(0x50414c53, at)
    sector.writeUInt32BE(volume, at + 4)
    sector.writeUInt32BE(lba, at + 8)
    sector.writeUInt32BE(operation, at + 12)
  }
  return sector
}

export function stampedBlocks(stamp: Stamp, blocks: number): Buffer {
  const { volume, lba, operation } = stamp
  const sectors = Array.from({ length: blocks }, (_, i) =>
    stampedSector({ volume, lba: lba + i, operation }),
  )
  return Buffer.concat(sectors)
}

/** The pattern of WRITE SAME. */
export function sameStamp(volume: number, operation: number): Buffer {
  return stampedSector({ volume, lba: anyBlock, operation })
}

/** The operation that wrote the sector; a text says what is wrong with it. */
export function readStamp(sector: Buffer, volume: number, lba: number): number | string {
  const first = sector.subarray(0, 16)
  for (let at = 16; at < sectorBytes; at += 16) {
    if (sector.compare(first, 0, 16, at, at + 16) !== 0) return 'holds parts of several writes'
  }
  if (first.readUInt32BE(0) === 0 && first.readUInt32BE(12) === 0) return 0
  if (first.readUInt32BE(0) !== 0x50414c53) return 'holds what nobody wrote'
  if (first.readUInt32BE(4) !== volume) return `is of volume ${first.readUInt32BE(4)}`
  const at = first.readUInt32BE(8)
  if (at !== anyBlock && at !== lba) return `is of block ${at}`
  return first.readUInt32BE(12)
}

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

const recordBytes = 16

/** `operation` 0 is what nobody wrote: zeros. */
export function stampedSector(stamp: Stamp): Buffer {
  return stampedBlocks(stamp, 1)
}

export function stampedBlocks({ volume, lba, operation }: Stamp, blocks: number): Buffer {
  const sectors = Buffer.alloc(blocks * sectorBytes)
  if (operation === 0) return sectors
  for (let at = 0, block = lba; at < sectors.length; at += sectorBytes, block++) {
    sectors.writeUInt32BE(0x50414c53, at)
    sectors.writeUInt32BE(volume, at + 4)
    sectors.writeUInt32BE(block, at + 8)
    sectors.writeUInt32BE(operation, at + 12)
    for (let done = recordBytes; done < sectorBytes; done *= 2) {
      sectors.copyWithin(at + done, at, at + done)
    }
  }
  return sectors
}

/** The pattern of WRITE SAME. */
export function sameStamp(volume: number, operation: number): Buffer {
  return stampedSector({ volume, lba: anyBlock, operation })
}

/** The operation that wrote the sector; a text says what is wrong with it. */
export function readStamp(sector: Buffer, volume: number, lba: number): number | string {
  const first = sector.subarray(0, recordBytes)
  const rest = sectorBytes - recordBytes
  if (sector.compare(sector, 0, rest, recordBytes, sectorBytes) !== 0) {
    return 'holds parts of several writes'
  }
  if (first.readUInt32BE(0) === 0 && first.readUInt32BE(12) === 0) return 0
  if (first.readUInt32BE(0) !== 0x50414c53) return 'holds what nobody wrote'
  if (first.readUInt32BE(4) !== volume) return `is of volume ${first.readUInt32BE(4)}`
  const at = first.readUInt32BE(8)
  if (at !== anyBlock && at !== lba) return `is of block ${at}`
  return first.readUInt32BE(12)
}

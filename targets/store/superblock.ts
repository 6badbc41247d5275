/**
 * The superblock: what a disk is, in one sector that is written twice in its life. Until it says
 * `complete` nothing on the disk was ever acknowledged, and creation starts over.
 *
 *    0  "PALISADE"        8  format          12  CRC32C of bytes 16 to 64
 *   16  1 creating, 2 complete    20  page size in bytes    24  identity, 16 bytes
 */
import { crc32c } from '../../src/base/crc32c.ts'
import { StorageError } from '../../src/base/errors.ts'
import type { BlockFile } from '../../src/ports/block-file.ts'

const magic = Buffer.from('PALISADE')
const format = 1
const usedBytes = 64
const sectorBytes = 512
const phases = { creating: 1, complete: 2 } as const

export const superblockName = 'superblock'

export interface Superblock {
  readonly phase: keyof typeof phases
  readonly pageBytes: number
  /** A UUID. */
  readonly identity: string
}

export async function writeSuperblock(file: BlockFile, superblock: Superblock): Promise<void> {
  const bytes = Buffer.alloc(sectorBytes)
  magic.copy(bytes)
  bytes.writeUInt32BE(format, 8)
  bytes.writeUInt32BE(phases[superblock.phase], 16)
  bytes.writeUInt32BE(superblock.pageBytes, 20)
  Buffer.from(superblock.identity.replaceAll('-', ''), 'hex').copy(bytes, 24)
  bytes.writeUInt32BE(crc32c([bytes.subarray(16, usedBytes)]), 12)
  await file.write([bytes], 0)
  await file.flush()
}

/** Undefined where nothing was ever written. */
export async function readSuperblock(file: BlockFile): Promise<Superblock | undefined> {
  const bytes = Buffer.alloc(sectorBytes)
  if (file.sizeBytes < sectorBytes) {
    if (file.sizeBytes === 0) return undefined
    throw damaged(`is ${file.sizeBytes} bytes long`)
  }
  await file.read(bytes, 0)
  if (bytes.every((byte) => byte === 0)) return undefined
  if (!bytes.subarray(0, 8).equals(magic)) throw damaged('does not begin with "PALISADE"')
  const found = bytes.readUInt32BE(8)
  if (found !== format) {
    const why = `the page store is of format ${found}, this program knows ${format}`
    throw new StorageError('wrong-version', `${why}: use the palisade version that made it`)
  }
  if (crc32c([bytes.subarray(16, usedBytes)]) !== bytes.readUInt32BE(12)) {
    throw damaged('has a wrong checksum')
  }
  const hex = bytes.toString('hex', 24, 40)
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)]
  return {
    phase: bytes.readUInt32BE(16) === phases.complete ? 'complete' : 'creating',
    pageBytes: bytes.readUInt32BE(20),
    identity: [...parts, hex.slice(20)].join('-'),
  }
}

function damaged(why: string): StorageError {
  const advice = 'no page store, or a damaged one; restore it, or give an empty directory'
  return new StorageError('not-a-store', `the superblock ${why}: ${advice}`)
}

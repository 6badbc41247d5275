/** Checks a range of blocks against a replica: the last guard before bytes are touched. */
import { assert } from '../../src/base/assert.ts'
import { StorageError } from '../../src/base/errors.ts'

export function checkRange(lba: number, blocks: number, size: number): void {
  // Written so that NaN fails.
  if (lba >= 0 && blocks >= 0 && lba + blocks <= size) return
  throw new StorageError('invalid', `blocks ${lba} to ${lba + blocks} of a disk of ${size}`)
}

export function blocksOf(data: readonly Uint8Array[], blockBytes: number): number {
  let bytes = 0
  for (const buffer of data) bytes += buffer.length
  assert(bytes % blockBytes === 0, 'a write is whole blocks')
  return bytes / blockBytes
}

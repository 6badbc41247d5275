/** The hash functions of CHAP from OpenSSL. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { ChapHashes } from '../ports/chap-hashes.ts'

export const nodeChapHashes: ChapHashes = {
  digest: (hash, parts) => {
    const made = createHash(hash)
    for (const part of parts) made.update(part)
    return made.digest()
  },
  equal: (left, right) => left.length === right.length && timingSafeEqual(left, right),
}

/** SHA-256 in the turn of the call: a test's clock need not wait for the thread pool. */
import { createHash } from 'node:crypto'
import type { Digest } from '../../src/ports/digest.ts'

export const directDigest: Digest = {
  async sha256(parts) {
    const made = createHash('sha256')
    for (const part of parts) made.update(part)
    return made.digest()
  },
}

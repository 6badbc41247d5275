/**
 * SHA-256 from OpenSSL. A page of 64 KiB takes 60 us where the processor knows the algorithm and
 * several times that where it does not. In the thread pool half of that, and there all of it, is
 * taken from the event loop; small contents are done sooner than handed over.
 */
import { createHash, webcrypto } from 'node:crypto'
import { digestInPoolBytes } from '../base/limits.ts'
import type { Digest } from '../ports/digest.ts'

export const nodeDigest: Digest = {
  async sha256(parts) {
    const [first] = parts
    const whole = parts.length === 1 && first !== undefined ? first : undefined
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    if (bytes >= digestInPoolBytes) {
      return Buffer.from(await webcrypto.subtle.digest('SHA-256', whole ?? Buffer.concat(parts)))
    }
    const made = createHash('sha256')
    for (const part of parts) made.update(part)
    return made.digest()
  },
}

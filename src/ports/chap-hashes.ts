/** The hash functions of CHAP, and comparing secrets without telling where they differ. */

export type ChapHash = 'md5' | 'sha1' | 'sha256' | 'sha3-256'

export interface ChapHashes {
  /** The digest of the parts, one after the other. */
  digest(hash: ChapHash, parts: readonly Uint8Array[]): Buffer
  /** Takes as long whatever the contents; buffers of different lengths are not equal. */
  equal(left: Uint8Array, right: Uint8Array): boolean
}

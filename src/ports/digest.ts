/** Digests of content that two servers compare without sending it. Not for secrets. */
export interface Digest {
  /** SHA-256 of the parts, one after the other; they are borrowed until it resolves. */
  sha256(parts: readonly Buffer[]): Promise<Buffer>
}

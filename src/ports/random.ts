/** Chance as a parameter: the operating system's in the real world, a seed in a simulation. */
export interface Random {
  bytes(count: number): Buffer
  /** A whole number, 0 <= n < limit <= 2^32. */
  below(limit: number): number
  /** A random UUID (RFC 9562 version 4), lower case. */
  uuid(): string
}

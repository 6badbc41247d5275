/**
 * Serial numbers of 32 bits that wrap around: CmdSN, StatSN, DataSN, R2TSN. RFC 1982, as RFC 7143
 * 4.2.2.1 asks for. Pure arithmetic; no one's state.
 */

/** `a + n` modulo 2^32; `n` may be negative. */
export function serialAdd(a: number, n: number): number {
  return (a + n) >>> 0
}

/** How far `b` is ahead of `a`: negative when it is behind. Undefined order at distance 2^31. */
export function serialDistance(a: number, b: number): number {
  return (b - a) | 0
}

export function serialLess(a: number, b: number): boolean {
  return serialDistance(a, b) > 0
}

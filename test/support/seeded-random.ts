/** Chance from a seed: the same seed gives the same run. Not for secrets. */
import type { Random } from '../../src/ports/random.ts'

/** 32 bits at a time; splitmix32. */
function seededWords(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }
}

/** Numbers with 0 <= n < 1. */
export function seededFractions(seed: number): () => number {
  const next = seededWords(seed)
  return () => next() / 2 ** 32
}

/** The Random port. */
export function seededRandom(seed: number): Random {
  const next = seededWords(seed)
  const bytes = (count: number) => Buffer.from(Array.from({ length: count }, () => next() & 0xff))
  return {
    bytes,
    below: (limit) => Math.floor((next() / 2 ** 32) * limit),
    uuid() {
      const raw = bytes(16)
      raw[6] = (raw[6]! & 0x0f) | 0x40
      raw[8] = (raw[8]! & 0x3f) | 0x80
      return raw.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
    },
  }
}

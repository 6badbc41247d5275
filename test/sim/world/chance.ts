/**
 * All chance of a simulation: streams of numbers that grow from one seed. Each part takes a stream
 * of its own, by name, so that what one part draws does not move what the others get.
 */
import type { Random } from '../../../src/ports/random.ts'

export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A stream of its own, fixed by this one's seed and the name. */
  fork(name: string): Chance {
    let hash = this.#state ^ 0x811c9dc5
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
    const fork = new Chance(hash)
    fork.word()
    return fork
  }

  /** 32 bits; splitmix32. */
  word(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0
    let z = this.#state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }

  /** 0 <= n < 1. */
  fraction(): number {
    return this.word() / 2 ** 32
  }

  /** A whole number, 0 <= n < limit. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit)
  }

  /** A number, low <= n < high. */
  between(low: number, high: number): number {
    return low + this.fraction() * (high - low)
  }

  /** Short ones often, long ones seldom. */
  skewed(low: number, high: number): number {
    return low * (high / low) ** this.fraction()
  }

  happens(probability: number): boolean {
    return this.fraction() < probability
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!
  }

  /** Each with the same probability. */
  some<T>(list: readonly T[], probability = 0.5): T[] {
    return list.filter(() => this.happens(probability))
  }

  shuffled<T>(list: readonly T[]): T[] {
    const left = [...list]
    const shuffled: T[] = []
    while (left.length > 0) shuffled.push(...left.splice(this.below(left.length), 1))
    return shuffled
  }

  /** The port, as programs take it. */
  get port(): Random {
    const bytes = (count: number): Buffer => {
      const drawn = Buffer.alloc(count)
      for (let i = 0; i < count; i++) drawn[i] = this.word() & 0xff
      return drawn
    }
    return {
      bytes,
      below: (limit) => this.below(limit),
      uuid: () => {
        const raw = bytes(16)
        raw[6] = (raw[6]! & 0x0f) | 0x40
        raw[8] = (raw[8]! & 0x3f) | 0x80
        return raw.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
      },
    }
  }
}

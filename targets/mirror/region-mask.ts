/**
 * A set of regions of one replica: one bit for each, region 0 is bit 0 of byte 0. Counts are kept,
 * not computed. It knows no files and no meaning of its bits (design: masks).
 */
import { assert } from '../../src/base/assert.ts'

/** What readers of a mask that others own may ask of it. */
export interface RegionView {
  readonly regions: number
  /** Set bits. */
  readonly count: number
  has(region: number): boolean
  /** Every one of the range is set. */
  hasAll(firstRegion: number, endRegion: number): boolean
  /** The set ones, growing. The mask may be changed between two of them. */
  [Symbol.iterator](): Iterator<number>
  toBuffer(): Buffer
}

export class RegionMask implements RegionView {
  #regions: number
  #bytes: Buffer
  #count = 0

  constructor(regions: number) {
    this.#regions = regions
    this.#bytes = Buffer.alloc(bytesFor(regions))
  }

  /** Missing bits are clear; those past the end are left out. The buffer is copied. */
  static fromBuffer(buffer: Uint8Array, regions: number): RegionMask {
    const mask = new RegionMask(regions)
    mask.union(buffer)
    return mask
  }

  get regions(): number {
    return this.#regions
  }

  get count(): number {
    return this.#count
  }

  has(region: number): boolean {
    return ((this.#bytes[region >>> 3] ?? 0) & (1 << (region & 7))) !== 0
  }

  hasAll(firstRegion: number, endRegion: number): boolean {
    for (let region = firstRegion; region < endRegion; region++) {
      if (!this.has(region)) return false
    }
    return true
  }

  set(region: number): void {
    assert(region >= 0 && region < this.#regions, `region ${region} of ${this.#regions}`)
    if (this.has(region)) return
    this.#bytes[region >>> 3]! |= 1 << (region & 7)
    this.#count += 1
  }

  setRange(firstRegion: number, endRegion: number): void {
    for (let region = firstRegion; region < endRegion; region++) this.set(region)
  }

  clear(region: number): void {
    if (!this.has(region)) return
    this.#bytes[region >>> 3]! &= ~(1 << (region & 7))
    this.#count -= 1
  }

  union(other: RegionView | Uint8Array): void {
    const bytes = other instanceof Uint8Array ? other : other.toBuffer()
    const end = Math.min(this.#bytes.length, bytes.length)
    for (let at = 0; at < end; at++) this.#put(at, this.#bytes[at]! | bytes[at]!)
  }

  /** The bits of some bytes; past the end there are none. */
  bytes(firstByte: number, count: number): Buffer {
    const part = Buffer.alloc(count)
    this.#bytes.copy(part, 0, firstByte, firstByte + count)
    return part
  }

  replaceBytes(firstByte: number, bytes: Uint8Array): void {
    const end = Math.min(this.#bytes.length, firstByte + bytes.length)
    for (let at = firstByte; at < end; at++) this.#put(at, bytes[at - firstByte]!)
  }

  /** What is added is clear; what is cut off is forgotten. */
  resize(regions: number): void {
    const former = this.#bytes
    this.#regions = regions
    this.#bytes = Buffer.alloc(bytesFor(regions))
    this.#count = 0
    this.union(former)
  }

  *[Symbol.iterator](): Generator<number> {
    for (let at = 0; at < this.#bytes.length; at++) {
      if (this.#bytes[at] === 0) continue
      for (let bit = 0; bit < 8; bit++) if (this.has(at * 8 + bit)) yield at * 8 + bit
    }
  }

  toBuffer(): Buffer {
    return Buffer.from(this.#bytes)
  }

  #put(at: number, byte: number): void {
    const tail = this.#regions - at * 8
    const inside = tail < 8 ? byte & ((1 << tail) - 1) : byte
    this.#count += bitsIn(inside) - bitsIn(this.#bytes[at]!)
    this.#bytes[at] = inside
  }
}

function bytesFor(regions: number): number {
  assert(Number.isSafeInteger(regions) && regions >= 0, `${regions} is no number of regions`)
  return Math.ceil(regions / 8)
}

function bitsIn(byte: number): number {
  let count = 0
  for (let rest = byte; rest !== 0; rest &= rest - 1) count += 1
  return count
}

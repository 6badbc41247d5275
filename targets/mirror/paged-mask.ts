/**
 * One mask with what of it is surely on the disk: a bit is durable while every state in which a
 * crash may leave its page has it set. The pages that differ from the file are dirty. It owns both
 * sets of bits, and writes nothing itself.
 */
import type { BitsPage } from './mask-file.ts'
import { pageBitsBytes, regionsPerPage } from './mask-page.ts'
import { RegionMask, type RegionView } from './region-mask.ts'

export class PagedMask {
  readonly #bits: RegionMask
  readonly #durable: RegionMask
  readonly #dirty = new Set<number>()

  /** Nothing of it is known to be on the disk. */
  constructor(bits: RegionMask) {
    this.#bits = bits
    this.#durable = new RegionMask(bits.regions)
    this.#touch(0, this.pages)
  }

  get bits(): RegionView {
    return this.#bits
  }

  get pages(): number {
    return Math.ceil(this.#bits.regions / regionsPerPage)
  }

  get dirty(): boolean {
    return this.#dirty.size > 0
  }

  /** True when all of them are durably set already. */
  mark(firstRegion: number, endRegion: number): boolean {
    if (this.#durable.hasAll(firstRegion, endRegion)) {
      // One that was cleared, when the page without it is not written yet.
      this.#bits.setRange(firstRegion, endRegion)
      return true
    }
    this.#bits.setRange(firstRegion, endRegion)
    this.#touch(Math.floor(firstRegion / regionsPerPage), Math.ceil(endRegion / regionsPerPage))
    return false
  }

  add(regions: RegionView | Uint8Array): void {
    this.#bits.union(regions)
    this.#touch(0, this.pages)
  }

  /** A bit that is on its way to the disk stays: whoever set it was not answered yet. */
  clear(region: number): void {
    if (!this.#bits.has(region) || !this.#durable.has(region)) return
    this.#bits.clear(region)
    this.#dirty.add(Math.floor(region / regionsPerPage))
  }

  resize(regions: number): void {
    const former = this.pages
    this.#bits.resize(regions)
    this.#durable.resize(regions)
    for (const index of [...this.#dirty]) if (index >= this.pages) this.#dirty.delete(index)
    // The last one that stays may have had bits beyond the new end.
    this.#touch(Math.max(0, Math.min(former, this.pages) - 1), this.pages)
  }

  /** The dirty pages, as they are now; from this turn on they may be in the file. */
  takeDirty(slot: number): BitsPage[] {
    const pages = [...this.#dirty].map((index) => {
      const firstByte = index * pageBitsBytes
      const bits = this.#bits.bytes(firstByte, pageBitsBytes)
      const surely = this.#durable.bytes(firstByte, pageBitsBytes)
      this.#durable.replaceBytes(
        firstByte,
        surely.map((byte, at) => byte & bits[at]!),
      )
      return { slot, index, bits }
    })
    this.#dirty.clear()
    return pages
  }

  /** These pages, the last ones that were taken, have been flushed. */
  flushed(pages: readonly BitsPage[]): void {
    for (const { index, bits } of pages) this.#durable.replaceBytes(index * pageBitsBytes, bits)
  }

  #touch(firstPage: number, endPage: number): void {
    for (let index = firstPage; index < endPage; index++) this.#dirty.add(index)
  }
}

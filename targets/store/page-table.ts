/**
 * Where the pages of one replica are: logical page -> physical page, in chunks that exist only
 * where something is mapped. An entry is the physical page + 1; 0 is a hole. The highest entry is
 * kept free for layers: a page that reads as zeros whatever an older layer holds.
 */
import { assert } from '../../src/base/assert.ts'

export const chunkPages = 1024
export const chunkBytes = chunkPages * 4
const zeroedEntry = 0xffff_ffff

export class PageTable {
  readonly #chunks: (Uint32Array | undefined)[] = []
  #mappedPages = 0

  get mappedPages(): number {
    return this.#mappedPages
  }

  /** The physical page, or undefined for a hole. */
  get(page: number): number | undefined {
    const entry = this.#chunks[Math.floor(page / chunkPages)]?.[page % chunkPages]
    return entry === undefined || entry === 0 ? undefined : entry - 1
  }

  set(page: number, physical: number): void {
    assert(physical < zeroedEntry - 1, 'a physical page that an entry can hold')
    const index = Math.floor(page / chunkPages)
    let chunk = this.#chunks[index]
    if (chunk === undefined) {
      chunk = new Uint32Array(chunkPages)
      this.#chunks[index] = chunk
    }
    if (chunk[page % chunkPages] === 0) this.#mappedPages++
    chunk[page % chunkPages] = physical + 1
  }

  /** Makes holes of a run of pages; answers the physical pages that were there. */
  clear(first: number, count: number): number[] {
    const freed: number[] = []
    this.#visit(first, first + count, (chunk, at) => {
      freed.push(chunk[at]! - 1)
      chunk[at] = 0
    })
    this.#mappedPages -= freed.length
    return freed
  }

  /** Whether any page of the run is mapped. */
  anyMapped(first: number, count: number): boolean {
    return this.#visit(first, first + count, () => true)
  }

  /** The first page at or after `from`, and before `end`, that is mapped or not, as asked; or `end`. */
  next(from: number, end: number, mapped: boolean): number {
    let page = from
    while (page < end) {
      const chunk = this.#chunks[Math.floor(page / chunkPages)]
      if (chunk === undefined) {
        if (!mapped) return page
        page = (Math.floor(page / chunkPages) + 1) * chunkPages
      } else {
        if ((chunk[page % chunkPages] !== 0) === mapped) return page
        page++
      }
    }
    return end
  }

  physicalPages(): number[] {
    const all: number[] = []
    this.#visit(0, this.#chunks.length * chunkPages, (chunk, at) => {
      all.push(chunk[at]! - 1)
    })
    return all
  }

  chunk(index: number): Uint32Array | undefined {
    return this.#chunks[index]
  }

  /** Replaces a chunk, as it was stored. */
  load(index: number, stored: Buffer): void {
    const chunk = decodeChunk(stored)
    this.#chunks[index] = chunk
    for (const entry of chunk) if (entry !== 0) this.#mappedPages++
  }

  /** Calls for each mapped page until one answers true. */
  #visit(first: number, end: number, mapped: (chunk: Uint32Array, at: number) => unknown): boolean {
    for (let page = first; page < end; ) {
      const index = Math.floor(page / chunkPages)
      const chunk = this.#chunks[index]
      const stop = Math.min(end, (index + 1) * chunkPages)
      if (chunk !== undefined) {
        for (let at = page % chunkPages; at < stop - index * chunkPages; at++) {
          if (chunk[at] !== 0 && mapped(chunk, at) === true) return true
        }
      }
      page = stop
    }
    return false
  }
}

/** Stored little endian, which is what this program runs on (base/crc32c.ts asserts it). */
export function encodeChunk(chunk: Uint32Array): Buffer {
  return Buffer.from(chunk.slice().buffer)
}

export function decodeChunk(stored: Buffer): Uint32Array {
  assert(stored.length === chunkBytes, 'a chunk of a page table has one size')
  const chunk = new Uint32Array(chunkPages)
  new Uint8Array(chunk.buffer).set(stored)
  return chunk
}

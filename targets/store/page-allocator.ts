/**
 * Which physical pages are taken. A taken page is mapped, about to be mapped, or freed and not yet
 * to be handed out again (the store's flush decides when). Rebuilt from the page tables at start;
 * nothing of it is stored.
 */
import { assert } from '../../src/base/assert.ts'

export class PageAllocator {
  #capacityPages: number
  #freePages: number
  #taken: Uint32Array
  /** Next fit: what is written one after the other lies one after the other. */
  #cursor = 0
  #firstFit = false

  constructor(capacityPages: number) {
    this.#capacityPages = capacityPages
    this.#freePages = capacityPages
    this.#taken = new Uint32Array(Math.ceil(capacityPages / 32))
  }

  get capacityPages(): number {
    return this.#capacityPages
  }

  get freePages(): number {
    return this.#freePages
  }

  /** A free page, or undefined. */
  take(): number | undefined {
    if (this.#freePages === 0) return undefined
    let page = this.#cursor < this.#capacityPages ? this.#cursor : 0
    for (;;) {
      const word = this.#taken[page >>> 5]!
      if (page % 32 === 0 && word === 0xffff_ffff) page += 32
      else if ((word & (1 << (page % 32))) !== 0) page++
      else break
      if (page >= this.#capacityPages) page = 0
    }
    this.#mark(page)
    this.#cursor = page + 1
    return page
  }

  /** Takes a page that a table maps; false when it is taken already, or is none of this disk. */
  claim(page: number): boolean {
    if (page >= this.#capacityPages || this.#isTaken(page)) return false
    this.#mark(page)
    return true
  }

  /**
   * From now on the lowest free page comes first: the file cannot grow, and of what it has a place
   * for those at its beginning were taken before.
   */
  preferLowest(): void {
    if (this.#firstFit) return
    this.#firstFit = true
    this.#cursor = 0
  }

  release(pages: readonly number[]): void {
    for (const page of pages) {
      if (this.#firstFit && page < this.#cursor) this.#cursor = page
      assert(this.#isTaken(page), 'a released page was taken')
      this.#taken[page >>> 5]! &= ~(1 << (page % 32))
    }
    this.#freePages += pages.length
  }

  #isTaken(page: number): boolean {
    return (this.#taken[page >>> 5]! & (1 << (page % 32))) !== 0
  }

  #mark(page: number): void {
    this.#taken[page >>> 5]! |= 1 << (page % 32)
    this.#freePages--
  }
}

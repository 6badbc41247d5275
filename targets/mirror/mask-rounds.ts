/**
 * Brings the masks of one segment to their file, one round after the other: pages of bits, a flush,
 * and only then a head that vouches for them. What is asked for in one turn, and while a round is
 * under way, shares the next one. It owns the file and the places of the masks in it. A failure is
 * final.
 */
import { assert } from '../../src/base/assert.ts'
import { StorageError, toError } from '../../src/base/errors.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { BitsPage, MaskFile } from './mask-file.ts'
import { inSyncSlot, lacksSlots, pageBitsBytes, pagesIn, type SlotOwner } from './mask-page.ts'
import type { PagedMask } from './paged-mask.ts'

/** What is to be on the disk. */
export interface MaskTables {
  bytes: number
  readonly inSync: PagedMask
  readonly lacks: Map<string, LackedMask>
}

export interface LackedMask {
  readonly mask: PagedMask
  label: Generation
  /** Its place in the file; none while all places belong to masks that are being forgotten. */
  slot: number | undefined
}

interface Waiter {
  readonly done: () => void
  readonly failed: (error: StorageError) => void
}

interface Taken {
  readonly mask: PagedMask
  readonly pages: readonly BitsPage[]
}

export class MaskRounds {
  readonly #file: MaskFile
  readonly #tables: MaskTables
  /** Slots that a head in the file gives, or may give, to somebody. */
  #slotsInFile: ReadonlySet<number>
  /** Pages of each slot from which on nothing in the file counts. */
  #pagesInFile: number
  #headDirty = true
  #waiting: Waiter[] = []
  #pumping: Promise<void> | undefined
  #failure: StorageError | undefined

  constructor(file: MaskFile, tables: MaskTables) {
    this.#file = file
    this.#tables = tables
    this.#pagesInFile = pagesIn(file.head?.bytes ?? 0)
    this.#slotsInFile = new Set(file.head?.owners.map(({ slot }) => slot))
  }

  get failure(): StorageError | undefined {
    return this.#failure
  }

  /** Owners, labels or the length have changed. */
  touchHead(): void {
    this.#headDirty = true
    // Pages of a former, longer life are written anew before they count again.
    this.#pagesInFile = Math.min(this.#pagesInFile, pagesIn(this.#tables.bytes))
  }

  /** Resolves when all that the tables say now is on the disk. */
  durably(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((done, failed) => {
      this.#waiting.push({ done, failed })
      this.#pump()
    })
  }

  /** Writes what has changed, for nobody in particular. */
  lazily(): void {
    if (this.#failure === undefined) this.#pump()
  }

  async close(): Promise<void> {
    this.#failure ??= new StorageError('io-error', 'the region masks are closed')
    await this.#pumping
    await this.#file.close()
  }

  #pump(): void {
    this.#pumping ??= this.#writeAll()
  }

  /** Never rejects: a failure goes to everyone who waits, now and later. */
  async #writeAll(): Promise<void> {
    // Whatever else this turn asks for shares the first round.
    await Promise.resolve()
    while (this.#failure === undefined && this.#work) await this.#round()
    this.#pumping = undefined
    if (this.#failure === undefined) return
    for (const { failed } of this.#waiting.splice(0)) failed(this.#failure)
  }

  get #work(): boolean {
    if (this.#waiting.length > 0 || this.#headDirty || this.#tables.inSync.dirty) return true
    return [...this.#tables.lacks.values()].some(({ mask }) => mask.dirty)
  }

  async #round(): Promise<void> {
    const { placed, blank } = this.#place()
    // Who found no place waits for the head that gives some back.
    const waiting = placed ? this.#waiting.splice(0) : []
    const headDirty = this.#headDirty
    this.#headDirty = !placed
    const taken = this.#takeDirty()
    const head = headDirty ? { bytes: this.#tables.bytes, owners: this.#owners() } : undefined
    try {
      await this.#writePages(blank, taken, headDirty || waiting.length > 0)
      if (head !== undefined) await this.#writeHead(head)
    } catch (error) {
      this.#failure = failureOf(error)
      for (const { failed } of waiting) failed(this.#failure)
      return
    }
    for (const { done } of waiting) done()
  }

  async #writePages(blank: readonly BitsPage[], taken: Taken[], flush: boolean): Promise<void> {
    await this.#file.writeBits(blank)
    await this.#file.writeBits(taken.flatMap(({ pages }) => pages))
    // Nobody waits after a mere clear: every state of such a page has all bits that are durable.
    if (!flush) return
    await this.#file.flush()
    for (const { mask, pages } of taken) mask.flushed(pages)
  }

  async #writeHead(head: { bytes: number; owners: readonly SlotOwner[] }): Promise<void> {
    const slots = head.owners.map(({ slot }) => slot)
    this.#slotsInFile = new Set([...this.#slotsInFile, ...slots])
    await this.#file.writeHead(head)
    this.#slotsInFile = new Set(slots)
  }

  /** Gives new masks their slots, and says what else must be written before the pages count. */
  #place(): { placed: boolean; blank: BitsPage[] } {
    const lacks = [...this.#tables.lacks.values()]
    const used = new Set([...this.#slotsInFile, ...lacks.map(({ slot }) => slot)])
    const free: number[] = []
    for (let slot = 1; slot <= lacksSlots; slot++) if (!used.has(slot)) free.push(slot)
    for (const each of lacks) each.slot ??= free.shift()
    const placed = lacks.every(({ slot }) => slot !== undefined)
    assert(placed || this.#headDirty, 'only what is being forgotten keeps a mask from its place')
    return { placed, blank: this.#blankPages(free) }
  }

  /** The file has all of its pages, also those of slots that nobody has: a mark needs no space. */
  #blankPages(free: readonly number[]): BitsPage[] {
    const pages: BitsPage[] = []
    const end = pagesIn(this.#tables.bytes)
    for (let index = this.#pagesInFile; index < end; index++) {
      for (const slot of free) pages.push({ slot, index, bits: Buffer.alloc(pageBitsBytes) })
    }
    this.#pagesInFile = end
    return pages
  }

  #takeDirty(): Taken[] {
    const { inSync, lacks } = this.#tables
    const taken: Taken[] = [{ mask: inSync, pages: inSync.takeDirty(inSyncSlot) }]
    for (const { mask, slot } of lacks.values()) {
      if (slot !== undefined) taken.push({ mask, pages: mask.takeDirty(slot) })
    }
    return taken
  }

  #owners(): SlotOwner[] {
    const owners: SlotOwner[] = []
    for (const [serverId, { slot, label }] of this.#tables.lacks) {
      if (slot !== undefined) owners.push({ slot, serverId, label })
    }
    return owners
  }
}

function failureOf(thrown: unknown): StorageError {
  if (thrown instanceof StorageError && thrown.code === 'io-error') return thrown
  return new StorageError('io-error', `region masks: ${toError(thrown).message}`, thrown)
}

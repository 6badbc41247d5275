/**
 * Stamped writes, unmaps and flushes on a FencedDisk, many at once, with a witness who knows what
 * was promised. Several lanes share each page, so that pages are shared and blocks are not; one
 * lane has whole pages, which it fills and gives back, so that pages change their owner.
 */
import { BlockWitness } from './block-witness.ts'
import type { Ended, FencedDisk } from './server-under-test.ts'
import { stamped, stampsOf } from './store-machine.ts'

const pageBlocks = 128
const lanes = 8
const shareBlocks = pageBlocks / lanes
const sharedPages = 16
const wholePages = 4

export const loadBlocks = (sharedPages + wholePages) * pageBlocks

export interface LoadEvents {
  /** Called with each answer to a flush. */
  readonly flushed?: (how: string) => void
}

export class StampLoad {
  readonly witness = new BlockWitness(loadBlocks)
  readonly #random: () => number
  readonly #events: LoadEvents
  #stamp = 0
  acknowledged = 0
  #resting = false

  constructor(random: () => number, events: LoadEvents = {}) {
    this.#random = random
    this.#events = events
  }

  /** Runs until a command of each lane ends otherwise than good, or `rest`; never rejects for that. */
  async run(disk: FencedDisk): Promise<void> {
    this.#resting = false
    const shared = Array.from({ length: lanes }, (_, lane) => this.#lane(disk, lane))
    await Promise.all([...shared, this.#wholePages(disk)])
  }

  /** What runs ends with the commands that are under way. */
  rest(): void {
    this.#resting = true
  }

  /** Reads everything and says what is wrong with it; what was read is true from now on. */
  async check(disk: FencedDisk, after: 'kill' | 'crash'): Promise<string[]> {
    const stamps = await this.stamps(disk)
    const faults =
      after === 'kill' ? this.witness.afterKill(stamps) : this.witness.afterCrash(stamps)
    this.witness.settle(stamps)
    return faults
  }

  /** The stamp of every block; throws where a block is of two writes, or cannot be read. */
  async stamps(disk: FencedDisk): Promise<number[]> {
    const stamps: number[] = []
    for (let page = 0; page < sharedPages + wholePages; page++) {
      const { how, data } = await disk.read(page * pageBlocks, pageBlocks)
      if (how !== 'good') throw new Error(`page ${page} cannot be read: ${how}`)
      stamps.push(...stampsOf([data]))
    }
    return stamps
  }

  async #lane(disk: FencedDisk, lane: number): Promise<void> {
    for (;;) {
      const page = Math.floor(this.#random() * sharedPages)
      const offset = Math.floor(this.#random() * (shareBlocks - 1))
      const blocks = 1 + Math.floor(this.#random() * (shareBlocks - offset))
      const lba = page * pageBlocks + lane * shareBlocks + offset
      if (!(await this.#step(disk, lba, blocks))) return
    }
  }

  async #wholePages(disk: FencedDisk): Promise<void> {
    for (;;) {
      const page = sharedPages + Math.floor(this.#random() * wholePages)
      if (!(await this.#step(disk, page * pageBlocks, pageBlocks))) return
    }
  }

  async #step(disk: FencedDisk, lba: number, blocks: number): Promise<boolean> {
    if (this.#resting) return false
    const choice = this.#random()
    if (choice < 0.1) return this.#flush(disk)
    if (choice < 0.25) {
      const acknowledged = this.witness.writing(lba, blocks, 0)
      return this.#end(await disk.unmap(lba, blocks), acknowledged)
    }
    this.#stamp += 1
    const acknowledged = this.witness.writing(lba, blocks, this.#stamp)
    return this.#end(await disk.write(lba, stamped(this.#stamp, blocks)), acknowledged)
  }

  async #flush(disk: FencedDisk): Promise<boolean> {
    const acknowledged = this.witness.flushing()
    const ended = await disk.flush()
    this.#events.flushed?.(ended.how)
    return this.#end(ended, acknowledged)
  }

  #end({ how }: Ended, acknowledged: () => void): boolean {
    if (how !== 'good') return false
    this.acknowledged += 1
    acknowledged()
    return true
  }
}

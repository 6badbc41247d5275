/**
 * Remembers what was written to each block of a disk and what was promised, and judges what is read
 * after a crash: the last value that must be there, or one that was written after it, and nothing
 * else. Writes of one block come one after the other.
 */
interface Written {
  readonly stamp: number
  ackedAt: number
}

export class BlockWitness {
  readonly #blocks: Written[][]
  #time = 0
  #flushedAt = 0

  constructor(blocks: number) {
    this.#blocks = Array.from({ length: blocks }, () => [{ stamp: 0, ackedAt: -1 }])
  }

  get blocks(): number {
    return this.#blocks.length
  }

  /** A write (stamp 0: an unmap) begins; the answer is called when it was acknowledged. */
  writing(lba: number, blocks: number, stamp: number): () => void {
    this.#time++
    const begun = this.#blocks.slice(lba, lba + blocks).map((history) => {
      const written: Written = { stamp, ackedAt: Number.POSITIVE_INFINITY }
      history.push(written)
      return written
    })
    return () => {
      this.#time++
      for (const written of begun) written.ackedAt = this.#time
    }
  }

  /** The last write turned out to have done nothing. */
  refuse(): void {
    for (const history of this.#blocks) {
      if (history[history.length - 1]!.ackedAt === Number.POSITIVE_INFINITY) history.pop()
    }
  }

  /** New blocks read as zeros. */
  resize(blocks: number): void {
    while (this.#blocks.length > blocks) this.#blocks.pop()
    while (this.#blocks.length < blocks) this.#blocks.push([{ stamp: 0, ackedAt: -1 }])
  }

  /** A flush begins; the answer is called when it was acknowledged. */
  flushing(): () => void {
    const begunAt = ++this.#time
    return () => {
      this.#flushedAt = Math.max(this.#flushedAt, begunAt)
    }
  }

  /** The process died: all that was acknowledged must be there. */
  afterKill(stamps: readonly number[]): string[] {
    return this.#judge(stamps, Number.POSITIVE_INFINITY)
  }

  /** The machine died: all that was flushed must be there. */
  afterCrash(stamps: readonly number[]): string[] {
    return this.#judge(stamps, this.#flushedAt)
  }

  /** The value of each block, when nothing is under way. */
  current(): number[] {
    return this.#blocks.map((history) => history[history.length - 1]!.stamp)
  }

  /** Takes what was read as what is there and durable from now on. */
  settle(stamps: readonly number[]): void {
    this.#time = 0
    this.#flushedAt = 0
    stamps.forEach((stamp, block) => {
      this.#blocks[block] = [{ stamp, ackedAt: -1 }]
    })
  }

  /** What is wrong, in words; empty when all is well. */
  #judge(stamps: readonly number[], ackedBefore: number): string[] {
    const faults: string[] = []
    stamps.forEach((stamp, block) => {
      const history = this.#blocks[block]!
      const last = history.findLastIndex(({ ackedAt }) => ackedAt < ackedBefore)
      const allowed = history.slice(last).map((written) => written.stamp)
      if (!allowed.includes(stamp)) faults.push(`block ${block} is ${stamp}, may be ${allowed}`)
    })
    return faults
  }
}

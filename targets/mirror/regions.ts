/** The regions of one replica: which of them a range of blocks lies in, and what each consists of. */
import { mirror, pageBytes } from '../../src/base/limits.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'

export interface RegionRun {
  readonly firstRegion: number
  readonly endRegion: number
}

export class Regions {
  readonly #blocks: number
  readonly #blockBytes: number
  readonly #regionBlocks: number

  constructor({ blocks, blockBytes }: { readonly blocks: number; readonly blockBytes: number }) {
    this.#blocks = blocks
    this.#blockBytes = blockBytes
    this.#regionBlocks = mirror.regionBytes / blockBytes
  }

  get count(): number {
    return Math.ceil(this.#blocks / this.#regionBlocks)
  }

  /** The last one may be short. */
  extent(region: number): BlockExtent {
    const lba = region * this.#regionBlocks
    return { lba, blocks: Math.min(this.#regionBlocks, this.#blocks - lba) }
  }

  /** What of it is locked, compared and copied at once. */
  *pieces(region: number): Generator<BlockExtent> {
    const { lba, blocks } = this.extent(region)
    const most = mirror.copyPieceBytes / this.#blockBytes
    for (let done = 0; done < blocks; done += most) {
      yield { lba: lba + done, blocks: Math.min(most, blocks - done) }
    }
  }

  /** Pages of an extent that begins with one. */
  pages({ blocks }: BlockExtent): number {
    return Math.ceil((blocks * this.#blockBytes) / pageBytes)
  }

  bytes(region: number): number {
    return this.extent(region).blocks * this.#blockBytes
  }

  /** Those that a range lies in. */
  of({ lba, blocks }: BlockExtent): RegionRun {
    return {
      firstRegion: Math.floor(lba / this.#regionBlocks),
      endRegion: Math.ceil((lba + blocks) / this.#regionBlocks),
    }
  }
}

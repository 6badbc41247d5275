/**
 * Makes a part of another replica equal to the primary's: pages whose digests differ are written
 * there with the resync flag, and holes made holes, so that thin stays thin. Whoever calls holds
 * the range lock, exclusively for `copy`; it knows no masks.
 */
import { mirror, pageBytes } from '../../src/base/limits.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { ContentStore, PageDigests } from './digests.ts'
import { type Partner, type PartnerCall, PartnerFailure } from './partner.ts'

export interface RegionCopyOptions {
  /** The primary's own replica. */
  readonly store: ContentStore
  readonly digests: PageDigests
  /** In which everything is said to the partners. */
  readonly generation: Generation
}

export interface CopyCounts {
  /** Pages that differed. */
  readonly pages: number
  /** Of them, what was sent; holes are only told of. */
  readonly bytes: number
}

const nothingCopied: CopyCounts = { pages: 0, bytes: 0 }

export class RegionCopy {
  readonly #store: ContentStore
  readonly #digests: PageDigests
  readonly #call: PartnerCall

  constructor({ store, digests, generation }: RegionCopyOptions) {
    this.#store = store
    this.#digests = digests
    this.#call = { generation, resync: true }
  }

  /** Runs of whole pages that are not the same there, for each of the partners. */
  async differences(
    partners: readonly Partner[],
    extent: BlockExtent,
  ): Promise<readonly (readonly BlockExtent[])[]> {
    const [own, ...theirs] = await settled([
      this.#digests.of(this.#store, extent),
      ...partners.map((partner) => partner.digests(this.#call, extent.lba, extent.blocks)),
    ])
    return theirs.map((digests, i) => {
      if (digests.length === own!.length) return this.#runs(extent, own!, digests)
      const why = `${digests.length} digests of ${own!.length} pages`
      throw new PartnerFailure('failed', `${partners[i]!.serverId}: ${why}`)
    })
  }

  /** Afterwards the range is the same there. */
  async copy(partners: readonly Partner[], extent: BlockExtent): Promise<readonly CopyCounts[]> {
    const differences = await this.differences(partners, extent)
    return settled(
      partners.map((partner, i) => {
        const runs = differences[i]!
        return runs.length === 0 ? Promise.resolve(nothingCopied) : this.#send(partner, runs)
      }),
    )
  }

  #runs(extent: BlockExtent, own: readonly Buffer[], theirs: readonly Buffer[]): BlockExtent[] {
    const pageBlocks = this.#pageBlocks
    const end = extent.lba + extent.blocks
    const runs: { lba: number; blocks: number }[] = []
    for (const [i, digest] of own.entries()) {
      if (digest.equals(theirs[i]!)) continue
      const lba = extent.lba + i * pageBlocks
      const blocks = Math.min(pageBlocks, end - lba)
      const last = runs.at(-1)
      if (last !== undefined && last.lba + last.blocks === lba) last.blocks += blocks
      else runs.push({ lba, blocks })
    }
    return runs
  }

  async #send(partner: Partner, runs: readonly BlockExtent[]): Promise<CopyCounts> {
    const holes: BlockExtent[] = []
    let bytes = 0
    for (const run of runs) {
      const end = run.lba + run.blocks
      for (let at = run.lba; at < end; ) {
        const { mapped, blocks } = this.#store.run(at, end - at)
        if (!mapped) holes.push({ lba: at, blocks })
        else bytes += await this.#write(partner, { lba: at, blocks })
        at += blocks
      }
    }
    if (holes.length > 0) await partner.unmap(this.#call, holes)
    const blocks = runs.reduce((sum, run) => sum + run.blocks, 0)
    return { pages: Math.ceil(blocks / this.#pageBlocks), bytes }
  }

  async #write(partner: Partner, { lba, blocks }: BlockExtent): Promise<number> {
    const store = this.#store
    const most = mirror.copyPieceBytes / store.blockBytes
    for (let done = 0; done < blocks; done += most) {
      const data = await store.read(lba + done, Math.min(most, blocks - done))
      await partner.write(this.#call, lba + done, data)
      store.release?.(data)
    }
    return blocks * store.blockBytes
  }

  get #pageBlocks(): number {
    return pageBytes / this.#store.blockBytes
  }
}

/** Waits for all, then rejects with the first failure: nothing is left under way behind the lock. */
async function settled<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises)
  return Promise.all(promises)
}

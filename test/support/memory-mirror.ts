/**
 * A small primary of one segment over memory, for tests of what keeps copies equal: it has the rules
 * of the write path (range lock, mark and forward in one turn, keep a write until every in-sync
 * replica has it, clear after a flush) and nothing else. Replicas are MemoryPartners.
 */
import { createHash } from 'node:crypto'
import { mirror } from '../../src/base/limits.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Digest } from '../../src/ports/digest.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { BringUp } from '../../targets/mirror/bring-up.ts'
import type { Comparison } from '../../targets/mirror/comparison.ts'
import { PageDigests } from '../../targets/mirror/digests.ts'
import { MaskStore } from '../../targets/mirror/mask-store.ts'
import { PartnerFailure } from '../../targets/mirror/partner.ts'
import { RangeLocks } from '../../targets/mirror/range-locks.ts'
import { RegionActivity } from '../../targets/mirror/region-activity.ts'
import { RegionCopy } from '../../targets/mirror/region-copy.ts'
import { Regions } from '../../targets/mirror/regions.ts'
import type { SegmentMasks } from '../../targets/mirror/segment-masks.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryBlockFiles } from './memory-block-files.ts'
import type { MemoryPartner } from './memory-partner.ts'
import { MemoryReplica } from './memory-replica.ts'
import { quietLog } from './quiet-log.ts'
import { testUuid } from './volume-maps.ts'

/** Makes digests in the turn in which they are asked for, so that a seed replays. */
export const steadyDigest: Digest = {
  async sha256(parts) {
    const made = createHash('sha256')
    for (const part of parts) made.update(part)
    return made.digest()
  },
}

export const memoryBlockBytes = 4096
export const regionBlocks = mirror.regionBytes / memoryBlockBytes

export function memoryMasks(blocks: number): Promise<SegmentMasks> {
  const store = MaskStore.open({ files: new MemoryBlockFiles(), log: quietLog })
  return store.segment(testUuid(1), blocks, memoryBlockBytes)
}

export interface MemoryMirrorOptions {
  readonly blocks: number
  readonly masks: SegmentMasks
  readonly pause?: () => Promise<void>
  readonly clock?: Clock
}

export class MemoryMirror {
  readonly store: MemoryReplica
  readonly masks: SegmentMasks
  readonly regions: Regions
  readonly locks = new RangeLocks()
  readonly activity: RegionActivity
  readonly digests = new PageDigests(steadyDigest)
  generation: Generation = 1
  inSync: MemoryPartner[] = []
  behind: MemoryPartner[] = []
  bringUp: BringUp | undefined
  comparison: Comparison | undefined
  /** Blocks of writes that are not answered yet. */
  readonly inFlight = new Set<{ readonly lba: number; readonly blocks: number }>()
  /** Writes of clients that partners being brought up were sent. */
  forwarded = 0

  constructor({ blocks, masks, pause, clock = new ManualClock() }: MemoryMirrorOptions) {
    this.activity = new RegionActivity(clock)
    this.store = new MemoryReplica({
      blocks,
      blockBytes: memoryBlockBytes,
      ...(pause !== undefined && { pause }),
    })
    this.masks = masks
    this.regions = new Regions(this.store)
  }

  get copy(): RegionCopy {
    const { store, digests, generation } = this
    return new RegionCopy({ store, digests, generation })
  }

  write(lba: number, data: Buffer): Promise<void> {
    const blocks = data.length / memoryBlockBytes
    return this.#change(
      { lba, blocks },
      () => this.store.write(lba, [data]),
      (partner) => partner.write({ generation: this.generation }, lba, [data]),
    )
  }

  unmap(lba: number, blocks: number): Promise<void> {
    return this.#change(
      { lba, blocks },
      () => this.store.unmap(lba, blocks),
      (partner) => partner.unmap({ generation: this.generation }, [{ lba, blocks }]),
    )
  }

  /** Clears the marks of a region when everything in it is flushed wherever it was sent. */
  async clear(region: number): Promise<void> {
    const { lba, blocks } = this.regions.extent(region)
    const { bringUp, generation } = this
    const lacking = this.behind.filter(
      ({ serverId }) => bringUp?.serverId === serverId && bringUp.receivesWrites,
    )
    const release = await this.locks.write(lba, blocks)
    try {
      const sent = [...this.inSync, ...lacking]
      await this.store.flush()
      await Promise.all(sent.map((partner) => partner.flush({ generation })))
      if (this.comparison?.pending(region) === true) return
      const lacks =
        bringUp?.receivesWrites === true && !bringUp.pending(region) ? [bringUp.serverId] : []
      const what = { inSync: true, lacks }
      // In the turn in which that was decided: what is marked from now on stays.
      this.masks.clear([region], what)
      await Promise.all(sent.map((partner) => partner.clear({ generation }, [region], what)))
    } catch (error) {
      if (!(error instanceof PartnerFailure)) throw error
      for (const { serverId } of lacking) if (serverId === bringUp?.serverId) bringUp.failed()
    } finally {
      release?.()
    }
  }

  async #change(
    extent: { readonly lba: number; readonly blocks: number },
    local: () => Promise<void>,
    remote: (partner: MemoryPartner) => Promise<void>,
  ): Promise<void> {
    const { firstRegion, endRegion } = this.regions.of(extent)
    await this.comparison?.ensure(firstRegion, endRegion)
    const release = await this.locks.write(extent.lba, extent.blocks)
    this.inFlight.add(extent)
    // One turn: what is not sent is marked when bringing up begins.
    const lacking = this.behind.map(({ serverId }) => serverId)
    const marked = this.masks.mark(firstRegion, endRegion, lacking, this.inSync.length > 0)
    const sent = this.inSync.map((partner) => this.#untilDone(partner, remote))
    for (const partner of this.behind) {
      const { bringUp } = this
      if (bringUp?.serverId !== partner.serverId || !bringUp.receivesWrites) continue
      this.forwarded++
      sent.push(remote(partner).catch((error) => this.#lacks(error)))
    }
    const written = this.activity.begin(firstRegion, endRegion)
    await marked
    await Promise.all([local(), ...sent])
    written()
    this.inFlight.delete(extent)
    release?.()
  }

  async #untilDone(
    partner: MemoryPartner,
    remote: (partner: MemoryPartner) => Promise<void>,
  ): Promise<void> {
    for (;;) {
      try {
        return await remote(partner)
      } catch (error) {
        if (!(error instanceof PartnerFailure)) throw error
        if (!partner.up) await partner.changed()
      }
    }
  }

  #lacks(error: unknown): void {
    if (!(error instanceof PartnerFailure)) throw error
    this.bringUp?.failed()
  }

  /** Pages that read differently there, but for those of writes not answered yet. */
  differences(partner: MemoryPartner): number[] {
    const pageBlocks = 16
    const writing = [...this.inFlight]
    return this.store.differences(partner.store).filter((page) => {
      const lba = page * pageBlocks
      return !writing.some((one) => one.lba < lba + pageBlocks && lba < one.lba + one.blocks)
    })
  }
}

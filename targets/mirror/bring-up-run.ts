/**
 * One attempt to bring a replica up to date: it takes what may differ from the masks where they can
 * be trusted, compares and copies it region by region under the range lock, and ends with a flush
 * there. Any failure ends it, and the next attempt begins with what is marked then.
 *
 * From `receivesWrites` on the replica is sent every write. Who sends them decides that, and marks
 * what the replica lacks, in one turn: so a write is either in the mask when the attempt takes it, or
 * is sent.
 */

import { mirror } from '../../src/base/limits.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import type { Random } from '../../src/ports/random.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { ActivityView } from './clearing-choice.ts'
import { allocatedBytes, type ContentStore } from './digests.ts'
import { JobLocks } from './job-locks.ts'
import type { MaskSet } from './mask-set.ts'
import { type Partner, PartnerFailure } from './partner.ts'
import type { RangeLocks } from './range-locks.ts'
import type { RegionCopy } from './region-copy.ts'
import { RegionMask } from './region-mask.ts'
import type { Regions } from './regions.ts'
import { sampleRegions } from './sample.ts'
import type { SegmentMasks } from './segment-masks.ts'
import { costBytes, type Throttle } from './throttle.ts'

export interface BringUpRunOptions {
  readonly partner: Partner
  readonly generation: Generation
  /** This server's own replica. */
  readonly store: ContentStore
  readonly masks: Pick<
    SegmentMasks,
    'bytes' | 'bytesOf' | 'inSync' | 'lacks' | 'label' | 'snapshot' | 'mark'
  >
  /** Of clients' writes to this segment. */
  readonly activity: Pick<ActivityView, 'quietSince'>
  /** The other in-sync replicas. */
  readonly inSync: readonly Partner[]
  readonly regions: Regions
  readonly copy: RegionCopy
  readonly locks: RangeLocks
  readonly throttle: Throttle
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  /** Makes everything durable that this server acknowledged. */
  readonly flushOwn: () => Promise<void>
}

export interface BringUpHooks {
  readonly begun: () => void
  /** One region more; `copiedBytes` of its content were sent. */
  readonly copied: (region: number, copiedBytes: number) => void
}

const wasEnded = 'bringing up was ended'

export class BringUpRun {
  readonly #options: BringUpRunOptions
  readonly #locks: JobLocks
  readonly #hooks: BringUpHooks
  #pending: RegionMask | undefined
  #pendingBytes = 0
  #totalBytes = 0
  /** How it is done; undefined until that is known. */
  #kind: 'partial' | 'full' | undefined
  #ended = false

  constructor(options: BringUpRunOptions, hooks: BringUpHooks) {
    this.#options = options
    this.#locks = new JobLocks(options.locks)
    this.#hooks = hooks
  }

  get receivesWrites(): boolean {
    return this.#pending !== undefined && !this.#ended
  }

  /** It was sent writes once. */
  get begun(): boolean {
    return this.#pending !== undefined
  }

  get ended(): boolean {
    return this.#ended
  }

  get totalBytes(): number {
    return this.#totalBytes
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /**
   * What is lacked of the region may be there already, or is to stay marked all the same: in a full
   * comparison the masks say nothing of this replica, and shall not seem to.
   */
  pending(region: number): boolean {
    return this.#kind !== 'partial' || this.#pending === undefined || this.#pending.has(region)
  }

  /** Resolves when the replica has flushed everything; rejects with PartnerFailure or StorageError. */
  async run(): Promise<void> {
    const theirs = await this.#options.partner.masks(this.#call)
    this.#check()
    this.#begin(theirs)
    this.#hooks.begun()
    if (this.#kind === 'partial') await this.#compareSample()
    await this.#copyAll()
    await this.#finish()
  }

  /** It is sent nothing more from this turn on. */
  end(): void {
    this.#ended = true
    this.#locks.end()
  }

  get #call(): { readonly generation: Generation } {
    return { generation: this.#options.generation }
  }

  #check(): void {
    if (this.#ended) throw new PartnerFailure('lost', wasEnded)
  }

  /** In one turn: what is marked before is copied, what is written after is sent. */
  #begin(theirs: MaskSet): void {
    const { masks, partner, regions, log } = this.#options
    const label = masks.label(partner.serverId)
    const pending = new RegionMask(regions.count)
    if (label > 0 && label === theirs.inSyncGeneration) {
      this.#kind = 'partial'
      pending.union(theirs.inSync)
      pending.union(masks.lacks(partner.serverId) ?? Buffer.alloc(0))
    } else {
      this.#kind = 'full'
      pending.setRange(0, regions.count)
    }
    this.#setPending(pending)
    log.info('bringing a replica up to date', {
      serverId: partner.serverId,
      how: this.#kind,
      label,
      inSyncGeneration: theirs.inSyncGeneration,
      regions: pending.count,
    })
  }

  #setPending(pending: RegionMask): void {
    this.#pending = pending
    this.#pendingBytes = this.#options.masks.bytesOf(pending)
    this.#totalBytes = this.#pendingBytes
  }

  async #compareSample(): Promise<void> {
    const { regions, store, random } = this.#options
    const sample = sampleRegions({
      regions,
      store,
      random,
      without: this.#pending!,
      count: mirror.sampledRegions,
    })
    for (const region of sample) {
      if (await this.#sameThere(region)) continue
      await this.#distrustMasks(region)
      return
    }
  }

  /** From now on it lacks everything, and every in-sync replica says so, whoever is primary then. */
  async #distrustMasks(region: number): Promise<void> {
    const { partner, masks, regions, inSync, generation, log } = this.#options
    const { serverId } = partner
    log.error('replica differs outside the masks: all of it is compared', { serverId, region })
    const all = new RegionMask(regions.count)
    all.setRange(0, regions.count)
    this.#setPending(all)
    await masks.mark(0, regions.count, [serverId], false)
    const known = masks.snapshot(generation)
    await Promise.all(inSync.map((other) => other.takeMasks(this.#call, known)))
  }

  async #sameThere(region: number): Promise<boolean> {
    const { copy, partner, regions } = this.#options
    for (const piece of regions.pieces(region)) {
      const runs = await this.#locked(piece, async () => {
        const [differing] = await copy.differences([partner], piece)
        return { sent: 0, done: differing! }
      })
      if (runs.length > 0) return false
    }
    return true
  }

  async #copyAll(): Promise<void> {
    const regions = this.#pending![Symbol.iterator]()
    const workers = Array.from({ length: mirror.bringUpRegions }, () => this.#copySome(regions))
    await Promise.allSettled(workers)
    await Promise.all(workers)
  }

  /** Several of these share the regions. */
  async #copySome(regions: Iterator<number>): Promise<void> {
    try {
      for (let next = regions.next(); next.done !== true; next = regions.next()) {
        await this.#copyRegion(next.value)
      }
    } catch (error) {
      this.end()
      throw error
    }
  }

  async #copyRegion(region: number): Promise<void> {
    const { copy, partner, regions } = this.#options
    let bytes = 0
    for (const piece of regions.pieces(region)) {
      bytes += await this.#locked(piece, async () => {
        const [counts] = await copy.copy([partner], piece)
        return { sent: counts!.bytes, done: counts!.bytes }
      })
    }
    this.#check()
    this.#pending!.clear(region)
    this.#pendingBytes -= regions.bytes(region)
    this.#hooks.copied(region, bytes)
  }

  /** With no write to the piece, when the limit lets it. Clients may read there meanwhile. */
  async #locked<T>(
    piece: BlockExtent,
    job: () => Promise<{ readonly sent: number; readonly done: T }>,
  ): Promise<T> {
    const { throttle, store } = this.#options
    for (let wait = throttle.wait(); wait !== undefined; wait = throttle.wait()) {
      await wait
      this.#check()
    }
    const release = await this.#locks.shared(piece)
    if (release === undefined) throw new PartnerFailure('lost', wasEnded)
    try {
      const read = allocatedBytes(store, piece)
      const spend = throttle.begin()
      const { sent, done } = await job()
      spend(costBytes({ read, sent }))
      return done
    } finally {
      release()
    }
  }

  async #finish(): Promise<void> {
    const { partner, masks, generation, flushOwn, clock } = this.#options
    const beganMs = clock.nowMs()
    const theirs = await partner.masks(this.#call)
    await Promise.all([partner.flush(this.#call), flushOwn()])
    const known = masks.snapshot(generation)
    const others = known.lacks.filter(({ serverId }) => serverId !== partner.serverId)
    await partner.takeMasks(this.#call, { ...known, lacks: others })
    await this.#clearOld(theirs, beganMs)
    this.#check()
  }

  /**
   * Everything that it was sent is marked there as in doubt, because this server might lose it; what
   * nobody has touched since the flush began is durable on both now. What is marked here is in doubt
   * among others and stays marked there. What is written from this turn on is marked after the
   * clear, for it comes after it on the session.
   */
  async #clearOld(theirs: MaskSet, beganMs: number): Promise<void> {
    const { partner, masks, regions, activity } = this.#options
    const marked = [...RegionMask.fromBuffer(theirs.inSync, regions.count)]
    for (let from = 0; from < marked.length; from += mirror.markedRegions) {
      const some = marked.slice(from, from + mirror.markedRegions)
      // Looked at in the turn in which it is sent.
      const old = some.filter(
        (region) => !masks.inSync.has(region) && activity.quietSince(region, beganMs),
      )
      if (old.length > 0) await partner.clear(this.#call, old, { inSync: true, lacks: [] })
    }
  }
}

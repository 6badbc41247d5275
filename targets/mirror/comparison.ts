/**
 * After a promotion, a restart of the primary, or a close that interrupted writes, the in-sync
 * replicas may differ where their masks say so. The masks are brought together first; then each
 * marked region is compared, and the primary's content written over what differs, before a client
 * is served from it. What clients ask for goes first.
 *
 * One of these belongs to one map: another one takes its place when the map changes, and begins
 * with what is still marked. It marks nothing and clears nothing: a region that is `pending` here
 * must stay marked.
 */
import { background } from '../../src/base/background.ts'
import { StorageError } from '../../src/base/errors.ts'
import { mirror } from '../../src/base/limits.ts'
import { anyOf, Signal } from '../../src/leg/signal.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import type { Generation } from '../../src/volume/generation.ts'
import { JobLocks } from './job-locks.ts'
import { type Partner, type PartnerCall, PartnerFailure } from './partner.ts'
import type { RangeLocks } from './range-locks.ts'
import type { RegionCopy } from './region-copy.ts'
import { RegionMask } from './region-mask.ts'
import type { Regions } from './regions.ts'
import { RetryWait } from './retry-wait.ts'
import type { SegmentMasks } from './segment-masks.ts'

export interface ComparisonOptions {
  readonly masks: Pick<SegmentMasks, 'inSync' | 'takeOver' | 'mergeIntoLacks' | 'snapshot'>
  /** Every other in-sync replica. */
  readonly partners: readonly Partner[]
  /** Servers of the map that are not in sync. */
  readonly behind: readonly string[]
  readonly generation: Generation
  readonly regions: Regions
  readonly copy: RegionCopy
  readonly locks: RangeLocks
  readonly clock: Clock
  readonly log: Log
}

export interface ComparisonProgress {
  readonly regions: number
  readonly pendingRegions: number
  readonly pendingBytes: number
  readonly differingPages: number
  readonly copiedBytes: number
}

export class Comparison {
  /**
   * Resolves when nothing is left to compare, or it was stopped and has nothing under way; rejects
   * with StorageError when the masks cannot be kept.
   */
  readonly ended: Promise<void>
  readonly #options: ComparisonOptions
  readonly #locks: JobLocks
  readonly #retry: RetryWait
  readonly #moved = new Signal()
  readonly #pending: RegionMask
  /** Asked for by clients, in that order. */
  readonly #wanted = new Set<number>()
  readonly #underWay = new Set<number>()
  /** The own replica could not be read there, for now. */
  readonly #unreadable = new Map<number, StorageError>()
  /** The masks cannot be kept. */
  #failure: StorageError | undefined
  #merged = false
  #regions = 0
  #pendingBytes = 0
  #differingPages = 0
  #copiedBytes = 0

  /** Begins at once. */
  constructor(options: ComparisonOptions) {
    this.#options = options
    this.#locks = new JobLocks(options.locks)
    this.#retry = new RetryWait(options.clock)
    this.#pending = new RegionMask(options.regions.count)
    this.ended = this.#run()
    background(this.ended, (error) => {
      options.log.error('comparison of replicas failed', { error })
      this.#failure = error
      this.#moved.notify()
    })
  }

  /** The masks are brought together, durably: until then nothing may be served. */
  get merged(): boolean {
    return this.#merged
  }

  get done(): boolean {
    return this.#merged && this.#pending.count === 0
  }

  /** Not compared yet, so its mark must stay. */
  pending(region: number): boolean {
    return !this.#merged || this.#pending.has(region)
  }

  get progress(): ComparisonProgress {
    return {
      regions: this.#regions,
      pendingRegions: this.#pending.count,
      pendingBytes: this.#pendingBytes,
      differingPages: this.#differingPages,
      copiedBytes: this.#copiedBytes,
    }
  }

  /**
   * Undefined when these regions may be served. Otherwise they go first, and it resolves when they
   * may be, or rejects with StorageError when they cannot be read here (`io-error`), or it was
   * stopped (`conflict`). To be asked before the range lock is taken.
   */
  ensure(firstRegion: number, endRegion: number): Promise<void> | undefined {
    if (this.#merged && !this.#anyPending(firstRegion, endRegion)) return undefined
    return this.#untilCompared(firstRegion, endRegion)
  }

  /** What is under way is ended; nothing new begins. */
  stop(): void {
    this.#retry.stop()
    this.#locks.end()
    this.#moved.notify()
  }

  get #stopped(): boolean {
    return this.#retry.stopped
  }

  async #untilCompared(first: number, end: number): Promise<void> {
    for (let region = first; region < end; region++) this.#wanted.add(region)
    for (;;) {
      if (this.#stopped) throw new StorageError('conflict', 'the comparison was stopped')
      if (this.#failure !== undefined) throw this.#failure
      for (let region = first; region < end; region++) {
        const unreadable = this.#unreadable.get(region)
        if (unreadable !== undefined) throw unreadable
      }
      if (this.#merged && !this.#anyPending(first, end)) return
      await anyOf([this.#moved])
    }
  }

  #anyPending(first: number, end: number): boolean {
    if (this.#pending.count === 0) return false
    for (let region = first; region < end; region++) if (this.#pending.has(region)) return true
    return false
  }

  async #run(): Promise<void> {
    await this.#merge()
    while (!this.#stopped && this.#pending.count > 0) {
      await Promise.all(Array.from({ length: mirror.comparedRegions }, () => this.#work()))
      if (this.#unreadable.size === 0) continue
      await this.#retry.delay()
      this.#unreadable.clear()
    }
    if (this.#stopped) return
    this.#options.log.info('replicas compared', { ...this.progress })
  }

  async #merge(): Promise<void> {
    const { partners, masks, behind, regions, generation } = this.#options
    const call = { generation }
    for (const partner of partners) {
      await this.#insist(partner, () => this.#fetch(partner, call))
    }
    if (this.#stopped) return
    // What leaves with unfinished writes somewhere lacks what any of those who stay may have of them.
    await masks.mergeIntoLacks(behind)
    const merged = masks.snapshot(generation)
    for (const partner of partners) {
      await this.#insist(partner, () => partner.takeMasks(call, merged))
    }
    if (this.#stopped) return
    for (const region of partners.length > 0 ? masks.inSync : []) {
      this.#pending.set(region)
      this.#pendingBytes += regions.bytes(region)
    }
    this.#regions = this.#pending.count
    this.#merged = true
    this.#moved.notify()
  }

  async #fetch(partner: Partner, call: PartnerCall): Promise<void> {
    const { masks, behind } = this.#options
    const theirs = await partner.masks(call)
    const lacks = theirs.lacks.filter(({ serverId }) => behind.includes(serverId))
    await masks.takeOver({ ...theirs, lacks })
  }

  /** Again and again until the partner did it: without it nothing can be served anyway. */
  async #insist(partner: Partner, ask: () => Promise<void>): Promise<void> {
    while (!this.#stopped) {
      try {
        await ask()
        this.#retry.reset()
        return
      } catch (error) {
        if (!(error instanceof PartnerFailure)) throw error
        if (partner.up) await this.#retry.delay()
        else await this.#retry.untilUp(partner)
      }
    }
  }

  async #work(): Promise<void> {
    for (;;) {
      const region = this.#stopped ? undefined : this.#next()
      if (region === undefined) return
      this.#underWay.add(region)
      try {
        await this.#compare(region)
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
        this.#unreadable.set(region, error)
        this.#options.log.error('marked region cannot be compared', { region, error })
      } finally {
        this.#underWay.delete(region)
        this.#moved.notify()
      }
    }
  }

  #next(): number | undefined {
    for (const region of this.#wanted) {
      this.#wanted.delete(region)
      if (this.#waits(region)) return region
    }
    for (const region of this.#pending) if (this.#waits(region)) return region
    return undefined
  }

  #waits(region: number): boolean {
    if (this.#underWay.has(region) || this.#unreadable.has(region)) return false
    return this.#pending.has(region)
  }

  async #compare(region: number): Promise<void> {
    const { partners, regions } = this.#options
    const extent = regions.extent(region)
    // Each partner for itself, so that one that is away does not have the others compared again.
    for (const partner of partners) {
      await this.#insist(partner, async () => {
        const release = await this.#locks.exclusive(extent)
        if (release === undefined) return
        try {
          await this.#copy(partner, region)
        } finally {
          release()
        }
      })
      if (this.#stopped) return
    }
    this.#pending.clear(region)
    this.#pendingBytes -= regions.bytes(region)
  }

  async #copy(partner: Partner, region: number): Promise<void> {
    const { copy, regions, log } = this.#options
    const [counts] = await copy.copy([partner], regions.extent(region))
    const { pages = 0, bytes = 0 } = counts ?? {}
    this.#differingPages += pages
    this.#copiedBytes += bytes
    if (pages === 0) return
    log.debug('replicas differed in a marked region', { region, pages, serverId: partner.serverId })
  }
}

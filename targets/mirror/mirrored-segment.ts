/**
 * A segment with several replicas as this server holds it, for as long as it does: its range locks,
 * its masks, and, where this server is the primary, its partners, the comparison that has to come
 * first and the replicas that are brought up. It owns what outlives a map: whether the replicas may
 * differ (`doubt`), and whether the disk failed. What is done with blocks is MirroredStore's.
 */

import { background } from '../../src/base/background.ts'
import { StorageError } from '../../src/base/errors.ts'
import { mirror as limits } from '../../src/base/limits.ts'
import type { SegmentCondition } from '../../src/control/messages/server.ts'
import type { Log } from '../../src/ports/log.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import type { CopyCounters } from '../lun/unit-counters.ts'
import type { SegmentView } from '../replica/segment-views.ts'
import type { ReplicaStore } from '../store/replica-store.ts'
import { BringUp } from './bring-up.ts'
import { Clearing, type ClearingPartner } from './clearing.ts'
import { Comparison } from './comparison.ts'
import { CountedPartner } from './counted-partner.ts'
import { leaseTerms } from './leases.ts'
import type { MirrorServer } from './mirror-server.ts'
import { PartnerState } from './partner-state.ts'
import { PrimaryState } from './primary-state.ts'
import { RangeLocks } from './range-locks.ts'
import { RegionActivity } from './region-activity.ts'
import { RegionCopy } from './region-copy.ts'
import { Regions } from './regions.ts'
import type { SegmentMasks } from './segment-masks.ts'
import { type Bench, Verifier } from './verifier.ts'

export interface MirroredSegmentContext {
  readonly segmentId: string
  /** What all mirrored segments of this server share. */
  readonly server: MirrorServer
  readonly log: Log
  readonly counters: CopyCounters
  /** Called in the turn in which what is said of the segment changed. */
  changed(): void
  /** The file of the masks failed: nothing can be marked, and so nothing written. */
  masksFailed(): void
}

export class MirroredSegment {
  readonly segmentId: string
  readonly locks = new RangeLocks()
  readonly activity: RegionActivity
  /** Compares all that the replicas hold, when somebody asks for it. */
  readonly verifier: Verifier
  readonly #context: MirroredSegmentContext
  #masks: SegmentMasks
  #regions: Regions
  #size: MirroredSize
  #primary: PrimaryState | undefined
  #comparison: Comparison | undefined
  #clearing: Clearing | undefined
  /** The in-sync replicas may differ where they are marked, and were not compared since. */
  #doubt = true
  /** The last failure of the own replica: of a store that is open no more it says nothing. */
  #failure: { readonly store: ReplicaStore | undefined; readonly atMs: number } | undefined

  constructor(context: MirroredSegmentContext, masks: SegmentMasks, size: MirroredSize) {
    this.segmentId = context.segmentId
    this.#context = context
    this.activity = new RegionActivity(context.server.clock)
    this.verifier = new Verifier(context.server.clock)
    this.#masks = masks
    this.#regions = new Regions(size)
    this.#size = size
  }

  get masks(): SegmentMasks {
    return this.#masks
  }

  get regions(): Regions {
    return this.#regions
  }

  get size(): MirroredSize {
    return this.#size
  }

  /** Undefined where, or while, this server is not the one that serves the segment. */
  get primary(): PrimaryState | undefined {
    return this.#primary
  }

  /** The own replica, undefined while its store is not open. */
  get store(): ReplicaStore | undefined {
    return this.#context.server.replica(this.segmentId)
  }

  /** Undefined: there is room for marks of these regions. To be waited for once. */
  room(firstRegion: number, endRegion: number): Promise<void> | undefined {
    return this.#clearing?.room(firstRegion, endRegion)
  }

  /** What has to be compared before it is served; undefined: nothing. */
  get comparison(): Comparison | undefined {
    return this.#comparison
  }

  /** Nothing is served at all: the replicas are in doubt, or this one is of no use. */
  get withheld(): boolean {
    const alone = this.#primary?.inSync.length === 0
    if (this.#diskFailed && !alone) return true
    return this.#doubt && this.#comparison?.merged !== true
  }

  /** The masks of a longer or shorter replica, or those read anew after their file failed. */
  take(masks: SegmentMasks, size: MirroredSize): void {
    if (this.#masks !== masks) this.#failure = undefined
    this.#masks = masks
    this.#regions = new Regions(size)
    this.#size = size
  }

  /** Those that failed had marks in memory that the file does not have: others may know of them. */
  replaceMasks(masks: SegmentMasks, view: SegmentView | undefined, map: VolumeMap): void {
    this.end()
    this.#doubt = true
    this.take(masks, this.#size)
    if (view !== undefined) this.look(view, map)
  }

  /** Everything marked is compared again before it is served. */
  doubt(): void {
    this.#doubt = true
    const primary = this.#primary
    if (primary !== undefined && !primary.closing) this.#compare(primary)
  }

  /** The own replica could not do what it was asked for. */
  diskFailed(error: unknown): void {
    const isNew = !this.#diskFailed
    this.#failure = { store: this.store, atMs: this.#context.server.clock.nowMs() }
    if (this.#masks.failure !== undefined) this.#context.masksFailed()
    if (!isNew) return
    this.#context.log.error('the replica on this disk failed', {
      segmentId: this.segmentId,
      error,
    })
    this.#context.changed()
  }

  /** The own replica could not be read there, and was written anew from another one. */
  repaired({ lba, blocks }: BlockExtent): void {
    this.#context.counters.repairedBytes += blocks * this.#size.blockBytes
    this.#context.log.warn('read from another replica, and repaired', {
      segmentId: this.segmentId,
      lba,
      blocks,
    })
  }

  /** In the turn in which the view was replaced. */
  look({ fence, primary, segment }: SegmentView, map: VolumeMap): void {
    if (!primary || fence.state === 'unconfirmed') {
      // Whatever is marked when this server becomes the primary again, it cannot vouch for it.
      this.end()
      this.verifier.forget()
      this.#doubt = true
    } else if (fence.state === 'closed') {
      this.#primary?.close()
      this.verifier.rest()
      this.#stopComparison()
      this.#clearing?.stop()
    } else this.#serve(map, segment.segmentId)
  }

  /** This server is the primary no more, for now or for good. */
  end(): void {
    this.#primary?.end()
    this.#primary = undefined
    this.verifier.rest()
    this.#stopComparison()
    this.#clearing?.stop()
  }

  /** All has ended that had begun before a close: what is up to date is so durably. */
  async settle(): Promise<void> {
    await this.#primary?.settle()
  }

  condition(primarySilent: boolean): SegmentCondition {
    return {
      segmentId: this.segmentId,
      partners: this.#primary?.conditions() ?? [],
      primarySilent,
      comparingBytes: this.#comparingBytes,
      diskFailed: this.#diskFailed || this.#masks.failure !== undefined,
    }
  }

  /** For a while: a manager may find another disk, and if it does not this one is tried again. */
  get #diskFailed(): boolean {
    if (this.#failure === undefined || this.#failure.store !== this.store) return false
    return this.#context.server.clock.nowMs() - this.#failure.atMs < limits.diskFailedMs
  }

  get #comparingBytes(): number {
    if (this.#primary === undefined || this.#primary.inSync.length === 0) return 0
    if (this.#comparison?.merged === true) return this.#comparison.progress.pendingBytes
    return this.#doubt ? this.#masks.bytesOf(this.#masks.inSync) : 0
  }

  #serve(map: VolumeMap, segmentId: string): void {
    const known = this.#primary
    if (known?.generation === map.generation) {
      if (!known.closing) return
      known.open()
    } else {
      known?.end()
      this.#primary = this.#begin(map, segmentId)
    }
    const primary = this.#primary!
    this.#clear(primary)
    if (this.#doubt) this.#compare(primary)
    else this.#bringUp(primary)
    const bench = this.#bench(primary)
    if (bench !== undefined) this.verifier.serve(bench)
  }

  #bench({ inSync, generation }: PrimaryState): Bench | undefined {
    const { store } = this
    if (store === undefined) return undefined
    const { server, log } = this.#context
    return {
      partners: inSync.map((state) => new CountedPartner(state)),
      store,
      regions: this.#regions,
      copy: new RegionCopy({ store, digests: server.digests, generation }),
      locks: this.locks,
      throttle: server.throttle,
      log,
      ensure: (firstRegion, endRegion) => this.#comparison?.ensure(firstRegion, endRegion),
    }
  }

  #begin(map: VolumeMap, segmentId: string): PrimaryState {
    const segment = map.segments.find((each) => each.segmentId === segmentId)!
    const { server, changed } = this.#context
    const size = { blocks: segment.blocks, blockBytes: map.blockBytes }
    this.#failure = undefined
    const partners = segment.replicas.slice(1).map((replica) => {
      const { clock, links } = server
      const partner = links.partner(replica, size)
      const hearing = links.of(replica.serverId)
      return new PartnerState({ clock, partner, hearing, changed }, replica)
    })
    const terms = leaseTerms(map, segment)
    return new PrimaryState({ clock: server.clock, leases: server.leases, terms, partners })
  }

  #clear(primary: PrimaryState): void {
    const { generation } = primary
    this.#clearing?.stop()
    this.#clearing = new Clearing({
      clock: this.#context.server.clock,
      times: this.#context.server.clearing,
      masks: this.#masks,
      activity: this.activity,
      partners: primary.partners.map((state) => clearingPartner(state, generation)),
      pending: (region) => this.#doubt && this.#comparison?.pending(region) !== false,
      flushOwn: async () => {
        const { store } = this
        if (store === undefined) throw new StorageError('io-error', 'the store is not open')
        await store.flush()
      },
    })
  }

  /** What cannot be compared with anybody is not in doubt. */
  #compare(primary: PrimaryState): void {
    this.#stopComparison()
    const { store } = this
    if (store === undefined) return
    const { server, log } = this.#context
    const { generation } = primary
    const comparison = new Comparison({
      masks: this.#masks,
      partners: primary.inSync.map((state) => new CountedPartner(state)),
      behind: primary.behind,
      generation,
      regions: this.#regions,
      copy: new RegionCopy({ store, digests: server.digests, generation }),
      locks: this.locks,
      clock: server.clock,
      log,
    })
    this.#comparison = comparison
    background(
      comparison.ended.then(() => this.#compared(comparison, primary)),
      (error) => this.diskFailed(error),
    )
  }

  #compared(comparison: Comparison, primary: PrimaryState): void {
    if (this.#comparison !== comparison || !comparison.done) return
    this.#comparison = undefined
    this.#doubt = false
    this.#context.changed()
    if (!primary.closing) this.#bringUp(primary)
  }

  #stopComparison(): void {
    this.#comparison?.stop()
    this.#comparison = undefined
  }

  #bringUp(primary: PrimaryState): void {
    const { store } = this
    if (store === undefined) return
    const { server, log, changed } = this.#context
    const { generation } = primary
    for (const state of primary.partners) {
      if (state.inSync || state.bringUp !== undefined) continue
      const bringUp = new BringUp({
        partner: new CountedPartner(state),
        generation,
        store,
        masks: this.#masks,
        activity: this.activity,
        inSync: primary.inSync.map((other) => new CountedPartner(other)),
        regions: this.#regions,
        copy: new RegionCopy({ store, digests: server.digests, generation }),
        locks: this.locks,
        throttle: server.throttle,
        clock: server.clock,
        random: server.random,
        log,
        flushOwn: () => store.flush(),
        changed,
      })
      state.bringUp = bringUp
      background(bringUp.ended, (error) => log.error('bringing up a replica failed', { error }))
    }
  }
}

export interface MirroredSize {
  readonly blocks: number
  readonly blockBytes: number
}

function clearingPartner(state: PartnerState, generation: number): ClearingPartner {
  return {
    serverId: state.serverId,
    inSync: state.inSync,
    get sentWrites() {
      return state.sentWrites
    },
    get attempt() {
      return state.bringUp?.attempt
    },
    pending: (region) => state.bringUp?.pending(region) !== false,
    flush: () => state.call((partner) => partner.flush({ generation })),
    clear: (regions, what) => state.call((partner) => partner.clear({ generation }, regions, what)),
  }
}

/**
 * Replication between the servers of a ControlCluster, as far as changes of replicas can see it: a
 * model of the rules of design sections 4 and 5, with a set of numbers for the content of a replica.
 * Heartbeats confirm and carry leases, partners fall silent, replicas that are behind are copied,
 * writes go to all replicas in sync, and the one that serves shows what it has. Data paths are
 * apart from those of the manager's calls. What a server has durably survives its process.
 */
import { mirror as limits } from '../../src/base/limits.ts'
import type { PartnerState, SegmentCondition } from '../../src/control/messages/server.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Random } from '../../src/ports/random.ts'
import type { Replica } from '../../src/volume/map.ts'
import type { HeldVolume } from '../../targets/replica/held-volume.ts'
import type { SegmentView } from '../../targets/replica/segment-views.ts'
import type { VolumeMirrors } from '../../targets/replica/volume-mirrors.ts'

const tickMs = 20
const copyMs = 300

/** All data paths of one test, and what clients were told. */
export class DataPaths {
  readonly clock: Clock
  readonly random: Random
  readonly mirrors = new Map<string, RigMirror>()
  /** By segment: writes that were acknowledged and must not be lost. */
  readonly acknowledged = new Map<string, Set<number>>()
  readonly #cut = new Set<string>()
  #writes = 0

  constructor(clock: Clock, random: Random) {
    this.clock = clock
    this.random = random
  }

  /** One server, or the path between two. */
  cut(isCut: boolean, from: string, to: string = from): void {
    for (const key of [`${from} ${to}`, `${to} ${from}`]) {
      if (isCut) this.#cut.add(key)
      else this.#cut.delete(key)
    }
  }

  reach(from: RigMirror, serverId: string): RigMirror | undefined {
    const to = this.mirrors.get(serverId)
    if (to === undefined) return undefined
    const { name } = from
    const isCut = [`${name} ${name}`, `${to.name} ${to.name}`, `${name} ${to.name}`]
    return isCut.some((key) => this.#cut.has(key)) ? undefined : to
  }

  /** After a way of 0 to 3 ms, if there is one at its end. */
  send(from: RigMirror, serverId: string, arrive: (to: RigMirror) => void): void {
    this.clock.after(this.random.below(4), () => {
      const to = this.reach(from, serverId)
      if (to !== undefined && from.alive) arrive(to)
    })
  }

  nextWrite(): number {
    this.#writes += 1
    return this.#writes
  }
}

/** What outlives a server's process; `flushed` outlives a loss of power as well. */
export interface Disk {
  readonly contents: Map<string, Set<number>>
  readonly flushed: Map<string, Set<number>>
  failed: boolean
}

export interface RigMirrorOptions {
  readonly name: string
  readonly serverId: string
  readonly disk: Disk
  readonly paths: DataPaths
  readonly incarnation: () => string | undefined
  /** What a manager is told at once. */
  readonly tell: (volume: HeldVolume) => void
}

interface Partner {
  heardMs: number
  /** The newest confirmation: of which generation, and when it was asked for. */
  confirmed: { readonly generation: number; readonly sentMs: number } | undefined
  /** Being brought up since then, under this generation. */
  copying: { readonly sinceMs: number; readonly generation: number } | undefined
  upToDate: boolean
}

/** What a process knows of one segment. */
interface SegmentState {
  readonly partners: Map<string, Partner>
  beatMs: number
  /** The other replicas in sync were made equal under this generation, and nothing broke off since. */
  merged: number | undefined
  /** Counted up by everything that ends what has begun. */
  era: number
  primaryHeardMs: number
  confirmedMs: number
  told: string
}

/** One process of a storage server. */
export class RigMirror {
  readonly name: string
  alive = true
  readonly #options: RigMirrorOptions
  readonly #startedMs: number
  readonly #volumes = new Set<HeldVolume>()
  readonly #states = new Map<string, SegmentState>()

  constructor(options: RigMirrorOptions) {
    this.#options = options
    this.name = options.name
    this.#startedMs = this.#nowMs
    options.paths.mirrors.set(options.serverId, this)
    this.#tick()
  }

  kill(): void {
    this.alive = false
    const { paths, serverId } = this.#options
    if (paths.mirrors.get(serverId) === this) paths.mirrors.delete(serverId)
  }

  /** For HeldVolumes. */
  of(volume: HeldVolume): VolumeMirrors {
    this.#volumes.add(volume)
    return {
      prepare: async ({ from, created }) => {
        for (const { segmentId } of from.segments) this.#state(segmentId).era += 1
        for (const segmentId of created) {
          this.#options.disk.contents.set(segmentId, new Set())
          this.#options.disk.flushed.set(segmentId, new Set())
        }
      },
      look: (views) => {
        for (const [segmentId, view] of views) {
          if (view.fence.state !== 'open') this.#stop(segmentId)
        }
      },
      settle: async () => this.#flushUpToDate(volume),
      conditions: () => this.#conditions(volume),
      leaseLeftMs: () => this.#leaseLeftMs(volume),
    }
  }

  /** True while it may answer a client: what the lease is for. */
  canServe(segmentId: string): boolean {
    const view = this.#view(segmentId)
    if (!this.alive || view === undefined || !isServed(view)) return false
    return this.#state(segmentId).merged === view.fence.generation && this.#hasLease(view)
  }

  content(segmentId: string): ReadonlySet<number> {
    return this.#content(segmentId)
  }

  epoch(segmentId: string): number {
    return this.#view(segmentId)?.segment.epoch ?? 0
  }

  /** A client's write: acknowledged when all in sync have it and the lease still holds. */
  write(segmentId: string): void {
    const view = this.#view(segmentId)
    if (view === undefined || !this.canServe(segmentId)) return
    const { paths } = this.#options
    const state = this.#state(segmentId)
    const { era } = state
    const { generation } = view.fence
    const write = paths.nextWrite()
    this.#content(segmentId).add(write)
    const waiting = new Set(othersInSync(view).map(({ serverId }) => serverId))
    const answered = (serverId: string): void => {
      waiting.delete(serverId)
      if (waiting.size > 0 || state.era !== era || !this.canServe(segmentId)) return
      const acknowledged = paths.acknowledged.get(segmentId) ?? new Set()
      paths.acknowledged.set(segmentId, acknowledged.add(write))
    }
    for (const { serverId } of others(view)) {
      const partner = this.#partner(state, serverId)
      const isSent = waiting.has(serverId) || partner.copying !== undefined
      if (!isSent) continue
      let isThere = false
      paths.send(this, serverId, (to) => {
        isThere = to.take(segmentId, { write, generation, from: this.#options.serverId })
        if (isThere) paths.send(to, this.#options.serverId, () => answered(serverId))
      })
      // One that is being brought up and misses a write is not, any more.
      paths.clock.after(8, () => {
        if (!isThere && !waiting.has(serverId)) this.#forgetCopy(partner)
      })
    }
    if (waiting.size === 0) answered('')
  }

  take(
    segmentId: string,
    sent: { readonly write: number; readonly generation: number; readonly from: string },
  ): boolean {
    const view = this.#view(segmentId)
    if (!this.#accepts(view, sent)) return false
    this.#content(segmentId).add(sent.write)
    return true
  }

  /** True when it confirms. Undefined: nobody of that name here. */
  beat(segmentId: string, sent: { readonly generation: number; readonly from: string }): boolean {
    const view = this.#view(segmentId)
    const state = this.#state(segmentId)
    if (view?.segment.replicas[0]?.serverId === sent.from) state.primaryHeardMs = this.#nowMs
    if (!this.#accepts(view, sent) || view?.replica.state !== 'in-sync') return false
    state.confirmedMs = this.#nowMs
    return true
  }

  /** Its store as it is now, where it would take what its primary sends. */
  takesCopies(
    segmentId: string,
    sent: { readonly generation: number; readonly from: string },
  ): string | undefined {
    const view = this.#view(segmentId)
    return this.#accepts(view, sent) ? this.#options.incarnation() : undefined
  }

  takeAll(segmentId: string, content: ReadonlySet<number>, isFlushed: boolean): void {
    this.#options.disk.contents.set(segmentId, new Set(content))
    if (isFlushed) this.#options.disk.flushed.set(segmentId, new Set(content))
  }

  flush(): void {
    const { contents, flushed } = this.#options.disk
    for (const [segmentId, content] of contents) flushed.set(segmentId, new Set(content))
  }

  #accepts(
    view: SegmentView | undefined,
    { generation, from }: { readonly generation: number; readonly from: string },
  ): view is SegmentView {
    if (!this.alive || view === undefined || view.primary || view.fence.state !== 'open') {
      return false
    }
    const isOurs = view.segment.replicas[0]?.serverId === from
    return isOurs && view.fence.generation === generation && !this.#options.disk.failed
  }

  #tick(): void {
    if (!this.alive) return
    for (const volume of this.#volumes) {
      for (const view of volume.views.values()) if (isServed(view)) this.#lead(view)
      this.#tellIfNew(volume)
    }
    this.#options.paths.clock.after(tickMs, () => this.#tick())
  }

  #lead(view: SegmentView): void {
    const state = this.#state(view.segment.segmentId)
    const isDue = this.#nowMs - state.beatMs >= limits.heartbeatMs
    if (isDue || !this.#hasLease(view)) {
      state.beatMs = this.#nowMs
      for (const { serverId } of others(view)) this.#sendBeat(view, serverId)
    }
    if (state.merged !== view.fence.generation && this.#hasLease(view)) this.#merge(view)
    for (const each of others(view)) if (each.state !== 'in-sync') this.#bringUp(view, each)
  }

  #sendBeat(view: SegmentView, serverId: string): void {
    const { paths, serverId: from } = this.#options
    const { segmentId } = view.segment
    const { generation } = view.fence
    const partner = this.#partner(this.#state(segmentId), serverId)
    const sentMs = this.#nowMs
    paths.send(this, serverId, (to) => {
      const isConfirmed = to.beat(segmentId, { generation, from })
      paths.send(to, from, () => {
        partner.heardMs = this.#nowMs
        if (isConfirmed) partner.confirmed = { generation, sentMs }
      })
    })
  }

  /** After a promotion, a restart and every close: what may differ is made equal. */
  #merge(view: SegmentView): void {
    const { paths } = this.#options
    const { segmentId } = view.segment
    const partners = othersInSync(view).map(({ serverId }) => paths.reach(this, serverId))
    const sent = { generation: view.fence.generation, from: this.#options.serverId }
    const takes = partners.every((each) => each?.takesCopies(segmentId, sent) !== undefined)
    if (!takes) return
    for (const each of partners) each!.takeAll(segmentId, this.#content(segmentId), false)
    this.#state(segmentId).merged = view.fence.generation
  }

  #bringUp(view: SegmentView, { serverId }: Replica): void {
    const { segmentId } = view.segment
    const { generation } = view.fence
    const partner = this.#partner(this.#state(segmentId), serverId)
    const to = this.#options.paths.reach(this, serverId)
    const sent = { generation, from: this.#options.serverId }
    if (to?.takesCopies(segmentId, sent) === undefined) {
      this.#forgetCopy(partner)
      return
    }
    partner.copying ??= { sinceMs: this.#nowMs, generation }
    if (partner.upToDate || this.#nowMs - partner.copying.sinceMs < copyMs) return
    to.takeAll(segmentId, this.#content(segmentId), true)
    partner.upToDate = true
  }

  /** A replica that is not there any more, or missed something, has to be brought up anew. */
  async #flushUpToDate(volume: HeldVolume): Promise<void> {
    for (const { segment, primary } of volume.views.values()) {
      if (!primary) continue
      const { segmentId, replicas } = segment
      for (const { serverId } of replicas.slice(1)) {
        const partner = this.#partner(this.#state(segmentId), serverId)
        const to = this.#options.paths.reach(this, serverId)
        if (!partner.upToDate) continue
        if (to === undefined || to.generation(segmentId) !== volume.map.generation) {
          this.#forgetCopy(partner)
        } else to.takeAll(segmentId, this.#content(segmentId), true)
      }
    }
  }

  generation(segmentId: string): number | undefined {
    return this.#view(segmentId)?.fence.generation
  }

  #forgetCopy(partner: Partner): void {
    partner.copying = undefined
    partner.upToDate = false
  }

  #stop(segmentId: string): void {
    const state = this.#state(segmentId)
    state.merged = undefined
    state.era += 1
  }

  #conditions(volume: HeldVolume): SegmentCondition[] {
    return [...volume.views.values()]
      .filter(({ segment }) => segment.replicas.length > 1)
      .map((view) => {
        const { segmentId } = view.segment
        const state = this.#state(segmentId)
        const sinceMs = this.#nowMs - Math.max(state.primaryHeardMs, this.#startedMs)
        return {
          segmentId,
          partners: view.primary ? others(view).map((each) => this.#condition(view, each)) : [],
          primarySilent: !view.primary && sinceMs > limits.primarySuspectedMs,
          comparingBytes: 0,
          diskFailed: this.#options.disk.failed,
        }
      })
  }

  #condition(view: SegmentView, { serverId, state }: Replica) {
    const partner = this.#partner(this.#state(view.segment.segmentId), serverId)
    const to = this.#options.paths.reach(this, serverId)
    const silentMs = this.#nowMs - Math.max(partner.heardMs, this.#startedMs)
    const bringsUp: PartnerState = partner.copying === undefined ? 'silent' : 'copying'
    const behind: PartnerState = partner.upToDate ? 'up-to-date' : bringsUp
    const inSync: PartnerState = silentMs > limits.suspectedMs ? 'silent' : 'confirming'
    return {
      serverId,
      state: state === 'in-sync' ? inSync : behind,
      behindBytes: 0,
      totalBytes: 0,
      bytesPerSecond: 0,
      incarnation: to?.incarnation ?? '',
      copiedBytes: 0,
    }
  }

  get incarnation(): string | undefined {
    return this.#options.incarnation()
  }

  #leaseLeftMs(volume: HeldVolume): number {
    const ends = [...volume.views.values()].map(({ primary, segment }) => {
      if (primary || segment.replicas.length < 2) return 0
      const sinceMs = Math.max(this.#state(segment.segmentId).confirmedMs, this.#startedMs)
      return sinceMs + volume.map.leaseMs * limits.leaseMargin - this.#nowMs
    })
    return Math.max(0, ...ends)
  }

  #tellIfNew(volume: HeldVolume): void {
    const said = JSON.stringify(this.#conditions(volume))
    const state = this.#state(volume.volumeId)
    if (state.told === said) return
    state.told = said
    this.#options.tell(volume)
  }

  #hasLease(view: SegmentView): boolean {
    const state = this.#state(view.segment.segmentId)
    const { generation } = view.fence
    const leaseMs = this.#volumeOf(view.segment.segmentId)?.map.leaseMs ?? 0
    return othersInSync(view).every(({ serverId }) => {
      const { confirmed } = this.#partner(state, serverId)
      const isFresh = confirmed !== undefined && this.#nowMs - confirmed.sentMs < leaseMs
      return isFresh && confirmed.generation === generation
    })
  }

  #partner(state: SegmentState, serverId: string): Partner {
    let partner = state.partners.get(serverId)
    if (partner === undefined) {
      const heardMs = this.#nowMs
      partner = { heardMs, confirmed: undefined, copying: undefined, upToDate: false }
      state.partners.set(serverId, partner)
    }
    return partner
  }

  #state(segmentId: string): SegmentState {
    let state = this.#states.get(segmentId)
    if (state === undefined) {
      const nowMs = this.#nowMs
      const never = Number.NEGATIVE_INFINITY
      const times = { beatMs: never, primaryHeardMs: nowMs, confirmedMs: never }
      state = { partners: new Map(), merged: undefined, era: 0, told: '', ...times }
      this.#states.set(segmentId, state)
    }
    return state
  }

  #view(segmentId: string): SegmentView | undefined {
    return this.#volumeOf(segmentId)?.views.get(segmentId)
  }

  #volumeOf(segmentId: string): HeldVolume | undefined {
    return [...this.#volumes].find(({ views }) => views.has(segmentId))
  }

  #content(segmentId: string): Set<number> {
    const { contents } = this.#options.disk
    const content = contents.get(segmentId) ?? new Set()
    contents.set(segmentId, content)
    return content
  }

  get #nowMs(): number {
    return this.#options.paths.clock.nowMs()
  }
}

function isServed(view: SegmentView): boolean {
  return view.primary && view.fence.state === 'open'
}

function others({ segment }: SegmentView): readonly Replica[] {
  return segment.replicas.slice(1)
}

function othersInSync(view: SegmentView): Replica[] {
  return others(view).filter(({ state }) => state === 'in-sync')
}

/**
 * The state of one volume on this server: which map is current here, whether it is open, and what
 * has begun. It owns the volume's record. Close, activate and reopen are a manager's orders; an
 * order that is not higher than the highest seen is refused. It knows no iSCSI and no RPC.
 *
 *   unconfirmed --activate--> open --close--> closed --activate, reopen--> open
 *
 * After a restart a volume is closed or unconfirmed until a manager has answered: nobody else can
 * tell whether the map that was kept is still the current one.
 */
import { background } from '../../src/base/background.ts'
import { StorageError } from '../../src/base/errors.ts'
import {
  type CloseReply,
  compareOrders,
  type HeldVolume as HeldVolumeMessage,
  type Order,
  type SegmentCondition,
  type SegmentIncarnation,
  type VolumeRecord,
} from '../../src/control/messages/server.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import { RequestOutcomes } from '../mirror/request-outcomes.ts'
import { BegunOperations } from './begun-operations.ts'
import { leadsAndFollows, untilQuiet } from './closing-together.ts'
import { inSyncGeneration, inSyncMarks } from './in-sync-marks.ts'
import { missingSegments, takeUpReplicas } from './replica-changes.ts'
import type { SegmentStore } from './segment-store.ts'
import { heldSegments, type SegmentView, segmentViews } from './segment-views.ts'
import type { VolumeMirrors } from './volume-mirrors.ts'
import type { VolumeRecords } from './volume-records.ts'

export interface HeldVolumeContext {
  readonly serverId: string
  readonly store: SegmentStore
  readonly records: VolumeRecords
  readonly clock: Clock
  readonly log: Log
  /** Called in the turn in which what this volume says of itself changed. */
  changed(volume: HeldVolume): void
  /** Called once for each volume; without it none of its segments may have a second replica. */
  mirrors?(volume: HeldVolume): VolumeMirrors
}

/** What a close has to say of itself; who else is concerned is added above. */
export type Closed = Omit<CloseReply, 'sessions'>

export class HeldVolume {
  readonly volumeId: string
  /** Of clients. */
  readonly begun = new BegunOperations()
  /** Of the primaries of replicas here. */
  readonly replicated = new BegunOperations()
  /** Of requests that must not take effect twice. */
  readonly outcomes: RequestOutcomes
  readonly #context: HeldVolumeContext
  #record: VolumeRecord
  /** A manager has said, since this process began, that the map kept here is the current one. */
  #confirmed = false
  /** The record's map was taken up here once: its replicas were made. */
  #established: boolean
  /** A newer map is being taken up: the former one is served no more, the next one not yet. */
  #switching = false
  /** Closed to clients, and not yet to other primaries, which have begun things of their own. */
  #lingering: Promise<void> | undefined
  /** Activates under way: what they say is the answer, so nothing is asked meanwhile. */
  #takingUp = 0
  #views: ReadonlyMap<string, SegmentView> = new Map()
  readonly #mirrors: VolumeMirrors | undefined
  #applying: Promise<void> = Promise.resolve()

  /** As read at start, or `unheard` for a volume that this server has no record of. */
  constructor(context: HeldVolumeContext, record: VolumeRecord) {
    this.#context = context
    this.#record = record
    this.#established = record.confirmedGeneration > 0
    this.outcomes = new RequestOutcomes(this.#established ? record.map.generation : 0)
    this.volumeId = record.map.volumeId
    this.#mirrors = context.mirrors?.(this)
    this.#look()
  }

  /** A volume that a manager names here for the first time; its first activate makes it real. */
  static unheard(context: HeldVolumeContext, map: VolumeMap): HeldVolume {
    return new HeldVolume(context, { map, order: noOrder, confirmedGeneration: 0, inSync: [] })
  }

  get record(): VolumeRecord {
    return this.#record
  }

  get map(): VolumeMap {
    return this.#record.map
  }

  get order(): Order {
    return this.#record.order
  }

  /** The order of the close that shut it. */
  get closed(): Order | undefined {
    return this.#record.closed
  }

  get state(): 'open' | 'closed' | 'unconfirmed' {
    if (this.#record.closed !== undefined || this.#switching) return 'closed'
    return this.#confirmed ? 'open' : 'unconfirmed'
  }

  /** The current views, replaced as a whole at each change. */
  get views(): ReadonlyMap<string, SegmentView> {
    return this.#views
  }

  /**
   * True while some segment here is served by nobody because a manager's answer is missing. While
   * the store is not open no answer would help.
   */
  get needsAnswer(): boolean {
    if (this.map.deleted || this.#takingUp > 0) return false
    return !this.#serving && this.#context.store.incarnation !== undefined
  }

  get #serving(): boolean {
    if (this.state !== 'open') return false
    for (const { fence } of this.#views.values()) if (fence.state !== 'open') return false
    return true
  }

  /** The newest generation in which this server's replica of a segment was in sync; 0: none. */
  inSyncGeneration(segmentId: string): number {
    return inSyncGeneration(this.#record.inSync, segmentId)
  }

  /**
   * Admits nothing from this turn on, durably; resolves when what had begun has ended. Says which
   * generation it closed, and what of the replicas elsewhere.
   */
  async close(order: Order): Promise<Closed> {
    this.#mustBeHigher(order)
    // A volume that is closed already stays so by its first close: whoever undoes this one knows
    // nothing of what the first was for.
    const closed = this.#record.closed ?? order
    const startedMs = this.#context.clock.nowMs()
    this.#linger()
    this.#replace({ ...this.#record, order, closed })
    const durable = this.#context.records.save(this.#record)
    await Promise.all([durable, this.#drained()])
    await this.#mirrors?.settle()
    this.#mustBeNewest(order)
    return {
      generation: this.map.generation,
      leaseLeftMs: Math.ceil(this.#mirrors?.leaseLeftMs() ?? 0),
      drainedMs: Math.round(this.#context.clock.nowMs() - startedMs),
      segments: this.conditions(),
      incarnations: this.incarnations(),
    }
  }

  /**
   * Takes up a map and opens. A volume that is open under another generation closes itself first
   * and lets its own operations end.
   */
  async activate(order: Order, map: VolumeMap): Promise<SegmentIncarnation[]> {
    this.#mustBeHigher(order)
    if (map.generation < this.map.generation) {
      const text = `generation ${map.generation} is older than ${this.map.generation} held here`
      throw new StorageError('conflict', `volume ${this.map.name}: ${text}`)
    }
    if (map.generation !== this.map.generation) {
      this.#linger()
      this.#switching = true
    }
    this.#takingUp += 1
    try {
      this.#replace({ ...this.#record, order })
      await this.#takeUp(order, map)
    } finally {
      this.#takingUp -= 1
      this.#context.changed(this)
    }
    return this.incarnations()
  }

  /**
   * Undoes exactly the close named, of which a manager has read that nothing was committed. That
   * says nothing of earlier changes: what was not confirmed before the close is not so after it.
   */
  reopen(order: Order, closed: Order): void {
    this.#mustBeHigher(order)
    const own = this.#record.closed
    if (own === undefined || compareOrders(own, closed) !== 0 || this.#switching) {
      const text = `is not closed by ${orderText(closed)} but ${own ? orderText(own) : 'not at all'}`
      throw new StorageError('conflict', `volume ${this.map.name} ${text}`)
    }
    this.#replace({ ...this.#record, order, closed: undefined })
    this.#saveSoon()
  }

  /**
   * The volume was deleted and its manager has forgotten it, because this server once said that it
   * had freed it: a loss of power must have taken that back. What is served is never freed so.
   */
  async forget(): Promise<void> {
    if (!this.needsAnswer) return
    const { order } = this
    const map = { ...this.map, deleted: true }
    this.#switching = true
    this.#replace(this.#record)
    await this.#drained()
    await this.#apply(order, map)
    this.#mustBeNewest(order)
    this.#replace({ ...this.#record, map })
    await this.#context.records.save(this.#record)
  }

  /** Call when the store's incarnation or its replicas changed: what may be served is looked at anew. */
  storeChanged(): void {
    this.#look()
    this.#context.changed(this)
  }

  incarnations(): SegmentIncarnation[] {
    return heldSegments(this.map, this.#context.serverId).flatMap(({ segment: { segmentId } }) => {
      const incarnation = this.#incarnation(segmentId)
      return incarnation === undefined ? [] : [{ segmentId, incarnation }]
    })
  }

  /** Of the replicas elsewhere. */
  conditions(): SegmentCondition[] {
    return this.#mirrors?.conditions() ?? []
  }

  /** What this server tells a manager of the volume. */
  describe(sessions: number): HeldVolumeMessage {
    return {
      volumeId: this.volumeId,
      name: this.map.name,
      generation: this.map.generation,
      closed: this.closed,
      incarnations: this.incarnations(),
      serving: this.#serving,
      order: this.order,
      sessions,
      segments: this.conditions(),
    }
  }

  /** Call in the turn in which nothing more is admitted from clients, and before. */
  #linger(): void {
    if (this.state !== 'open' || !leadsAndFollows(this.#views)) return
    const { clock } = this.#context
    this.#lingering ??= untilQuiet({ clock, clients: this.begun, primaries: this.replicated }).then(
      () => {
        this.#lingering = undefined
        this.storeChanged()
      },
    )
  }

  /** What had begun has ended; nothing begins. */
  async #drained(): Promise<void> {
    await this.#lingering
    await Promise.all([this.begun.drained(), this.replicated.drained()])
  }

  #mustBeHigher(order: Order): void {
    if (compareOrders(order, this.#record.order) > 0) return
    const text = `order ${orderText(order)} is not above ${orderText(this.#record.order)}`
    throw new StorageError('conflict', `volume ${this.map.name}: ${text}`)
  }

  /** After an await: a higher order may have come meanwhile, and this one's answer would be a lie. */
  #mustBeNewest(order: Order): void {
    if (compareOrders(order, this.#record.order) === 0) return
    const text = `order ${orderText(order)} was overtaken by ${orderText(this.#record.order)}`
    throw new StorageError('conflict', `volume ${this.map.name}: ${text}`)
  }

  async #takeUp(order: Order, map: VolumeMap): Promise<void> {
    if (this.#switching) await this.#drained()
    await this.#apply(order, map)
    this.#mustBeNewest(order)
    const first = !this.#established
    this.#switching = false
    this.#confirmed = true
    this.#established = true
    const held = heldSegments(map, this.#context.serverId)
    const incarnation = (segmentId: string) => this.#incarnation(segmentId)
    const inSync = inSyncMarks(this.#record.inSync, held, map.generation, incarnation)
    this.#replace({ map, order, closed: undefined, confirmedGeneration: map.generation, inSync })
    // Without a record a server does not know that there is something to ask about; and a manager
    // forgets a volume once its servers have freed it, and then nobody is left to ask.
    if (first || map.deleted) await this.#context.records.save(this.#record)
    else this.#saveSoon()
  }

  /** One at a time, so that two maps never create or drop the same replica side by side. */
  async #apply(order: Order, map: VolumeMap): Promise<void> {
    const applied = this.#applying.then(async () => {
      this.#mustBeNewest(order)
      await this.#applyToReplicas(map)
    })
    // Whoever comes next waits for the end of this one, not for its success.
    this.#applying = applied.catch(() => undefined)
    await applied
  }

  async #applyToReplicas(map: VolumeMap): Promise<void> {
    const { store, serverId, log } = this.#context
    const created = missingSegments(store, map, serverId)
    await this.#forgetMarks(created)
    const believed = (id: string) =>
      this.#established && this.#views.get(id)?.replica.incarnation === store.incarnation
    // Before replicas are made, so that whoever tries again finds them missing as well.
    await this.#mirrors?.prepare({ from: this.map, to: map, created })
    await takeUpReplicas({ store, serverId, log, from: this.map, to: map, believed })
  }

  /** Durable before an empty replica is made: it must not pass for the one that was in sync. */
  async #forgetMarks(segmentIds: ReadonlySet<string>): Promise<void> {
    const inSync = this.#record.inSync.filter(({ segmentId }) => !segmentIds.has(segmentId))
    if (inSync.length === this.#record.inSync.length) return
    this.#replace({ ...this.#record, inSync })
    await this.#context.records.save(this.#record)
  }

  #incarnation(segmentId: string): string | undefined {
    const { incarnation } = this.#context.store
    if (incarnation === undefined) return undefined
    return this.#context.store.replicaBlocks(segmentId) === undefined ? undefined : incarnation
  }

  #replace(record: VolumeRecord): void {
    this.#record = record
    this.#look()
    this.#context.changed(this)
  }

  #look(): void {
    const { serverId } = this.#context
    const incarnation = (segmentId: string) => this.#incarnation(segmentId)
    const lingering = this.#lingering !== undefined
    const facts = { map: this.map, serverId, state: this.state, lingering, incarnation }
    this.#views = segmentViews(facts)
    this.outcomes.look(this.#views, this.map.generation, incarnation)
    this.#mirrors?.look(this.#views)
  }

  /**
   * An opening need not be durable before it is served: a server that forgets it asks again. One
   * that cannot be made durable is taken back, so that the failure is not found at the next start.
   */
  #saveSoon(): void {
    const record = this.#record
    background(this.#context.records.save(record), (error) => {
      this.#context.log.error('record not saved', { volume: record.map.name, error })
      this.#confirmed = false
      this.storeChanged()
    })
  }
}

/** Below every order that is ever sent. */
const noOrder: Order = { term: 0, number: 0 }

function orderText(order: Order): string {
  return `${order.term}.${order.number}`
}

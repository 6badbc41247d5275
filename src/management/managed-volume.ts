/**
 * One volume under its manager: carries out changes one at a time (close, commit, activate; or
 * commit and activate alone), answers servers that ask what became of it, and brings along those
 * that stayed behind. The decision is the commit in the configuration store: before it the change
 * never happened, after it the change has. It owns nothing durable.
 */
import { background } from '../base/background.ts'
import { StorageError } from '../base/errors.ts'
import { manager as limits, mirror } from '../base/limits.ts'
import type { AskReply } from '../control/messages/client.ts'
import type { HeldVolume, Order } from '../control/messages/server.ts'
import type { StorageServerClient } from '../control/services.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { VolumeMap } from '../volume/map.ts'
import { Activations, hasLost } from './activations.ts'
import { type Plan, type SetsToClose, setsToClose } from './change-plan.ts'
import { type Closed, CloseRound } from './close-round.ts'
import type { ConfigurationStore } from './configuration-store.ts'
import { isInSync, primariesOf, serversOf } from './map-edits.ts'
import type { RollCall } from './roll-call.ts'
import { ShutOutTimes } from './shut-out.ts'

/** What a volume needs of the manager around it. */
export interface VolumeContext {
  readonly store: ConfigurationStore
  readonly clock: Clock
  readonly log: Log
  readonly nextOrder: () => Order
  readonly client: (serverId: string) => StorageServerClient
  readonly isDead: (serverId: string) => boolean
  readonly nameOf: (serverId: string) => string
  readonly rollCall: Pick<RollCall, 'taken'>
  /** The map as it is handed out: with the portals of today. */
  readonly handOut: (map: VolumeMap) => VolumeMap
  /** Called in the turn in which a new map was decided. */
  readonly committed: (map: VolumeMap) => void
  /** Called when watching clients should hear of it. */
  readonly publish: (map: VolumeMap) => void
  /** The servers of a deleted volume have all freed it. */
  readonly freed: (volumeId: string) => void
  /** Asks a server for its state, soon. */
  readonly refresh: (serverId: string, delayMs?: number) => void
  /** A change has ended, whatever came of it. */
  readonly settled: (volume: ManagedVolume) => void
  readonly shutOut: ShutOutTimes
}

export interface Outcome {
  readonly map: VolumeMap
  readonly shutOutMs: number
}

interface Job {
  readonly plan: Plan
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: Error) => void
}

type Phase = '' | 'closing' | 'committing' | 'activating' | 'fence pending'

export class ManagedVolume {
  readonly #context: VolumeContext
  readonly shutOut = new ShutOutTimes()
  #map: VolumeMap
  #phase: Phase = ''
  #queue: Job[] = []
  #running: Plan | undefined
  #round: CloseRound | undefined
  readonly #activations: Activations

  constructor(context: VolumeContext, map: VolumeMap) {
    this.#context = context
    this.#map = map
    this.#activations = new Activations(context)
  }

  get map(): VolumeMap {
    return this.#map
  }

  get phase(): Phase {
    return this.#phase
  }

  /** Between the first close and the decision nobody can say what becomes of the volume. */
  get #deciding(): boolean {
    return this.#phase !== '' && this.#phase !== 'activating'
  }

  /** Servers that have not confirmed the newest map. */
  get behind(): readonly string[] {
    return this.#activations.behind(this.#map)
  }

  /** Why servers that could be reached would not take the newest map. */
  get refusals(): readonly string[] {
    return this.#activations.refusals(this.#map)
  }

  /** Its clients and partners have the newest map by now, and it could not be told. */
  hasMissed(serverId: string): boolean {
    return this.#activations.hasMissed(serverId, this.#map)
  }

  /** The client whose fence could not close all it has to, and who is waited for. */
  get pendingFence():
    | { readonly client: string; readonly waitingFor: readonly string[] }
    | undefined {
    const client = this.#running?.fences
    if (this.#phase !== 'fence pending' || client === undefined) return undefined
    const waitingFor = (this.#round?.open ?? []).map(({ serverId }) => serverId)
    return { client, waitingFor }
  }

  /** Carries out a change after those that wait already. */
  change(plan: Plan): Promise<Outcome> {
    if (this.#phase === 'fence pending') return Promise.reject(this.#pendingError())
    return new Promise((resolve, reject) => {
      this.#queue.push({ plan, resolve, reject })
      this.#next()
    })
  }

  /** Takes up, after a restart, a fence that the store holds as pending. */
  resumeFence(plan: Plan): void {
    background(this.change(plan), (error) => {
      this.#context.log.warn('fence pending', { volume: this.#map.name, error })
    })
  }

  /** Gives up the pending fence of this client; false when there is none. */
  async cancelFence(client: string): Promise<boolean> {
    if (this.pendingFence?.client !== client) return false
    // What comes from now on waits for the reopening instead of being turned away.
    this.#phase = 'closing'
    await this.#context.store.removeFence(this.#map.volumeId)
    this.#round?.cancel()
    return true
  }

  /** Brings every server to the map that was just committed; the first time of a new volume. */
  async activateFirst(): Promise<void> {
    this.#phase = 'activating'
    await this.#activateAll(serversOf(this.#map))
    this.#phase = ''
    this.#next()
    this.#context.settled(this)
  }

  /** Looks again at servers that a change waits for. */
  poke(): void {
    this.#round?.poke()
  }

  /** The process of the server is a new one: it has to be confirmed again. */
  restarted(serverId: string): void {
    this.#activations.forget(serverId)
  }

  /** What a server says of this volume (undefined: it holds nothing); brings it along. */
  async heard(serverId: string, held: HeldVolume | undefined): Promise<void> {
    const order = held?.order
    if (this.#activations.isOvertaken(serverId, order)) return
    const map = this.#map
    const upToDate = held?.serving === true && held.generation === map.generation
    if (upToDate || (map.deleted && held === undefined)) {
      const none = { term: 0, number: 0 }
      this.#activations.confirm(serverId, map.generation, order ?? none)
      this.#forgetIfFreed()
      return
    }
    if (this.#phase !== '' || this.#activations.isUnderWay(serverId)) return
    this.#activations.forget(serverId)
    if (await this.#activations.activate(serverId, map)) this.#forgetIfFreed()
    else this.#context.refresh(serverId, limits.askAgainMs)
  }

  /** What became of the volume, for a server that asks. */
  verdict(serverId: string, held: HeldVolume): AskReply {
    const map = this.#map
    if (this.#deciding) return { wait: true }
    if (held.generation > map.generation) {
      const { name, generation } = map
      const fields = { volume: name, server: serverId, generation, held: held.generation }
      this.#context.log.error('a server holds a generation that was never committed', fields)
      return { wait: true }
    }
    if (held.serving && held.generation === map.generation) return { wait: true }
    // A second order would overtake the one that is under way and make its answer a refusal.
    if (this.#activations.isUnderWay(serverId)) return { wait: true }
    this.#activations.forget(serverId)
    this.#context.refresh(serverId)
    if (hasLost(map, serverId, held.incarnations)) return { wait: true }
    return { activate: { order: this.#context.nextOrder(), map: this.#context.handOut(map) } }
  }

  #next(): void {
    if (this.#running !== undefined || this.#phase !== '') return
    const job = this.#queue.shift()
    if (job === undefined) return
    this.#running = job.plan
    const done = this.#run(job).then(job.resolve, job.reject)
    background(
      done.then(() => {
        this.#running = undefined
        this.#phase = ''
        this.#next()
        this.#context.settled(this)
      }),
      () => undefined,
    )
  }

  async #run(job: Job): Promise<Outcome> {
    const { plan } = job
    const { clock, store, rollCall } = this.#context
    await rollCall.taken(serversOf(this.#map))
    const before = this.#map
    if (before.deleted) throw new StorageError('not-found', `volume ${before.name} is deleted`)
    if (plan.next(before) === undefined) return { map: before, shutOutMs: 0 }
    const startMs = clock.nowMs()
    const sets = setsToClose(plan, before)
    const round = sets.size === 0 ? undefined : await this.#close(job, sets)
    const draft = plan.next(before, round?.outcome())
    if (draft === undefined) {
      if (round !== undefined) await this.#reopen(round)
      return { map: before, shutOutMs: 0 }
    }
    this.#phase = 'committing'
    this.#map = await store.commitMap(draft, { settlesFence: plan.fences !== undefined })
    this.#phase = 'activating'
    this.#context.committed(this.#map)
    const confirmedMs = await this.#activateAll([...serversOf(before), ...serversOf(this.#map)])
    const shutOutMs = confirmedMs - startMs
    this.shutOut.record(shutOutMs)
    this.#context.shutOut.record(shutOutMs)
    const { name, generation } = this.#map
    this.#context.log.info('map changed', {
      volume: name,
      change: plan.name,
      generation,
      shutOutMs,
    })
    return { map: this.#map, shutOutMs }
  }

  /** Resolves when the sets are closed; otherwise undoes what it did and throws. */
  async #close(job: Job, sets: SetsToClose): Promise<CloseRound> {
    const { plan } = job
    this.#phase = 'closing'
    const round = this.#newRound(plan, sets)
    this.#round = round
    const giveUp = this.#context.clock.after(this.#patienceMs(), () => {
      if (plan.fences === undefined) round.cancel()
      else background(this.#stayPending(job, plan.fences, round), () => round.cancel())
    })
    const closed = await round.run()
    giveUp()
    this.#round = undefined
    try {
      if (!closed && plan.isPartial !== true) throw this.#notClosed(plan, round)
      plan.accept?.(round.answers.map(({ reply }) => reply))
    } catch (error) {
      await this.#reopen(round)
      throw error
    }
    return round
  }

  /** A lease that has to run out is waited for on top. */
  #patienceMs(): number {
    const { volumeId, leaseMs, segments } = this.#map
    if (this.#context.store.fence(volumeId) !== undefined) return 0
    const hasLeases = segments.some(({ replicas }) => replicas.length > 1)
    return limits.closeGivesUpMs + (hasLeases ? leaseMs * mirror.leaseMargin : 0)
  }

  #newRound(plan: Plan, sets: SetsToClose): CloseRound {
    const { clock, nextOrder, client, isDead } = this.#context
    return new CloseRound({
      map: this.#map,
      sets,
      clock,
      nextOrder,
      client,
      isDead,
      absent: async (serverId) => {
        if (plan.givesUp === true) return true
        // Otherwise an activate of ours that is still on its way could open it after the commit:
        // it has to have the map first, and with it the order that refuses what is late.
        await this.#activations.activate(serverId, this.#map)
        return false
      },
      retryMs: () => (this.#phase === 'fence pending' ? limits.fenceRetryMs : limits.retryMs),
    })
  }

  /** From here on the fence survives this manager, and its caller knows that it is not done. */
  async #stayPending(job: Job, client: string, round: CloseRound): Promise<void> {
    const { store, clock } = this.#context
    const { volumeId } = this.#map
    if (store.fence(volumeId) === undefined) {
      await store.putFence({ volumeId, client, sinceWallMs: clock.wallMs() })
    }
    if (this.#round !== round) {
      // It closed while the record was being written, and its commit may not have seen it.
      if (store.fence(volumeId) !== undefined) await store.removeFence(volumeId)
      return
    }
    this.#phase = 'fence pending'
    const error = this.#pendingError()
    job.reject(error)
    for (const waiting of this.#queue.splice(0)) waiting.reject(error)
  }

  #pendingError(): StorageError {
    const { name } = this.#map
    const client = this.#running?.fences ?? ''
    const waiting = this.#round === undefined ? '' : this.#describeOpen(this.#round)
    const advice =
      'it goes on by itself; "server declare-dead" cuts it short where a machine is off'
    return new StorageError(
      'conflict',
      `volume ${name}: the fence of ${client} is pending, not yet closed: ${waiting}; ${advice}`,
    )
  }

  #notClosed(plan: Plan, round: CloseRound): StorageError {
    const open = this.#describeOpen(round)
    const why = `${plan.name} given up and undone: could not close ${open}`
    return new StorageError('unreachable', `volume ${this.#map.name}: ${why}`)
  }

  #describeOpen(round: CloseRound): string {
    return round.open
      .map(({ serverId, cause }) => `${this.#context.nameOf(serverId)} (${cause})`)
      .join(', ')
  }

  /** Nothing was committed: undoes exactly the closes of this round. */
  async #reopen(round: CloseRound): Promise<void> {
    round.cancel()
    const early = round.answers
    await Promise.all(early.map((closed) => this.#reopenOne(closed)))
    await round.quiet()
    const late = round.answers.filter((each) => !early.includes(each))
    await Promise.all(late.map((closed) => this.#reopenOne(closed)))
    // Whoever was closed and is not reached asks by itself once a second.
    for (const { serverId } of round.open) this.#context.refresh(serverId)
  }

  async #reopenOne({ serverId, order: closed }: Closed): Promise<void> {
    const { client, nextOrder } = this.#context
    const request = { order: nextOrder(), volumeId: this.#map.volumeId, closed }
    try {
      await client(serverId).reopen(request, limits.orderDeadlineMs)
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      this.#activations.forget(serverId)
      this.#context.refresh(serverId)
    }
  }

  /**
   * Tells clients when those that serve them have confirmed, or after a moment; waits for replicas
   * in sync, and for all of a deleted volume. Answers when the last of these did.
   */
  async #activateAll(servers: readonly string[]): Promise<number> {
    const { clock, publish } = this.#context
    const map = this.#map
    let published = false
    const publishOnce = (): void => {
      if (!published) publish(map)
      published = true
    }
    const cancel = clock.after(limits.publishLatestMs, publishOnce)
    const silent = new Set(primariesOf(map))
    let confirmedMs = clock.nowMs()
    const ids = [...new Set(servers)]
    const activations = ids.map(async (serverId) => {
      if (!(await this.#activations.activate(serverId, map))) this.#context.refresh(serverId)
      else if (isInSync(map, serverId)) confirmedMs = clock.nowMs()
      silent.delete(serverId)
      if (silent.size === 0) publishOnce()
    })
    const waitedFor = activations.filter((_, index) => map.deleted || isInSync(map, ids[index]!))
    await Promise.all(waitedFor)
    cancel()
    publishOnce()
    background(Promise.all(activations), () => undefined)
    this.#forgetIfFreed()
    return confirmedMs
  }

  #forgetIfFreed(): void {
    if (this.#map.deleted && this.behind.length === 0) this.#context.freed(this.#map.volumeId)
  }
}

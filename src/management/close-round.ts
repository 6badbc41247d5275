/**
 * One round of closing: asks servers until the replica sets in question are closed, or until it is
 * cancelled. Repeats itself under a higher order each time, because a server refuses what is not
 * higher. Who is asked for a set is its mode (change-plan.ts). A server closes the whole volume; of
 * the other sets that it is part of nothing is asked. It owns what the servers answered.
 */
import { background } from '../base/background.ts'
import { StorageError } from '../base/errors.ts'
import { manager as limits } from '../base/limits.ts'
import type { CloseReply, Order } from '../control/messages/server.ts'
import type { StorageServerClient } from '../control/services.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { VolumeMap } from '../volume/map.ts'
import type { CloseAnswers, CloseMode, SetsToClose } from './change-plan.ts'
import { closedSets, type SetVerdict } from './closed-sets.ts'

export interface CloseRoundOptions {
  readonly map: VolumeMap
  readonly sets: SetsToClose
  readonly clock: Clock
  readonly nextOrder: () => Order
  /** Throws StorageError `unreachable` where nobody knows an address. */
  readonly client: (serverId: string) => StorageServerClient
  readonly isDead: (serverId: string) => boolean
  readonly retryMs: () => number
  /** The server holds nothing of the volume yet; true: that is as good as closed. */
  readonly absent: (serverId: string) => Promise<boolean>
}

/** One set in question. */
interface ReplicaSet {
  readonly segmentId: string
  readonly mode: CloseMode
  readonly verdict: SetVerdict
  readonly primary: string
  /** The others in sync. */
  readonly standIns: readonly string[]
}

export interface Closed {
  readonly serverId: string
  /** Names the close, for reopen. */
  readonly order: Order
  readonly reply: CloseReply
  readonly leaseEndsMs: number
}

export class CloseRound {
  readonly #options: CloseRoundOptions
  readonly #answers = new Map<string, Closed>()
  readonly #causes = new Map<string, string>()
  readonly #asking = new Map<string, Promise<void>>()
  readonly #pauses = new Map<string, () => void>()
  #lease: Cancel | undefined
  #over: boolean | undefined
  #settle: (closed: boolean) => void = () => undefined

  constructor(options: CloseRoundOptions) {
    this.#options = options
  }

  /**
   * True when all sets are closed; false when cancelled before, or when those that are not closed
   * can no longer be. Call it once.
   */
  run(): Promise<boolean> {
    return new Promise((resolve) => {
      this.#settle = resolve
      this.#evaluate()
    })
  }

  cancel(): void {
    this.#end(false)
  }

  /** A server has come back, or was declared dead: look again now. */
  poke(): void {
    for (const wake of [...this.#pauses.values()]) wake()
    if (this.#over === undefined) this.#evaluate()
  }

  /** Who answered so far; may grow after a cancel until `quiet`. */
  get answers(): readonly Closed[] {
    return [...this.#answers.values()]
  }

  /** What it came to: call it when the round is over. */
  outcome(): CloseAnswers {
    const replies = new Map(this.#answers)
    const sets = this.#sets().filter((each) => this.#isClosed(each))
    const closed = new Set(sets.map(({ segmentId }) => segmentId))
    return {
      reply: (serverId) => replies.get(serverId)?.reply,
      isClosed: (segmentId) => closed.has(segmentId),
    }
  }

  /** Primaries that could not be closed, with the last cause. */
  get open(): readonly { readonly serverId: string; readonly cause: string }[] {
    const ids = this.#sets().flatMap((each) => (this.#isClosed(each) ? [] : each.primary))
    return [...new Set(ids)].map((serverId) => {
      return { serverId, cause: this.#causes.get(serverId) ?? 'no answer yet' }
    })
  }

  /** Resolves when no close of this round is under way any more. */
  async quiet(): Promise<void> {
    await Promise.all(this.#asking.values())
  }

  /** The sets in question, as they stand now. */
  #sets(): ReplicaSet[] {
    const { map, sets, isDead, clock } = this.#options
    const verdicts = closedSets(map, { nowMs: clock.nowMs(), answers: this.#answers, isDead })
    return map.segments.flatMap(({ segmentId, replicas }, index) => {
      const mode = sets.get(segmentId)
      const [primary, ...others] = replicas
      if (mode === undefined || primary === undefined) return []
      const standIns = others.filter(({ state }) => state === 'in-sync')
      return {
        segmentId,
        mode,
        verdict: verdicts[index]!,
        primary: primary.serverId,
        standIns: standIns.map(({ serverId }) => serverId),
      }
    })
  }

  #isClosed({ mode, verdict, standIns }: ReplicaSet): boolean {
    if (verdict.kind !== 'closed') return false
    return mode !== 'everyone' || standIns.every((serverId) => this.#wasAsked(serverId))
  }

  /** To the end, at least once. */
  #wasAsked(serverId: string): boolean {
    return this.#answers.has(serverId) || this.#causes.has(serverId)
  }

  #evaluate(): void {
    const open = this.#sets().filter((each) => !this.#isClosed(each))
    const waiting = open.filter(({ mode, primary }) => mode !== 'primary' || !this.#gaveUp(primary))
    if (waiting.length === 0) {
      this.#end(open.length === 0)
      return
    }
    for (const each of waiting) this.#askFor(each)
    const ends = waiting.flatMap(({ verdict }) => (verdict.kind === 'lease' ? verdict.untilMs : []))
    this.#waitForLease(ends)
  }

  /** A set of which the primary alone may be asked: it did not answer. */
  #gaveUp(primary: string): boolean {
    return this.#causes.has(primary)
  }

  #askFor({ mode, verdict, primary, standIns }: ReplicaSet): void {
    if (mode === 'everyone' || verdict.kind === 'open') this.#ask(primary)
    const standsIn = mode === 'set' && verdict.kind === 'open' && this.#causes.has(primary)
    if (mode !== 'everyone' && !standsIn) return
    for (const serverId of standIns) this.#ask(serverId)
  }

  #waitForLease(ends: readonly number[]): void {
    this.#lease?.()
    if (ends.length === 0) return
    const { clock } = this.#options
    const delayMs = Math.max(1, Math.ceil(Math.min(...ends) - clock.nowMs()))
    this.#lease = clock.after(delayMs, () => {
      if (this.#over === undefined) this.#evaluate()
    })
  }

  #ask(serverId: string): void {
    if (this.#asking.has(serverId)) return
    const asking = this.#askUntilAnswered(serverId)
    this.#asking.set(serverId, asking)
    background(asking, () => undefined)
  }

  async #askUntilAnswered(serverId: string): Promise<void> {
    while (this.#over === undefined && !this.#answers.has(serverId)) {
      try {
        await this.#askOnce(serverId)
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
        this.#causes.set(serverId, error.message)
      }
      if (this.#over === undefined) this.#evaluate()
      if (this.#over === undefined && !this.#answers.has(serverId)) await this.#pause(serverId)
    }
  }

  async #askOnce(serverId: string): Promise<void> {
    const { clock, client, map, nextOrder, absent } = this.#options
    const order = nextOrder()
    const request = { order, volumeId: map.volumeId }
    try {
      const reply = await client(serverId).close(request, limits.orderDeadlineMs)
      const leaseEndsMs = clock.nowMs() + reply.leaseLeftMs
      this.#answers.set(serverId, { serverId, order, reply, leaseEndsMs })
    } catch (error) {
      if (!(error instanceof StorageError && error.code === 'not-found')) throw error
      if (!(await absent(serverId))) throw error
      const reply = {
        generation: 0,
        leaseLeftMs: 0,
        drainedMs: 0,
        sessions: 0,
        segments: [],
        incarnations: [],
      }
      this.#answers.set(serverId, { serverId, order, reply, leaseEndsMs: 0 })
    }
  }

  #pause(serverId: string): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel()
        this.#pauses.delete(serverId)
        resolve()
      }
      const cancel = this.#options.clock.after(this.#options.retryMs(), wake)
      this.#pauses.set(serverId, wake)
    })
  }

  #end(closed: boolean): void {
    if (this.#over !== undefined) return
    this.#over = closed
    this.#lease?.()
    for (const wake of [...this.#pauses.values()]) wake()
    this.#settle(closed)
  }
}

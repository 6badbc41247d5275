/**
 * One round of closing: asks servers until every replica set of the volume is closed, or until it
 * is cancelled. Repeats itself under a higher order each time, because a server refuses what is
 * not higher. The primaries are asked first; the other replicas of a set when its primary does not
 * answer. It owns what the servers answered.
 */
import { background } from '../base/background.ts'
import { StorageError } from '../base/errors.ts'
import { manager as limits } from '../base/limits.ts'
import type { CloseReply, Order } from '../control/messages/server.ts'
import type { StorageServerClient } from '../control/services.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { VolumeMap } from '../volume/map.ts'
import { closedSets } from './closed-sets.ts'

export interface CloseRoundOptions {
  readonly map: VolumeMap
  readonly clock: Clock
  readonly nextOrder: () => Order
  /** Throws StorageError `unreachable` where nobody knows an address. */
  readonly client: (serverId: string) => StorageServerClient
  readonly isDead: (serverId: string) => boolean
  readonly retryMs: () => number
  /** The server holds nothing of the volume yet; true: that is as good as closed. */
  readonly absent: (serverId: string) => Promise<boolean>
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

  /** True when all sets are closed, false when cancelled before. Call it once. */
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

  /** Primaries that could not be closed, with the last cause. */
  get open(): readonly { readonly serverId: string; readonly cause: string }[] {
    const ids = this.#verdicts().flatMap((each) => (each.kind === 'open' ? each.primary : []))
    return [...new Set(ids)].map((serverId) => {
      return { serverId, cause: this.#causes.get(serverId) ?? 'no answer yet' }
    })
  }

  /** Resolves when no close of this round is under way any more. */
  async quiet(): Promise<void> {
    await Promise.all(this.#asking.values())
  }

  #verdicts() {
    const { map, isDead, clock } = this.#options
    return closedSets(map, { nowMs: clock.nowMs(), answers: this.#answers, isDead })
  }

  #evaluate(): void {
    const verdicts = this.#verdicts()
    if (verdicts.every(({ kind }) => kind === 'closed')) {
      this.#end(true)
      return
    }
    verdicts.forEach((verdict, index) => {
      const { replicas } = this.#options.map.segments[index]!
      for (const { serverId, state } of replicas) {
        const isPrimary = serverId === replicas[0]?.serverId
        const standsIn = state === 'in-sync' && this.#causes.has(replicas[0]!.serverId)
        if (verdict.kind === 'open' && (isPrimary || standsIn)) this.#ask(serverId)
      }
    })
    this.#waitForLease(verdicts.flatMap((each) => (each.kind === 'lease' ? each.untilMs : [])))
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
      const reply = { generation: 0, leaseLeftMs: 0, drainedMs: 0, sessions: 0, segments: [], incarnations: [] }
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

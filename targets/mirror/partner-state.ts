/**
 * One other replica of a segment as its primary sees it under one map: whether it must have every
 * write, is being brought up and so is sent every write, or is away. It owns that knowledge and the
 * waiting for a partner that does not answer now; the session is the Partner's affair.
 */
import { background } from '../../src/base/background.ts'
import { mirror as limits } from '../../src/base/limits.ts'
import type { PartnerCondition } from '../../src/control/messages/server.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { Replica } from '../../src/volume/map.ts'
import type { BringUp } from './bring-up.ts'
import { type Partner, PartnerFailure, type PartnerFailureKind } from './partner.ts'

/** What of the session with its server concerns all replicas there. */
export interface PartnerHearing {
  readonly silent: boolean
  /** Of its store, as it last said. */
  readonly incarnation: string
  /** Somebody waits for what it confirms. */
  hurry(): void
}

export interface PartnerStateContext {
  readonly clock: Clock
  readonly partner: Partner
  readonly hearing: PartnerHearing
  /** Called in the turn in which what is said of the partner changed. */
  changed(): void
}

export class PartnerState {
  readonly replica: Replica
  readonly partner: Partner
  readonly inSync: boolean
  /** Of one that is not in sync, while its primary is open. */
  bringUp: BringUp | undefined
  readonly #context: PartnerStateContext
  /** It could not do the last thing that it was asked for, or has refused for too long. */
  #failing = false
  #failingSinceMs: number | undefined
  /** Since when it owes answers, the oldest first. */
  readonly #calls = new Set<{ readonly sinceMs: number }>()
  #overdue = false
  #cancelOverdue: Cancel | undefined
  #waiting: (() => void)[] = []
  #ended = false
  #watching = false
  #cancelRetry: Cancel | undefined

  constructor(context: PartnerStateContext, replica: Replica) {
    this.#context = context
    this.replica = replica
    this.partner = context.partner
    this.inSync = replica.state === 'in-sync'
  }

  get serverId(): string {
    return this.replica.serverId
  }

  /** To be asked in the turn in which what is written is marked. */
  get sentWrites(): boolean {
    return this.inSync || this.bringUp?.receivesWrites === true
  }

  /** It owes answers. */
  get busy(): boolean {
    return this.#calls.size > 0
  }

  /** Nobody may count on it now. */
  get useless(): boolean {
    return this.#failing || this.#overdue || this.#context.hearing.silent
  }

  hurry(): void {
    this.#context.hearing.hurry()
  }

  /** Counts whether the partner does what it is asked for. Rejects with PartnerFailure. */
  async call<R>(run: (partner: Partner) => Promise<R>): Promise<R> {
    const call = { sinceMs: this.#context.clock.nowMs() }
    this.#calls.add(call)
    this.#watchOldest()
    try {
      const result = await run(this.partner)
      this.#failingSinceMs = undefined
      this.#set({ failing: false })
      return result
    } catch (error) {
      if (error instanceof PartnerFailure) this.failed(error.kind)
      throw error
    } finally {
      this.#calls.delete(call)
      if (this.#overdue) this.#set({ overdue: this.#owesTooLong() })
    }
  }

  /** One that refuses for a moment may just have begun; its manager will tell it what it needs. */
  failed(kind: PartnerFailureKind): void {
    const nowMs = this.#context.clock.nowMs()
    this.#failingSinceMs ??= nowMs
    const forLong = nowMs - this.#failingSinceMs >= limits.suspectedMs
    if (kind === 'failed' || forLong) this.#set({ failing: true })
  }

  /** True when all that one which is up to date was sent is durable there. */
  async flushUpToDate(generation: Generation): Promise<boolean> {
    const { bringUp } = this
    if (bringUp?.state !== 'up-to-date') return false
    try {
      await this.call((partner) => partner.flush({ generation }))
      return bringUp.state === 'up-to-date'
    } catch (error) {
      if (!(error instanceof PartnerFailure)) throw error
      bringUp.failed()
      return false
    }
  }

  /** Resolves when it is worth another try after a failure of that kind, or when told by `wake`. */
  again(kind: PartnerFailureKind): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      // Nothing tells when a partner that refuses, or fails, will do so no more.
      if (kind !== 'lost' || this.partner.up) this.#wakeAfter(limits.partnerRetryMs)
      if (this.#watching) return
      this.#watching = true
      const looked = this.partner.changed().then(() => {
        this.#watching = false
        this.wake()
      })
      background(looked, () => undefined)
    })
  }

  /** Nothing is asked of it any more. */
  end(): void {
    this.bringUp?.stop()
    this.wake()
    this.#ended = true
    this.#cancelOverdue?.()
  }

  /** Whoever waits looks again. */
  wake(): void {
    this.#cancelRetry?.()
    this.#cancelRetry = undefined
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  condition(): PartnerCondition {
    const { bringUp } = this
    const { incarnation } = this.#context.hearing
    const common = { serverId: this.serverId, incarnation }
    if (this.inSync) {
      const none = { behindBytes: 0, totalBytes: 0, bytesPerSecond: 0, copiedBytes: 0 }
      return { ...common, ...none, state: this.useless ? 'silent' : 'confirming' }
    }
    const {
      behindBytes = 0,
      totalBytes = 0,
      bytesPerSecond = 0,
      copiedBytes = 0,
    } = bringUp?.progress ?? {}
    const state = bringUp === undefined || bringUp.state === 'behind' ? 'silent' : bringUp.state
    return { ...common, state, behindBytes, totalBytes, bytesPerSecond, copiedBytes }
  }

  #watchOldest(): void {
    if (this.#ended) return
    this.#cancelOverdue ??= this.#context.clock.after(limits.partnerCallMs, () => {
      this.#cancelOverdue = undefined
      if (!this.busy) return
      this.#set({ overdue: this.#owesTooLong() })
      // Nobody drops one that is behind anyway; clients do not wait for it.
      if (this.#overdue && !this.inSync) this.partner.abandon()
      this.#watchOldest()
    })
  }

  #owesTooLong(): boolean {
    const [oldest] = this.#calls
    if (oldest === undefined) return false
    return this.#context.clock.nowMs() - oldest.sinceMs >= limits.partnerCallMs
  }

  #set({ failing = this.#failing, overdue = this.#overdue }): void {
    if (failing === this.#failing && overdue === this.#overdue) return
    this.#failing = failing
    this.#overdue = overdue
    this.#context.changed()
  }

  #wakeAfter(delayMs: number): void {
    this.#cancelRetry ??= this.#context.clock.after(delayMs, () => {
      this.#cancelRetry = undefined
      this.wake()
    })
  }
}

/**
 * A segment's primary under one map: its partners, its lease, and whether it is being closed. Once
 * closed it gives up on what does not answer, so that a close ends; what was given up is for the
 * segment to remember. Another map makes another one of these.
 */
import { mirror as limits } from '../../src/base/limits.ts'
import type { PartnerCondition } from '../../src/control/messages/server.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { Leases, LeaseTerms } from './leases.ts'
import type { PartnerState } from './partner-state.ts'

export interface PrimaryStateOptions {
  readonly clock: Clock
  readonly leases: Leases
  readonly terms: LeaseTerms
  /** Every other replica of the map. */
  readonly partners: readonly PartnerState[]
}

export class PrimaryState {
  readonly partners: readonly PartnerState[]
  /** Those of them that must have every write. */
  readonly inSync: readonly PartnerState[]
  /** Servers of the others. */
  readonly behind: readonly string[]
  readonly #options: PrimaryStateOptions
  #closing = false
  #cancelGivingUp: Cancel | undefined
  /** Those that were up to date, durably, when the last close had drained. */
  #flushed: ReadonlySet<PartnerState> = new Set()

  constructor(options: PrimaryStateOptions) {
    this.#options = options
    this.partners = options.partners
    this.inSync = options.partners.filter(({ inSync }) => inSync)
    this.behind = options.partners.flatMap(({ inSync, serverId }) => (inSync ? [] : [serverId]))
  }

  get generation(): Generation {
    return this.#options.terms.generation
  }

  get closing(): boolean {
    return this.#closing
  }

  /** To be asked in the turn of an answer that rests on what is here alone, after its data were read. */
  get holdsLease(): boolean {
    return this.#options.leases.holds(this.#options.terms)
  }

  /** Somebody waits for the lease. */
  hurry(): void {
    for (const partner of this.inSync) partner.hurry()
  }

  /**
   * Whoever waits for a partner that is away waits no more; one that stands and does not answer has
   * a little time, and then its session ends: the buffers of a call are its own until it settles.
   */
  close(): void {
    if (this.#closing) return
    this.#closing = true
    for (const partner of this.partners) {
      partner.wake()
      if (partner.busy && partner.useless) partner.partner.abandon()
    }
    this.#cancelGivingUp = this.#options.clock.after(limits.suspectedMs, () => this.#giveUp())
  }

  /** The close was undone. */
  open(): void {
    this.#closing = false
    this.#flushed = new Set()
    this.#cancelGivingUp?.()
  }

  /** Closed and drained: nothing is sent any more, so what is flushed now is all there is. */
  async settle(): Promise<void> {
    const { generation } = this
    const flushed = await Promise.all(
      this.partners.map(async (partner) => {
        return (await partner.flushUpToDate(generation)) ? [partner] : []
      }),
    )
    this.#flushed = new Set(flushed.flat())
    this.#cancelGivingUp?.()
  }

  conditions(): PartnerCondition[] {
    return this.partners.map((partner) => {
      const condition = partner.condition()
      // Once closed only what was flushed after the last write counts.
      const isUnsure = this.#closing && !this.#flushed.has(partner)
      return condition.state === 'up-to-date' && isUnsure
        ? { ...condition, state: 'copying' }
        : condition
    })
  }

  /** For good. */
  end(): void {
    this.close()
    for (const partner of this.partners) partner.end()
  }

  /** Over and over: a session that came up meanwhile may hang like the one before. */
  #giveUp(): void {
    const busy = this.partners.filter((partner) => partner.busy)
    for (const { partner } of busy) partner.abandon()
    if (busy.length === 0) return
    this.#cancelGivingUp = this.#options.clock.after(limits.suspectedMs, () => this.#giveUp())
  }
}

/**
 * Takes marks back, in the background, on the primary: it has everything flushed that is sent
 * writes, and clears what nobody has touched since that flush began (design: masks). Whatever fails
 * meanwhile, nothing is cleared. One of these belongs to one segment, one map and one time in which
 * it is open.
 *
 * Two kinds of marks. In-sync mask: with the flush all in-sync replicas have the same there. What a
 * replica that is being brought up lacks: with the flush it has what was copied and written there.
 */
import { background } from '../../src/base/background.ts'
import { StorageError } from '../../src/base/errors.ts'
import { mirror as limits } from '../../src/base/limits.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import {
  type ActivityView,
  type ClearingTimes,
  chooseForRoom,
  chooseIdle,
} from './clearing-choice.ts'
import { type ClearWhat, PartnerFailure } from './partner.ts'
import type { SegmentMasks } from './segment-masks.ts'

/** Another replica of the map. */
export interface ClearingPartner {
  readonly serverId: string
  readonly inSync: boolean
  /** Every write is sent to it. */
  readonly sentWrites: boolean
  /** Of one that is brought up, the attempt: what another one copied says nothing. */
  readonly attempt: object | undefined
  /** Of one that is brought up: what it lacks of the region must stay marked. */
  pending(region: number): boolean
  /** These two reject with PartnerFailure. */
  flush(): Promise<void>
  clear(regions: readonly number[], what: ClearWhat): Promise<void>
}

export interface ClearingOptions {
  readonly clock: Clock
  readonly times: ClearingTimes
  readonly masks: Pick<SegmentMasks, 'inSync' | 'lacks' | 'clear'>
  readonly activity: ActivityView
  readonly partners: readonly ClearingPartner[]
  /** The in-sync replicas may differ there, and have to be compared first. */
  pending(region: number): boolean
  /** Of the own replica; rejects with StorageError. */
  flushOwn(): Promise<void>
}

/** What is cleared if nothing happens there. */
interface Candidates {
  readonly beganMs: number
  readonly inSync: readonly number[]
  readonly lacking: readonly Lacking[]
}

interface Lacking {
  readonly partner: ClearingPartner
  readonly attempt: object | undefined
  readonly regions: readonly number[]
}

export class Clearing {
  readonly #options: ClearingOptions
  #cancel: Cancel
  #running = false
  #lastBeganMs = -Infinity
  #stopped = false
  #waiting: (() => void)[] = []

  /** Begins at once. */
  constructor(options: ClearingOptions) {
    this.#options = options
    this.#cancel = this.#after(options.times.intervalMs)
  }

  /**
   * To be waited for, once, before regions are marked in the in-sync mask: so many are marked that
   * comparing them would take too long. What was tried in vain is not tried again: rather a long
   * comparison one day than a client that waits now.
   */
  room(firstRegion: number, endRegion: number): Promise<void> | undefined {
    const { inSync } = this.#options.masks
    if (this.#stopped || inSync.count < limits.markedRegionsHigh) return undefined
    if (inSync.hasAll(firstRegion, endRegion)) return undefined
    this.#hurry()
    if (inSync.count < limits.markedRegions) return undefined
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Nothing is cleared from this turn on, and nobody waits. */
  stop(): void {
    this.#stopped = true
    this.#cancel()
    this.#wake()
  }

  #after(delayMs: number): Cancel {
    return this.#options.clock.after(delayMs, () => {
      background(this.#round(), () => undefined)
    })
  }

  #hurry(): void {
    if (this.#running) return
    this.#cancel()
    const sinceMs = this.#options.clock.nowMs() - this.#lastBeganMs
    this.#cancel = this.#after(Math.max(0, limits.clearHurryMs - sinceMs))
  }

  async #round(): Promise<void> {
    this.#running = true
    this.#lastBeganMs = this.#options.clock.nowMs()
    const candidates = this.#choose()
    const any = candidates.inSync.length > 0 || candidates.lacking.length > 0
    if (any && (await this.#flushAll())) await this.#clear(candidates)
    const { activity, times } = this.#options
    activity.forgetBefore(this.#lastBeganMs - times.idleMs)
    this.#running = false
    this.#wake()
    if (!this.#stopped) this.#cancel = this.#after(times.intervalMs)
  }

  #choose(): Candidates {
    const { masks, activity, partners } = this.#options
    const { idleMs } = this.#options.times
    const nowMs = this.#lastBeganMs
    const marked = [...masks.inSync].filter((region) => !this.#options.pending(region))
    const inSync = chooseForRoom(marked, activity, { nowMs, idleMs, count: masks.inSync.count })
    const lacking: Lacking[] = []
    for (const partner of partners) {
      if (partner.inSync || !partner.sentWrites) continue
      const copied = this.#copied(partner)
      const regions = chooseIdle(copied, activity, { nowMs, idleMs })
      if (regions.length > 0) lacking.push({ partner, attempt: partner.attempt, regions })
    }
    return { beganMs: nowMs, inSync, lacking }
  }

  #copied(partner: ClearingPartner): number[] {
    const lacks = this.#options.masks.lacks(partner.serverId)
    return lacks === undefined ? [] : [...lacks].filter((region) => !partner.pending(region))
  }

  /** False: somebody that is sent writes may still lose some of them. */
  async #flushAll(): Promise<boolean> {
    const partners = this.#options.partners.filter(({ sentWrites }) => sentWrites)
    const flushes = [this.#options.flushOwn(), ...partners.map((partner) => partner.flush())]
    const outcomes = await Promise.allSettled(flushes)
    for (const outcome of outcomes) if (outcome.status === 'rejected') expected(outcome.reason)
    return outcomes.every(({ status }) => status === 'fulfilled')
  }

  /** All of it is decided, done here and sent in one turn: what is written later is marked anew. */
  async #clear({ beganMs, inSync, lacking }: Candidates): Promise<void> {
    if (this.#stopped) return
    const { activity } = this.#options
    const quiet = (region: number): boolean => activity.quietSince(region, beganMs)
    const same = inSync.filter((region) => quiet(region) && !this.#options.pending(region))
    const sent = [this.#clearEverywhere(same, { inSync: true, lacks: [] })]
    for (const { partner, attempt, regions } of lacking) {
      if (!partner.sentWrites || partner.attempt !== attempt) continue
      const there = regions.filter((region) => quiet(region) && !partner.pending(region))
      sent.push(this.#clearEverywhere(there, { inSync: false, lacks: [partner.serverId] }))
      // What it has marked itself would be copied again when it must begin anew.
      sent.push(this.#clearAt(partner, there, { inSync: true, lacks: [] }))
    }
    await Promise.all(sent)
  }

  async #clearEverywhere(regions: readonly number[], what: ClearWhat): Promise<void> {
    if (regions.length === 0) return
    this.#options.masks.clear(regions, what)
    const others = this.#options.partners.filter(({ inSync }) => inSync)
    await Promise.all(others.map((partner) => this.#clearAt(partner, regions, what)))
  }

  /** A mark that stays costs a comparison, no more. */
  async #clearAt(
    partner: ClearingPartner,
    regions: readonly number[],
    what: ClearWhat,
  ): Promise<void> {
    if (regions.length === 0) return
    try {
      await partner.clear(regions, what)
    } catch (error) {
      expected(error)
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

/** Whoever owns what failed knows already. */
function expected(error: unknown): void {
  if (!(error instanceof PartnerFailure || error instanceof StorageError)) throw error
}

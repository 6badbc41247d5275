/**
 * What is believed of the replicas of a segment, put together from what servers, clients and probes
 * say, in the words of the rules (replica-changes.ts); and the same once servers were asked to close.
 * It owns what is believed of the servers' stores; nothing of it is durable, and it decides nothing.
 */
import { manager as limits } from '../base/limits.ts'
import type { HeldVolume, PartnerCondition, ServerFacts } from '../control/messages/server.ts'
import type { Clock } from '../ports/clock.ts'
import type { Segment, VolumeMap } from '../volume/map.ts'
import type { CloseAnswers } from './change-plan.ts'
import type { Conditions, HeardCondition } from './conditions.ts'
import type { ManagedVolume } from './managed-volume.ts'
import type { Sight } from './replica-changes.ts'
import type { Suspicions } from './suspicions.ts'

export interface ReplicaSightContext {
  readonly clock: Clock
  readonly conditions: Conditions
  readonly suspicions: Suspicions
  readonly isReachable: (serverId: string) => boolean
  readonly isDead: (serverId: string) => boolean
}

type Volume = Pick<ManagedVolume, 'map' | 'hasMissed'>

export class ReplicaSight {
  readonly #context: ReplicaSightContext
  /** Of each server: its store when it was last heard. */
  readonly #stores = new Map<string, string>()
  /** By server and volume: since when it has been saying that it does not serve it. */
  readonly #idleMs = new Map<string, number>()

  constructor(context: ReplicaSightContext) {
    this.#context = context
  }

  heard({ serverId, storeIncarnation }: ServerFacts, held: readonly HeldVolume[]): void {
    this.#stores.set(serverId, storeIncarnation)
    const nowMs = this.#context.clock.nowMs()
    for (const { volumeId, serving } of held) {
      const key = `${serverId} ${volumeId}`
      if (serving) this.#idleMs.delete(key)
      else if (!this.#idleMs.has(key)) this.#idleMs.set(key, nowMs)
    }
  }

  of(volume: Volume, segment: Segment): Sight {
    const { isDead, suspicions, conditions } = this.#context
    const { map } = volume
    const { segmentId } = segment
    const primaryId = primaryOf(segment)
    return {
      answers: (serverId) => this.#answers(serverId),
      incarnation: (serverId) => this.#stores.get(serverId) || undefined,
      isLost: (serverId) => {
        if (!suspicions.isSilent(serverId)) return false
        const isPrimary = serverId === primaryId
        return isPrimary ? this.#isSuspectedPrimary(volume, segment) : volume.hasMissed(serverId)
      },
      isIdle: (serverId) => {
        const sinceMs = this.#idleMs.get(`${serverId} ${map.volumeId}`)
        if (sinceMs === undefined || serverId !== primaryId) return false
        const isLong = this.#context.clock.nowMs() - sinceMs >= limits.startTakesMs
        return isLong && this.#isSilentToPartner(map, segment)
      },
      isDead,
      hasFailedDisk: (serverId) => {
        return conditions.by(map.volumeId, segmentId, serverId)?.condition.diskFailed === true
      },
      partner: (serverId) => this.#partner(map, segment, serverId),
      isShunned: (serverId) => suspicions.isShunned(serverId),
      missesPrimary: (serverId) => missesPrimary(this.#word(map, segment, serverId), map),
      isDisputed: (serverId) => this.#disputeLeftMs(map, segment, serverId) > 0,
    }
  }

  /** In-sync replicas that somebody cannot use; all others are not asked after. */
  suspects(volume: Volume, segment: Segment): string[] {
    const { map } = volume
    return segment.replicas.flatMap(({ serverId, state }, index) => {
      if (state !== 'in-sync') return []
      if (index === 0) return this.#isSuspectedPrimary(volume, segment) ? serverId : []
      // One that stands still may have said in time that it does not hear its primary.
      const isDisputed = this.#disputeLeftMs(map, segment, serverId) > 0
      const isSilent = this.#partner(map, segment, serverId)?.state === 'silent'
      return volume.hasMissed(serverId) || (isDisputed && isSilent) ? serverId : []
    })
  }

  /** After so long what is believed is another thing, though nobody says anything new. */
  changesAfterMs({ map }: Volume): number | undefined {
    const { clock, suspicions } = this.#context
    const nowMs = clock.nowMs()
    const laterMs = map.segments.flatMap((segment) => {
      const accusedMs = suspicions.accusedMs(primaryOf(segment)) ?? Number.NEGATIVE_INFINITY
      const standsInMs = accusedMs + limits.accusationStandsMs - nowMs
      const misses = segment.replicas.some(({ serverId }) => {
        return this.#word(map, segment, serverId)?.condition.primarySilent === true
      })
      const left = segment.replicas.map(({ serverId, state }) => {
        return state === 'in-sync' ? this.#disputeLeftMs(map, segment, serverId) : 0
      })
      return misses ? [standsInMs, ...left] : left
    })
    const [soonestMs] = laterMs.filter((ms) => ms > 0).sort((one, other) => one - other)
    return soonestMs
  }

  #answers(serverId: string): boolean {
    const { isReachable, suspicions } = this.#context
    return isReachable(serverId) && !suspicions.isSilent(serverId)
  }

  #word({ volumeId }: VolumeMap, { segmentId }: Segment, serverId: string) {
    return this.#context.conditions.by(volumeId, segmentId, serverId)
  }

  #partner(map: VolumeMap, segment: Segment, serverId: string): PartnerCondition | undefined {
    const word = this.#word(map, segment, primaryOf(segment))
    if (word?.generation !== map.generation) return undefined
    return word.condition.partners.find((each) => each.serverId === serverId)
  }

  #isSuspectedPrimary(volume: Volume, segment: Segment): boolean {
    const serverId = primaryOf(segment)
    if (segment.replicas.filter(({ state }) => state === 'in-sync').length < 2) return false
    const { suspicions } = this.#context
    if (suspicions.isAccused(serverId) || suspicions.isRefusing(serverId)) return true
    return volume.hasMissed(serverId) || this.#isSilentToPartner(volume.map, segment)
  }

  #isSilentToPartner(map: VolumeMap, segment: Segment): boolean {
    return segment.replicas.some(({ serverId, state }, index) => {
      if (index === 0 || state !== 'in-sync') return false
      return missesPrimary(this.#word(map, segment, serverId), map)
    })
  }

  /**
   * How long its word against that of its primary still counts: until a client has had the time to
   * notice that the primary is the one that cannot be used, or has said that it can be. The word
   * may be of an older map, because the next one does not undo what went before.
   */
  #disputeLeftMs(map: VolumeMap, segment: Segment, serverId: string): number {
    const sinceMs = this.#word(map, segment, serverId)?.primarySilentMs
    if (sinceMs === undefined || !this.#answers(serverId)) return 0
    const { clock, suspicions } = this.#context
    const primaryId = primaryOf(segment)
    const isAccused = suspicions.isAccused(primaryId)
    const vouchedMs = suspicions.vouchedMs(primaryId) ?? Number.NEGATIVE_INFINITY
    if (!isAccused && vouchedMs >= sinceMs) return 0
    const mostMs = limits.disputeMs + (isAccused ? limits.accusationStandsMs : 0)
    return sinceMs + mostMs - clock.nowMs()
  }
}

/** The same with the answers of those who were asked to close, which outdo what was believed. */
export function closedSight(
  segment: Segment,
  from: { readonly map: VolumeMap; readonly answers: CloseAnswers; readonly believed: Sight },
): Sight {
  const { map, answers, believed } = from
  const { segmentId } = segment
  const primaryId = primaryOf(segment)
  /** What it says of the segment under this map. */
  const said = (serverId: string) => {
    const reply = answers.reply(serverId)
    const conditions = reply?.generation === map.generation ? reply.segments : []
    return conditions.find((each) => each.segmentId === segmentId)
  }
  const mine = said(primaryId)
  return {
    ...believed,
    answers: (serverId) => answers.reply(serverId) !== undefined,
    incarnation: (serverId) => {
      const reply = answers.reply(serverId)
      if (reply === undefined) return believed.incarnation(serverId)
      return reply.incarnations.find((each) => each.segmentId === segmentId)?.incarnation ?? ''
    },
    isLost: (serverId) => {
      if (answers.reply(serverId) !== undefined) return false
      return serverId === primaryId || believed.isLost(serverId)
    },
    partner: (serverId) => mine?.partners.find((each) => each.serverId === serverId),
    missesPrimary: (serverId) => {
      return said(serverId)?.primarySilent ?? believed.missesPrimary(serverId)
    },
  }
}

function missesPrimary(word: HeardCondition | undefined, { generation }: VolumeMap): boolean {
  return word?.generation === generation && word.condition.primarySilent
}

function primaryOf({ replicas }: Segment): string {
  return replicas[0]?.serverId ?? ''
}

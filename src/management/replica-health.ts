/**
 * Keeps the replicas of all volumes as they should be: looks at what servers, clients and probes
 * say of a volume, and has the change made that follows (replica-changes.ts has the rules). Called
 * whenever something that is said has changed; it polls nothing. It owns what is believed of the
 * servers' stores and which volumes are being changed; nothing of it is durable.
 */
import { background } from '../base/background.ts'
import { manager as limits } from '../base/limits.ts'
import type { HeldVolume, PartnerCondition, ServerFacts } from '../control/messages/server.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Segment, VolumeMap } from '../volume/map.ts'
import type { CloseAnswers, CloseMode, Plan } from './change-plan.ts'
import type { Conditions } from './conditions.ts'
import type { MapDraft } from './configuration-store.ts'
import type { ManagedVolume } from './managed-volume.ts'
import { neededChange, type ReplicaChange, type Sight } from './replica-changes.ts'
import type { Suspicions } from './suspicions.ts'

export interface ReplicaHealthContext {
  readonly clock: Clock
  readonly log: Log
  readonly conditions: Conditions
  readonly suspicions: Suspicions
  readonly isReachable: (serverId: string) => boolean
  readonly isDead: (serverId: string) => boolean
}

/** A volume whose replicas are being changed, or will be tried again. */
interface Care {
  changing: boolean
  retryMs: number
  cancelRetry: Cancel | undefined
  /** What came to nothing: only something else is tried before its time. */
  failed: string
}

export class ReplicaHealth {
  readonly #context: ReplicaHealthContext
  /** Of each server: its store when it was last heard. */
  readonly #stores = new Map<string, string>()
  /** By server and volume: since when it has been saying that it does not serve it. */
  readonly #idleMs = new Map<string, number>()
  readonly #cares = new Map<string, Care>()
  #stopped = false

  constructor(context: ReplicaHealthContext) {
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
    this.#context.suspicions.heard(serverId)
  }

  /** Has the volume's replicas changed where that is needed; asks after suspects. */
  look(volume: ManagedVolume): void {
    const { map } = volume
    if (this.#stopped || map.deleted) return
    this.#askAfterSuspects(volume)
    const care = this.#care(map.volumeId)
    // While it is being changed the plan itself looks again, and so does whoever is told of its end.
    if (care.changing) return
    const draft = this.#draft(volume, map)
    if (draft === undefined) return
    const wanted = JSON.stringify(draft.segments.map(({ replicas }) => replicas))
    if (care.cancelRetry !== undefined && care.failed === wanted) return
    care.changing = true
    care.failed = wanted
    background(this.#change(volume, care), (error) => {
      const { name } = volume.map
      this.#context.log.warn('replicas not changed', { volume: name, error: error.message })
    })
  }

  stop(): void {
    this.#stopped = true
    for (const { cancelRetry } of this.#cares.values()) cancelRetry?.()
  }

  async #change(volume: ManagedVolume, care: Care): Promise<void> {
    const before = volume.map.generation
    try {
      const { map } = await volume.change(this.#plan(volume))
      if (map.generation > before) this.#context.log.info('replicas changed', replicasText(map))
    } finally {
      care.changing = false
      if (volume.map.generation > before) {
        care.retryMs = limits.replicaRetryMs
        care.cancelRetry?.()
        care.cancelRetry = undefined
        this.look(volume)
      } else this.#retryLater(volume, care)
    }
  }

  #retryLater(volume: ManagedVolume, care: Care): void {
    if (this.#stopped) return
    care.cancelRetry?.()
    care.cancelRetry = this.#context.clock.after(care.retryMs, () => {
      care.cancelRetry = undefined
      this.look(volume)
    })
    care.retryMs = Math.min(care.retryMs * 2, limits.replicaRetryLongestMs)
  }

  #care(volumeId: string): Care {
    let care = this.#cares.get(volumeId)
    if (care === undefined) {
      const { replicaRetryMs: retryMs } = limits
      care = { changing: false, retryMs, cancelRetry: undefined, failed: '' }
      this.#cares.set(volumeId, care)
    }
    return care
  }

  #plan(volume: ManagedVolume): Plan {
    return {
      name: 'replicas',
      closes: true,
      isPartial: true,
      sets: (map) => {
        const sets = new Map<string, CloseMode>()
        for (const { segment, closes } of this.#needed(volume, map)) {
          if (closes !== 'nobody') sets.set(segment.segmentId, closes)
        }
        return sets
      },
      next: (map, answers) => this.#draft(volume, map, answers),
    }
  }

  #needed(volume: ManagedVolume, map: VolumeMap): ReplicaChange[] {
    return map.segments.flatMap((segment) => {
      return neededChange(segment, this.#sight(volume, segment)) ?? []
    })
  }

  #draft(volume: ManagedVolume, map: VolumeMap, answers?: CloseAnswers): MapDraft | undefined {
    const segments = map.segments.map((segment) => {
      const sight = this.#sight(volume, segment)
      if (answers?.isClosed(segment.segmentId)) {
        const closed = closedSight(segment, { map, answers, believed: sight })
        return neededChange(segment, closed)?.segment ?? segment
      }
      const change = neededChange(segment, sight)
      const isDecided = answers === undefined || change?.closes === 'nobody'
      return isDecided ? (change?.segment ?? segment) : segment
    })
    const isSame = segments.every((segment, index) => segment === map.segments[index])
    return isSame ? undefined : { ...map, segments }
  }

  /** What is believed of the replicas of a segment. */
  #sight(volume: ManagedVolume, segment: Segment): Sight {
    const { isReachable, isDead, suspicions, conditions } = this.#context
    const { volumeId } = volume.map
    const { segmentId } = segment
    const primaryId = segment.replicas[0]?.serverId ?? ''
    return {
      answers: (serverId) => isReachable(serverId) && !suspicions.isSilent(serverId),
      incarnation: (serverId) => this.#stores.get(serverId) || undefined,
      isLost: (serverId) => {
        if (!suspicions.isSilent(serverId)) return false
        const isPrimary = serverId === primaryId
        return isPrimary ? this.#isSuspectedPrimary(volume, segment) : volume.hasMissed(serverId)
      },
      isIdle: (serverId) => {
        const sinceMs = this.#idleMs.get(`${serverId} ${volumeId}`)
        if (sinceMs === undefined || serverId !== primaryId) return false
        const isLong = this.#context.clock.nowMs() - sinceMs >= limits.startTakesMs
        return isLong && this.#isSilentToPartner(volume, segment)
      },
      isDead,
      hasFailedDisk: (serverId) => {
        return conditions.by(volumeId, segmentId, serverId)?.condition.diskFailed === true
      },
      partner: (serverId) => this.#partner(volume.map, segment, serverId),
    }
  }

  #partner(map: VolumeMap, segment: Segment, serverId: string): PartnerCondition | undefined {
    const { segmentId, replicas } = segment
    const primaryId = replicas[0]?.serverId ?? ''
    const word = this.#context.conditions.by(map.volumeId, segmentId, primaryId)
    if (word?.generation !== map.generation) return undefined
    return word.condition.partners.find((each) => each.serverId === serverId)
  }

  #isSuspectedPrimary(volume: ManagedVolume, segment: Segment): boolean {
    const serverId = segment.replicas[0]?.serverId ?? ''
    if (segment.replicas.filter(({ state }) => state === 'in-sync').length < 2) return false
    const { suspicions } = this.#context
    if (suspicions.isAccused(serverId) || suspicions.isRefusing(serverId)) return true
    return volume.hasMissed(serverId) || this.#isSilentToPartner(volume, segment)
  }

  #isSilentToPartner({ map }: ManagedVolume, { segmentId, replicas }: Segment): boolean {
    return replicas.some(({ serverId, state }, index) => {
      if (index === 0 || state !== 'in-sync') return false
      const word = this.#context.conditions.by(map.volumeId, segmentId, serverId)
      return word?.generation === map.generation && word.condition.primarySilent
    })
  }

  #askAfterSuspects(volume: ManagedVolume): void {
    const { suspicions } = this.#context
    for (const segment of volume.map.segments) {
      if (segment.replicas.length < 2) continue
      for (const [index, { serverId, state }] of segment.replicas.entries()) {
        const isSuspect =
          index === 0 ? this.#isSuspectedPrimary(volume, segment) : volume.hasMissed(serverId)
        if (isSuspect && state === 'in-sync') suspicions.check(serverId)
      }
    }
  }
}

/** The same with the answers of those who were asked to close, which outdo what was believed. */
function closedSight(
  segment: Segment,
  from: { readonly map: VolumeMap; readonly answers: CloseAnswers; readonly believed: Sight },
): Sight {
  const { map, answers, believed } = from
  const { segmentId, replicas } = segment
  const primaryId = replicas[0]?.serverId ?? ''
  const primary = answers.reply(primaryId)
  const conditions = primary?.generation === map.generation ? primary.segments : []
  const mine = conditions.find((each) => each.segmentId === segmentId)
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
  }
}

/** For the log: the primary first, those not in sync marked. */
function replicasText({ name, generation, segments }: VolumeMap) {
  const replicas = segments.map((segment) => {
    return segment.replicas
      .map(({ server, state }) => (state === 'in-sync' ? server : `${server} (${state})`))
      .join(', ')
  })
  return { volume: name, generation, replicas }
}

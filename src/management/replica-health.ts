/**
 * Keeps the replicas of all volumes as they should be: looks at what servers, clients and probes
 * say of a volume (replica-sight.ts), and has the change made that follows (replica-changes.ts has
 * the rules). Called whenever something that is said has changed, and looks by itself only where time
 * alone makes a difference. It owns which volumes are being changed; nothing of it is durable.
 */
import { background } from '../base/background.ts'
import { manager as limits } from '../base/limits.ts'
import type { HeldVolume, ServerFacts } from '../control/messages/server.ts'
import type { Cancel } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { VolumeMap } from '../volume/map.ts'
import type { CloseAnswers, CloseMode, Plan } from './change-plan.ts'
import type { MapDraft } from './configuration-store.ts'
import type { ManagedVolume } from './managed-volume.ts'
import { neededChange, type ReplicaChange } from './replica-changes.ts'
import { closedSight, ReplicaSight, type ReplicaSightContext } from './replica-sight.ts'

export interface ReplicaHealthContext extends ReplicaSightContext {
  readonly log: Log
}

type Volume = Pick<ManagedVolume, 'map' | 'hasMissed' | 'change'>

/** A volume whose replicas are being changed, or will be tried again. */
interface Care {
  changing: boolean
  retryMs: number
  cancelRetry: Cancel | undefined
  /** What is believed changes by itself then. */
  cancelLook: Cancel | undefined
  /** What came to nothing: only something else is tried before its time. */
  failed: string
}

export class ReplicaHealth {
  readonly #context: ReplicaHealthContext
  readonly #sight: ReplicaSight
  readonly #cares = new Map<string, Care>()
  #stopped = false

  constructor(context: ReplicaHealthContext) {
    this.#context = context
    this.#sight = new ReplicaSight(context)
  }

  heard(facts: ServerFacts, held: readonly HeldVolume[]): void {
    this.#sight.heard(facts, held)
    this.#context.suspicions.heard(facts.serverId)
  }

  /** Has the volume's replicas changed where that is needed; asks after suspects. */
  look(volume: Volume): void {
    const { map } = volume
    if (this.#stopped || map.deleted) return
    this.#askAfterSuspects(volume)
    const care = this.#care(map.volumeId)
    this.#lookAgainInTime(volume, care)
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
    for (const { cancelRetry, cancelLook } of this.#cares.values()) {
      cancelRetry?.()
      cancelLook?.()
    }
  }

  async #change(volume: Volume, care: Care): Promise<void> {
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

  #retryLater(volume: Volume, care: Care): void {
    if (this.#stopped) return
    care.cancelRetry?.()
    care.cancelRetry = this.#context.clock.after(care.retryMs, () => {
      care.cancelRetry = undefined
      this.look(volume)
    })
    care.retryMs = Math.min(care.retryMs * 2, limits.replicaRetryLongestMs)
  }

  #lookAgainInTime(volume: Volume, care: Care): void {
    care.cancelLook?.()
    care.cancelLook = undefined
    const afterMs = this.#sight.changesAfterMs(volume)
    if (afterMs === undefined) return
    care.cancelLook = this.#context.clock.after(Math.ceil(afterMs), () => this.look(volume))
  }

  #care(volumeId: string): Care {
    let care = this.#cares.get(volumeId)
    if (care === undefined) {
      const { replicaRetryMs: retryMs } = limits
      care = { changing: false, retryMs, cancelRetry: undefined, cancelLook: undefined, failed: '' }
      this.#cares.set(volumeId, care)
    }
    return care
  }

  #plan(volume: Volume): Plan {
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

  #needed(volume: Volume, map: VolumeMap): ReplicaChange[] {
    return map.segments.flatMap((segment) => {
      return neededChange(segment, this.#sight.of(volume, segment)) ?? []
    })
  }

  #draft(volume: Volume, map: VolumeMap, answers?: CloseAnswers): MapDraft | undefined {
    const segments = map.segments.map((segment) => {
      const sight = this.#sight.of(volume, segment)
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

  #askAfterSuspects(volume: Volume): void {
    const { suspicions } = this.#context
    for (const segment of volume.map.segments) {
      for (const serverId of this.#sight.suspects(volume, segment)) suspicions.check(serverId)
    }
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

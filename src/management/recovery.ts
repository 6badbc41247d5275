/**
 * Gives every segment the copies that it is to have: a replica that is not in sync and stays away
 * longer than the grace period, whose server is declared dead or whose disk failed, is given up for
 * a new one on another server and in another failure domain; one that was never there is added.
 * The new one is behind; its primary copies, and replica-health.ts calls it in sync. A replica in
 * sync is never given up. It owns since when replicas are away; after a restart of the manager the
 * grace period begins again. Design, section 5.
 */
import { background } from '../base/background.ts'
import { manager as limits } from '../base/limits.ts'
import type { PartnerCondition } from '../control/messages/server.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Replica, Segment, VolumeMap } from '../volume/map.ts'
import type { CloseAnswers, Plan } from './change-plan.ts'
import type { Conditions } from './conditions.ts'
import type { ManagedVolume } from './managed-volume.ts'
import type { Room, Space } from './space.ts'
import { type GivesUp, withSpares } from './spare-replicas.ts'

export interface RecoveryContext {
  readonly clock: Clock
  readonly log: Log
  readonly conditions: Conditions
  readonly space: Space
  readonly graceMs: () => number
  readonly isDead: (serverId: string) => boolean
  readonly domainOf: (serverId: string) => string
}

/** A volume that has fewer copies in sync than it is to have. */
interface Care {
  readonly volume: ManagedVolume
  /** By segment and server: since when the replica is away. */
  readonly awayMs: Map<string, number>
  busy: boolean
  notBeforeMs: number
  pauseMs: number
}

export class Recovery {
  readonly #context: RecoveryContext
  readonly #cares = new Map<string, Care>()
  #timer: Cancel | undefined
  #stopped = false

  constructor(context: RecoveryContext) {
    this.#context = context
  }

  /** The map has changed, or what is said of its replicas. */
  look(volume: ManagedVolume): void {
    const { volumeId } = volume.map
    if (isComplete(volume.map)) {
      this.#cares.delete(volumeId)
      return
    }
    if (!this.#cares.has(volumeId)) {
      const pauseMs = limits.recoveryLookMs
      const care = { volume, awayMs: new Map(), busy: false, notBeforeMs: 0, pauseMs }
      this.#cares.set(volumeId, care)
    }
    this.#tickSoon()
  }

  /** When a replica that is away is given up for a new one; undefined: it is not away. */
  replacedInMs(volumeId: string, segmentId: string, serverId: string): number | undefined {
    const sinceMs = this.#cares.get(volumeId)?.awayMs.get(keyOf({ segmentId }, { serverId }))
    if (sinceMs === undefined) return undefined
    const { clock, graceMs, isDead } = this.#context
    if (isDead(serverId)) return 0
    return Math.max(0, Math.round(sinceMs + graceMs() - clock.nowMs()))
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.()
  }

  #tickSoon(): void {
    if (this.#stopped || this.#timer !== undefined || this.#cares.size === 0) return
    this.#timer = this.#context.clock.after(limits.recoveryLookMs, () => {
      this.#timer = undefined
      for (const care of this.#cares.values()) this.#consider(care)
      this.#tickSoon()
    })
  }

  #consider(care: Care): void {
    const nowMs = this.#context.clock.nowMs()
    this.#noteAway(care, nowMs)
    const { volume } = care
    if (care.busy || nowMs < care.notBeforeMs || this.#wanting(care, volume.map).length === 0)
      return
    care.busy = true
    const { space, log, clock } = this.#context
    const done = space
      .plan('recovery', (room) => this.#recover(care, room))
      .then((isDone) => {
        care.pauseMs = isDone ? limits.recoveryLookMs : longer(care.pauseMs)
      })
    const settled = done.finally(() => {
      care.busy = false
      care.notBeforeMs = clock.nowMs() + care.pauseMs
    })
    background(settled, (error) => {
      log.warn('no recovery yet', { volume: volume.map.name, error: error.message })
    })
  }

  /** From the turn in which a replica is first seen to be away. */
  #noteAway({ volume, awayMs }: Care, nowMs: number): void {
    const seen = new Set<string>()
    for (const segment of volume.map.segments) {
      for (const replica of segment.replicas) {
        const partner = this.#partner(volume.map, segment, replica)
        if (replica.state === 'in-sync' || isBroughtUp(partner)) continue
        const key = keyOf(segment, replica)
        seen.add(key)
        if (!awayMs.has(key)) awayMs.set(key, nowMs)
      }
    }
    for (const key of awayMs.keys()) if (!seen.has(key)) awayMs.delete(key)
  }

  /** Segments that want a new replica. */
  #wanting(care: Care, map: VolumeMap): Segment[] {
    return map.segments.filter((segment) => {
      const gone = segment.replicas.filter((each) => this.#isGone(care, segment, each))
      return segment.replicas.length - gone.length < map.copies
    })
  }

  #isGone({ volume, awayMs }: Care, segment: Segment, replica: Replica): boolean {
    if (replica.state === 'in-sync') return false
    const { isDead, conditions, graceMs, clock } = this.#context
    const { serverId } = replica
    if (isDead(serverId)) return true
    const said = conditions.by(volume.map.volumeId, segment.segmentId, serverId)
    if (said?.condition.diskFailed === true) return true
    const sinceMs = awayMs.get(keyOf(segment, replica))
    return sinceMs !== undefined && clock.nowMs() - sinceMs >= graceMs()
  }

  /** True when every segment that wanted one has got one. */
  async #recover(care: Care, room: Room): Promise<boolean> {
    const { volume } = care
    const before = volume.map
    const wanting = this.#wanting(care, before).length
    await volume.change(this.#plan(care, room))
    const left = this.#wanting(care, volume.map).length
    if (volume.map.generation > before.generation) {
      const fields = { volume: before.name, segments: wanting - left, without: left }
      this.#context.log.info('new replicas', fields)
    } else if (left > 0) {
      this.#context.log.warn('no room or no primary for new replicas', {
        volume: before.name,
        left,
      })
    }
    return left === 0
  }

  #plan(care: Care, room: Room): Plan {
    const { domainOf } = this.#context
    const draft = (map: VolumeMap, answers?: CloseAnswers) => {
      const gives = new Map<string, GivesUp>()
      for (const segment of this.#wanting(care, map)) {
        if (answers?.isClosed(segment.segmentId) === false) continue
        gives.set(segment.segmentId, (each) => {
          return this.#isGone(care, segment, each) && !isBroughtUpNow(map, segment, each, answers)
        })
      }
      return withSpares(map, gives, { ...room, domainOf })
    }
    return {
      name: 'recovery',
      closes: true,
      isPartial: true,
      sets: (map) => new Map(this.#wanting(care, map).map((each) => [each.segmentId, 'primary'])),
      next: draft,
    }
  }

  #partner(map: VolumeMap, segment: Segment, replica: Replica): PartnerCondition | undefined {
    const { volumeId, generation } = map
    const { segmentId, replicas } = segment
    const primaryId = replicas[0]?.serverId ?? ''
    const word = this.#context.conditions.by(volumeId, segmentId, primaryId)
    if (word?.generation !== generation) return undefined
    return word.condition.partners.find(({ serverId }) => serverId === replica.serverId)
  }
}

function longer(pauseMs: number): number {
  return Math.min(pauseMs * 2, limits.recoveryLongestPauseMs)
}

function isComplete({ segments, copies, deleted }: VolumeMap): boolean {
  if (deleted) return true
  return segments.every(({ replicas }) => {
    return replicas.length >= copies && replicas.every(({ state }) => state === 'in-sync')
  })
}

function isBroughtUp(partner: PartnerCondition | undefined): boolean {
  return partner?.state === 'copying' || partner?.state === 'up-to-date'
}

/** By what the primary answered to close: it came back in the last moment. */
function isBroughtUpNow(
  map: VolumeMap,
  segment: Segment,
  replica: Replica,
  answers: CloseAnswers | undefined,
): boolean {
  const reply = answers?.reply(segment.replicas[0]?.serverId ?? '')
  if (reply?.generation !== map.generation) return false
  const condition = reply.segments.find(({ segmentId }) => segmentId === segment.segmentId)
  return isBroughtUp(condition?.partners.find(({ serverId }) => serverId === replica.serverId))
}

function keyOf(
  { segmentId }: Pick<Segment, 'segmentId'>,
  { serverId }: Pick<Replica, 'serverId'>,
): string {
  return `${segmentId} ${serverId}`
}

/**
 * What servers say of the replicas of each segment: the newest word of each server that holds one,
 * with the generation it was said under. It decides nothing and is not durable: after a restart of
 * the manager it fills again as servers are heard. Whoever reads it compares the generation with
 * that of the map, because a word about an older map says nothing about this one.
 */
import type {
  HeldVolume,
  PartnerCondition,
  SegmentCondition,
  ServerFacts,
} from '../control/messages/server.ts'
import type { Clock } from '../ports/clock.ts'
import type { Generation } from '../volume/generation.ts'

/** What one server said of one segment. */
export interface HeardCondition {
  readonly serverId: string
  readonly generation: Generation
  /** Monotonic clock. */
  readonly heardMs: number
  readonly condition: SegmentCondition
  /** Since when it has been saying, under whatever map, that it does not hear its primary. */
  readonly primarySilentMs: number | undefined
}

/** Also fits a close's answer, with the volume's identity added. */
type Said = Pick<HeldVolume, 'volumeId' | 'generation' | 'segments'>

interface Word {
  readonly generation: Generation
  readonly heardMs: number
  readonly segments: readonly SegmentCondition[]
  /** By segment. */
  readonly primarySilentMs: ReadonlyMap<string, number>
}

export class Conditions {
  readonly #clock: Pick<Clock, 'nowMs'>
  /** By volume, then by server. */
  readonly #words = new Map<string, Map<string, Word>>()

  constructor(clock: Pick<Clock, 'nowMs'>) {
    this.#clock = clock
  }

  /** All that a server holds; what it held before and does not name now is forgotten. */
  heard({ serverId }: Pick<ServerFacts, 'serverId'>, held: readonly Said[]): void {
    const named = new Set(held.map(({ volumeId }) => volumeId))
    for (const volumeId of this.#words.keys()) {
      if (!named.has(volumeId)) this.#drop(volumeId, serverId)
    }
    for (const each of held) this.take(serverId, each)
  }

  take(serverId: string, { volumeId, generation, segments }: Said): void {
    let words = this.#words.get(volumeId)
    if (words === undefined) {
      words = new Map()
      this.#words.set(volumeId, words)
    }
    const heardMs = this.#clock.nowMs()
    const before = words.get(serverId)?.primarySilentMs
    const silent = segments.filter(({ primarySilent }) => primarySilent)
    const primarySilentMs = new Map(
      silent.map(({ segmentId }) => [segmentId, before?.get(segmentId) ?? heardMs]),
    )
    words.set(serverId, { generation, heardMs, segments, primarySilentMs })
  }

  /** The server is gone or given up: nothing that it said counts any more. */
  forget(serverId: string): void {
    for (const volumeId of this.#words.keys()) this.#drop(volumeId, serverId)
  }

  /** The words of all servers about a segment, each server's newest. */
  of(volumeId: string, segmentId: string): HeardCondition[] {
    const heard: HeardCondition[] = []
    for (const [serverId, word] of this.#words.get(volumeId) ?? []) {
      const { generation, heardMs, segments } = word
      const condition = segments.find((each) => each.segmentId === segmentId)
      if (condition === undefined) continue
      const primarySilentMs = word.primarySilentMs.get(segmentId)
      heard.push({ serverId, generation, heardMs, condition, primarySilentMs })
    }
    return heard
  }

  /** The word of one server about a segment. */
  by(volumeId: string, segmentId: string, serverId: string): HeardCondition | undefined {
    return this.of(volumeId, segmentId).find((each) => each.serverId === serverId)
  }

  /** How `serverId`, the segment's primary, sees another replica of it. */
  partner(
    where: { readonly volumeId: string; readonly segmentId: string; readonly serverId: string },
    partnerId: string,
  ): PartnerCondition | undefined {
    const word = this.by(where.volumeId, where.segmentId, where.serverId)
    return word?.condition.partners.find((each) => each.serverId === partnerId)
  }

  /** Its disk returned errors under some volume. */
  hasFailedDisk(serverId: string): boolean {
    for (const words of this.#words.values()) {
      if (words.get(serverId)?.segments.some(({ diskFailed }) => diskFailed)) return true
    }
    return false
  }

  #drop(volumeId: string, serverId: string): void {
    const words = this.#words.get(volumeId)
    words?.delete(serverId)
    if (words?.size === 0) this.#words.delete(volumeId)
  }
}

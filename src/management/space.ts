/**
 * What servers have left, counted by plan: every page that a map could come to need is taken, as if
 * all thin pages were written, so no disk runs full under data that was promised a place. On top of
 * that a share of every server is kept for recovery as soon as there is a mirrored volume: creating
 * and growing stop before it, a replica that replaces a lost one may use it. Plans are made one at a
 * time, so that two do not count on the same space.
 */
import { pageBytes } from '../base/limits.ts'
import type { ServerFacts } from '../control/messages/server.ts'
import type { VolumeMap } from '../volume/map.ts'
import type { Candidate } from './candidate.ts'
import type { Home } from './map-edits.ts'
import { pagesOf } from './placement.ts'
import type { KnownServer, ServerRegistry } from './server-registry.ts'

export interface SpaceContext {
  readonly registry: ServerRegistry
  /** All maps, those of deleted volumes included until every server has freed them. */
  readonly maps: () => Iterable<VolumeMap>
  /** A disk that failed under one volume is no place for another. */
  readonly hasFailedDisk: (serverId: string) => boolean
  /** Part of each server that only recovery may fill, 0 to 1. */
  readonly reservedShare: number
}

/** What space is wanted for: the first two leave alone what is reserved for the third. */
export type Purpose = 'single' | 'mirror' | 'recovery'

/** Servers that can take data, and what a map says of them. */
export interface Room {
  readonly candidates: readonly Candidate[]
  readonly homes: ReadonlyMap<string, Home>
}

/** What maps plan on one server. */
interface Load {
  pages: number
  /** Of segments whose primary it is. */
  led: number
}

export class Space {
  readonly #context: SpaceContext
  #planning: Promise<unknown> = Promise.resolve()

  constructor(context: SpaceContext) {
    this.#context = context
  }

  /**
   * Runs `work` with the room there is now, after the plans that were begun before. It ends when
   * what it plans is committed.
   */
  plan<T>(purpose: Purpose, work: (room: Room) => Promise<T>): Promise<T> {
    const result = this.#planning.then(async () => {
      await this.#askAll()
      return work(this.room(purpose))
    })
    this.#planning = result.then(
      () => undefined,
      () => undefined,
    )
    return result
  }

  /** Adopted servers that answer, with the room that they have by what is known now. */
  room(purpose: Purpose): Room {
    const loads = this.#loads()
    const reserves = purpose === 'mirror' || (purpose === 'single' && this.#hasMirrors())
    const candidates: Candidate[] = []
    const homes = new Map<string, Home>()
    for (const server of this.#context.registry.all) {
      if (!this.#isFit(server)) continue
      const { facts, domain } = server
      const { serverId, name, storeIncarnation } = facts
      const { pages, led } = loads.get(serverId) ?? { pages: 0, led: 0 }
      const usable = pagesIn(facts) - (reserves ? this.#reservedPages(facts) : 0)
      homes.set(serverId, { serverId, name, storeIncarnation })
      const freePages = Math.max(0, usable - pages)
      candidates.push({ serverId, name, domain, freePages, ledPages: led })
    }
    return { candidates, homes }
  }

  /** Bytes that all maps together plan on each server. */
  plannedBytes(): ReadonlyMap<string, number> {
    const planned = new Map<string, number>()
    for (const [serverId, { pages }] of this.#loads()) planned.set(serverId, pages * pageBytes)
    return planned
  }

  /** Bytes of a server that only recovery may fill; 0 while nothing is mirrored. */
  reservedBytes(facts: ServerFacts): number {
    return this.#hasMirrors() ? this.#reservedPages(facts) * pageBytes : 0
  }

  #isFit({ facts, reachable, adopted, declaredDead }: KnownServer): boolean {
    const serves = adopted && reachable && !declaredDead && facts.storeIncarnation !== ''
    return serves && !this.#context.hasFailedDisk(facts.serverId)
  }

  #reservedPages(facts: ServerFacts): number {
    return Math.ceil(pagesIn(facts) * this.#context.reservedShare)
  }

  #hasMirrors(): boolean {
    for (const { copies, deleted } of this.#context.maps()) {
      if (copies > 1 && !deleted) return true
    }
    return false
  }

  /** Space and incarnations as they are now. */
  async #askAll(): Promise<void> {
    const { registry } = this.#context
    const adopted = registry.all.filter((each) => each.adopted)
    await Promise.allSettled(adopted.map(({ facts }) => registry.describe(facts.serverId)))
  }

  #loads(): Map<string, Load> {
    const loads = new Map<string, Load>()
    for (const { segments, blockBytes } of this.#context.maps()) {
      for (const segment of segments) {
        const pages = pagesOf(segment, blockBytes)
        for (const [index, { serverId }] of segment.replicas.entries()) {
          const load = loads.get(serverId) ?? { pages: 0, led: 0 }
          load.pages += pages
          if (index === 0) load.led += pages
          loads.set(serverId, load)
        }
      }
    }
    return loads
  }
}

function pagesIn({ capacityBytes }: ServerFacts): number {
  return Math.floor(capacityBytes / pageBytes)
}

/**
 * What became of requests that must not take effect twice (COMPARE AND WRITE, ORWRITE), as each
 * in-sync replica of a volume remembers it: the primary tells the others with the result. In memory
 * only; who forgets says so, and nobody guesses then. Only effects are remembered: a request without
 * one, such as a comparison that failed, may be carried out again.
 *
 * A request that is not remembered has had no effect where the memory is whole. It is so for what
 * was first sent under a generation since which this replica was in sync in one life of its process;
 * and on the primary for what was first sent after something else that came for the first time.
 */
import { mirror as limits } from '../../src/base/limits.ts'
import type { Generation } from '../../src/volume/generation.ts'
import { type RequestIdentity, wholeGeneration } from '../../src/volume/request-identity.ts'
import type { HeldSegment } from '../replica/segment-views.ts'

/** `gone`: it may have had its effect, and nobody here knows. */
export type Known = 'new' | 'done' | 'gone'

interface Client {
  /** In the order in which they were done. */
  readonly done: Set<number>
  /** The first that it sent here itself: the first sendings of later ones came here as well. */
  from: number
  /** Below it nothing is known: it was answered, or there were too many. */
  floor: number
}

/** Of one segment, for as long as its replica here is in sync. */
export class SegmentOutcomes {
  /** Those heard of last come last. */
  readonly #clients = new Map<string, Client>()
  /** What was first sent under this generation, or a later one, came here. */
  #since: Generation

  constructor(since: Generation) {
    this.#since = since
  }

  /** Asked when nobody can change the blocks that the request is about. */
  look(identity: RequestIdentity, current: Generation): Known {
    const { number, repeated } = identity
    const client = this.#hear(identity, current)
    if (client.done.has(number)) return 'done'
    if (!repeated) {
      client.from = Math.min(client.from, number)
      return 'new'
    }
    if (number < client.floor) return 'gone'
    const sentUnder = wholeGeneration(identity.generationBits, current)
    return number >= client.from || sentUnder >= this.#since ? 'new' : 'gone'
  }

  /** In the turn in which the effect is there. */
  done(identity: RequestIdentity, current: Generation): void {
    const client = this.#hear(identity, current)
    client.done.add(identity.number)
    if (client.done.size <= limits.outcomesOfClient) return
    const [oldest] = client.done
    client.done.delete(oldest!)
    client.floor = Math.max(client.floor, oldest! + 1)
  }

  #hear({ client: name, oldest }: RequestIdentity, current: Generation): Client {
    const client = this.#clients.get(name) ?? { done: new Set(), from: Infinity, floor: 0 }
    this.#clients.delete(name)
    this.#clients.set(name, client)
    if (oldest > client.floor) {
      client.floor = oldest
      for (const each of client.done) if (each < oldest) client.done.delete(each)
    }
    if (this.#clients.size > limits.outcomeClients) this.#forgetOldest(current)
    return client
  }

  /** Nobody knows any more that it was forgotten: so nothing is vouched for that came before. */
  #forgetOldest(current: Generation): void {
    const [oldest] = this.#clients.keys()
    this.#clients.delete(oldest!)
    this.#since = Math.max(this.#since, current + 1)
  }
}

interface Held {
  outcomes?: SegmentOutcomes
  /** The newest generation under which some were lost. */
  lostAt: Generation
}

/** Of one volume on this server. */
export class RequestOutcomes {
  readonly #segments = new Map<string, Held>()
  readonly #lostUpTo: Generation
  #generation: Generation

  /** Under generations up to this one a former life of the process may have served. */
  constructor(lostUpTo: Generation) {
    this.#lostUpTo = lostUpTo
    this.#generation = lostUpTo
  }

  /** Undefined while the replica here is not in sync. */
  of(segmentId: string): SegmentOutcomes | undefined {
    return this.#segments.get(segmentId)?.outcomes
  }

  /** In the turn in which the views were replaced. */
  look(
    views: ReadonlyMap<string, HeldSegment>,
    generation: Generation,
    incarnation: (segmentId: string) => string | undefined,
  ): void {
    this.#generation = generation
    for (const segmentId of this.#segments.keys()) {
      if (!views.has(segmentId)) this.#segments.delete(segmentId)
    }
    for (const [segmentId, { replica }] of views) {
      const known: Held = this.#segments.get(segmentId) ?? { lostAt: this.#lostUpTo }
      this.#segments.set(segmentId, known)
      if (replica.state !== 'in-sync' || incarnation(segmentId) !== replica.incarnation) {
        if (known.outcomes !== undefined) known.lostAt = generation
        delete known.outcomes
      } else {
        known.outcomes ??= new SegmentOutcomes(Math.max(generation, known.lostAt + 1))
      }
    }
  }

  /** The primary has written other content over that of this replica. */
  forget(segmentId: string): void {
    const known = this.#segments.get(segmentId)
    if (known?.outcomes !== undefined) {
      known.outcomes = new SegmentOutcomes(this.#generation + 1)
    }
  }
}

/**
 * The leases of the segments whose primary this server is: what each partner has confirmed, and
 * whether that is still good (design: leases). Only arithmetic and the clock: who asks the partners
 * is the replication session's affair, and what is refused without a lease is the segment's.
 *
 * A confirmation counts from the moment in which the request that it answers was sent: before that
 * the partner cannot have confirmed anything, and it counts its own promise from later on.
 */
import type { Clock } from '../../src/ports/clock.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { Replica, Segment, VolumeMap } from '../../src/volume/map.ts'
import { BootWatch } from './boot-watch.ts'

/** What must hold for a segment to be served: the same for as long as its map is. */
export interface LeaseTerms {
  readonly generation: Generation
  readonly leaseMs: number
  /** The in-sync replicas beside the primary. */
  readonly partners: readonly Pick<Replica, 'serverId' | 'number'>[]
}

interface Confirmation {
  readonly generation: Generation
  /** Boot time. */
  readonly sentAtMs: number
}

export function leaseTerms(
  { generation, leaseMs }: Pick<VolumeMap, 'generation' | 'leaseMs'>,
  { replicas }: Pick<Segment, 'replicas'>,
): LeaseTerms {
  const partners = replicas.slice(1).filter(({ state }) => state === 'in-sync')
  return { generation, leaseMs, partners }
}

export class Leases {
  readonly #watch: BootWatch
  /** By serverId, by the number of the replica there. */
  readonly #confirmed = new Map<string, Map<number, Confirmation>>()

  constructor(clock: Clock) {
    this.#watch = new BootWatch(clock)
  }

  /**
   * Reads the clock, once. To be asked in the very turn in which an answer is given, after its data
   * were read: a process that stood still in between must not give it.
   */
  holds({ generation, leaseMs, partners }: LeaseTerms): boolean {
    if (partners.length === 0) return true
    const nowMs = this.#watch.look()
    return partners.every(({ serverId, number }) => {
      const known = this.#confirmed.get(serverId)?.get(number)
      if (known === undefined || known.generation !== generation) return false
      return known.sentAtMs > this.#watch.voidBeforeMs && nowMs - known.sentAtMs < leaseMs
    })
  }

  /** Boot time, for the request that is sent in this turn. */
  sendingAtMs(): number {
    return this.#watch.look()
  }

  /** A request that was sent then was answered GOOD by that replica under this generation. */
  confirmed(replica: Pick<Replica, 'serverId' | 'number'>, confirmation: Confirmation): void {
    let ofServer = this.#confirmed.get(replica.serverId)
    if (ofServer === undefined) {
      ofServer = new Map()
      this.#confirmed.set(replica.serverId, ofServer)
    }
    const known = ofServer.get(replica.number)
    const isNewer = known === undefined || confirmation.sentAtMs >= known.sentAtMs
    if (isNewer || confirmation.generation > known.generation) {
      ofServer.set(replica.number, confirmation)
    }
  }

  /** A heartbeat's answer: what it does not name the partner does not confirm any more. */
  beaten(serverId: string, named: ReadonlyMap<number, Generation>, sentAtMs: number): void {
    const ofServer = this.#confirmed.get(serverId)
    for (const number of ofServer?.keys() ?? []) if (!named.has(number)) ofServer?.delete(number)
    for (const [number, generation] of named) {
      this.confirmed({ serverId, number }, { generation, sentAtMs })
    }
  }

  /** The replica refused what has this generation: this server stops at once. */
  refused(replica: Pick<Replica, 'serverId' | 'number'>, generation: Generation): void {
    const ofServer = this.#confirmed.get(replica.serverId)
    if (ofServer?.get(replica.number)?.generation === generation) ofServer.delete(replica.number)
  }
}

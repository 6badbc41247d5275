/**
 * Which servers of a volume have confirmed which generation, and the activates that are under way.
 * Answers may come late and out of order: what belongs to a lower order than the newest known says
 * nothing any more.
 */
import { StorageError } from '../base/errors.ts'
import { manager as limits } from '../base/limits.ts'
import { compareOrders, type Order, type SegmentIncarnation } from '../control/messages/server.ts'
import type { StorageServerClient } from '../control/services.ts'
import type { Log } from '../ports/log.ts'
import type { Generation } from '../volume/generation.ts'
import type { VolumeMap } from '../volume/map.ts'
import { serversOf } from './map-edits.ts'

export interface ActivationContext {
  readonly log: Log
  readonly nextOrder: () => Order
  readonly client: (serverId: string) => StorageServerClient
  readonly nameOf: (serverId: string) => string
  readonly handOut: (map: VolumeMap) => VolumeMap
  readonly refresh: (serverId: string) => void
}

interface Confirmation {
  readonly generation: Generation
  readonly order: Order
}

export class Activations {
  readonly #context: ActivationContext
  readonly #confirmed = new Map<string, Confirmation>()
  readonly #underWay = new Map<string, Order>()
  readonly #refusals = new Map<string, string>()
  /** The newest generation that a server could not be told of. */
  readonly #missed = new Map<string, Generation>()

  constructor(context: ActivationContext) {
    this.#context = context
  }

  /** Servers that have not confirmed this map. */
  behind(map: VolumeMap): string[] {
    return serversOf(map).filter((id) => this.#confirmed.get(id)?.generation !== map.generation)
  }

  /** Why servers that could be reached would not take the map. */
  refusals(map: VolumeMap): string[] {
    return this.behind(map).flatMap((serverId) => this.#refusals.get(serverId) ?? [])
  }

  /** This map was sent and did not arrive, as far as is known. */
  hasMissed(serverId: string, { generation }: VolumeMap): boolean {
    const isConfirmed = this.#confirmed.get(serverId)?.generation === generation
    return !isConfirmed && this.#missed.get(serverId) === generation
  }

  /** An activate was sent and not answered yet. */
  isUnderWay(serverId: string): boolean {
    return this.#underWay.has(serverId)
  }

  /** True when what the server says is older than what it has confirmed since. */
  isOvertaken(serverId: string, order: Order | undefined): boolean {
    const known = this.#confirmed.get(serverId)
    return known !== undefined && order !== undefined && compareOrders(order, known.order) < 0
  }

  confirm(serverId: string, generation: Generation, order: Order): void {
    if (this.isOvertaken(serverId, order)) return
    this.#confirmed.set(serverId, { generation, order })
    this.#refusals.delete(serverId)
  }

  forget(serverId: string): void {
    this.#confirmed.delete(serverId)
  }

  /** Sends the map; true when the server confirmed it. */
  async activate(serverId: string, map: VolumeMap): Promise<boolean> {
    const { client, handOut, nextOrder } = this.#context
    const order = nextOrder()
    this.#underWay.set(serverId, order)
    try {
      const request = { order, map: handOut(map) }
      const reply = await client(serverId).activate(request, limits.orderDeadlineMs)
      this.confirm(serverId, map.generation, order)
      if (hasLost(map, serverId, reply.incarnations)) this.#context.refresh(serverId)
      return true
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      this.#failed(serverId, map, error)
      return false
    } finally {
      if (this.#underWay.get(serverId) === order) this.#underWay.delete(serverId)
    }
  }

  #failed(serverId: string, map: VolumeMap, error: StorageError): void {
    const server = this.#context.nameOf(serverId)
    this.#context.log.warn('not activated', { volume: map.name, server, error: error.message })
    const reached = error.code !== 'unreachable' && error.code !== 'deadline'
    if (!reached) this.#missed.set(serverId, map.generation)
    if (reached) this.#refusals.set(serverId, `${server}: ${error.message}`)
    else this.#refusals.delete(serverId)
  }
}

/** The server's store is of another incarnation than the map believes. */
export function hasLost(
  map: VolumeMap,
  serverId: string,
  told: readonly SegmentIncarnation[],
): boolean {
  return map.segments.some(({ segmentId, replicas }) => {
    const mine = replicas.find((each) => each.serverId === serverId)
    const answer = told.find((each) => each.segmentId === segmentId)
    return mine !== undefined && answer !== undefined && mine.incarnation !== answer.incarnation
  })
}

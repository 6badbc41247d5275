/**
 * Notices that this manager is not, or should not be, the one that decides, where it has nothing to
 * write and would not find out by a commit. Servers that met another one say so, by refusing an order
 * or by holding one of a higher term. What they say is no proof; the store is asked, and ends its use
 * where the term is not this manager's any more.
 *
 * A volume that a server holds under a higher generation than it has in a store that is still this
 * manager's was decided in a later state of that store: an old copy was put back. It is condemned
 * then, because it would give out those generations again; it is rebuilt (design, section 4). So that
 * nothing is decided before the servers had their say, changes of maps wait for them (roll-call.ts).
 */
import { background } from '../base/background.ts'
import { StorageError } from '../base/errors.ts'
import type { HeldVolume, ServerFacts } from '../control/messages/server.ts'
import type { StorageServerClient } from '../control/services.ts'
import type { Log } from '../ports/log.ts'
import type { ConfigurationStore } from './configuration-store.ts'
import type { RollCall } from './roll-call.ts'

export interface SuccessionContext {
  readonly store: Pick<ConfigurationStore, 'term' | 'checkTerm' | 'volume' | 'condemn'>
  readonly rollCall: Pick<RollCall, 'heard'>
  readonly log: Log
}

type Held = Pick<HeldVolume, 'volumeId' | 'generation'>

export class Succession {
  readonly #context: SuccessionContext

  constructor(context: SuccessionContext) {
    this.#context = context
  }

  /** The same calls; a refused order has the term looked at, and an answer the store. */
  attentive(client: StorageServerClient): StorageServerClient {
    return {
      ...client,
      close: async (request, deadlineMs) => {
        const reply = await this.#watched(client.close(request, deadlineMs))
        const held = { volumeId: request.volumeId, generation: reply.generation }
        if (this.#isAhead(held)) await this.#look([held])
        return reply
      },
      activate: (...call) => this.#watched(client.activate(...call)),
      reopen: (...call) => this.#watched(client.reopen(...call)),
    }
  }

  /** What a server holds. */
  heard({ serverId }: Pick<ServerFacts, 'serverId'>, volumes: readonly HeldVolume[]): void {
    const { store, rollCall } = this.#context
    const isLater = volumes.some(({ order }) => order !== undefined && order.term > store.term)
    const ahead = volumes.filter((held) => this.#isAhead(held))
    if (isLater || ahead.length > 0) this.#check(ahead)
    if (ahead.length === 0) rollCall.heard(serverId)
  }

  async #watched<T>(ordered: Promise<T>): Promise<T> {
    try {
      return await ordered
    } catch (error) {
      if (error instanceof StorageError && error.code === 'refused') this.#check([])
      throw error
    }
  }

  #isAhead({ volumeId, generation }: Held): boolean {
    const map = this.#context.store.volume(volumeId)
    return map !== undefined && generation > map.generation
  }

  #check(suspect: readonly Held[]): void {
    const { store, log } = this.#context
    background(this.#look(suspect), (error) => {
      log.warn('nothing can be committed any more', { term: store.term, error })
    })
  }

  /** Rejects when the store is not to be used any more. */
  async #look(suspect: readonly Held[]): Promise<void> {
    const { store } = this.#context
    await store.checkTerm()
    const ahead = suspect.find((held) => this.#isAhead(held))
    if (ahead === undefined) return
    const name = store.volume(ahead.volumeId)?.name ?? ahead.volumeId
    const why = `volume ${name} is at generation ${ahead.generation} on its servers, above this store's`
    const advice = 'an old copy of it was put back: make a new one with `palisade manager rebuild`'
    throw await store.condemn(new StorageError('conflict', `${why}: ${advice}`))
  }
}

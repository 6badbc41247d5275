/**
 * Notices that another manager has taken over, where this one has nothing to write and would not
 * find out by a commit: servers that met the other one say so, by refusing an order or by holding
 * one of a higher term. What they say is no proof; the store is asked, and ends its use where the
 * term is not this manager's any more. It owns nothing.
 */
import { background } from '../base/background.ts'
import { StorageError } from '../base/errors.ts'
import type { HeldVolume } from '../control/messages/server.ts'
import type { StorageServerClient } from '../control/services.ts'
import type { Log } from '../ports/log.ts'
import type { ConfigurationStore } from './configuration-store.ts'

export interface SuccessionContext {
  readonly store: Pick<ConfigurationStore, 'term' | 'checkTerm'>
  readonly log: Log
}

export class Succession {
  readonly #context: SuccessionContext

  constructor(context: SuccessionContext) {
    this.#context = context
  }

  /** The same calls; a refused order has the term looked at. */
  attentive(client: StorageServerClient): StorageServerClient {
    return {
      ...client,
      close: (...call) => this.#watched(client.close(...call)),
      activate: (...call) => this.#watched(client.activate(...call)),
      reopen: (...call) => this.#watched(client.reopen(...call)),
    }
  }

  /** What a server holds. */
  heard(volumes: readonly HeldVolume[]): void {
    const { term } = this.#context.store
    if (volumes.some(({ order }) => order !== undefined && order.term > term)) this.#check()
  }

  async #watched<T>(ordered: Promise<T>): Promise<T> {
    try {
      return await ordered
    } catch (error) {
      if (error instanceof StorageError && error.code === 'refused') this.#check()
      throw error
    }
  }

  #check(): void {
    const { store, log } = this.#context
    background(store.checkTerm(), (error) => {
      log.warn('nothing can be committed any more', { term: store.term, error })
    })
  }
}

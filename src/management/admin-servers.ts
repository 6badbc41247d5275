/** What the command line asks about storage servers. */
import { StorageError } from '../base/errors.ts'
import { pageBytes } from '../base/limits.ts'
import type { AddServerRequest, ServerStatus } from '../control/messages/admin.ts'
import { isName, namePatternText } from '../volume/names.ts'
import type { KnownServer, ServerRegistry } from './server-registry.ts'
import type { Volumes } from './volumes.ts'

export class ServerAdmin {
  readonly #registry: ServerRegistry
  readonly #volumes: Volumes

  constructor(registry: ServerRegistry, volumes: Volumes) {
    this.#registry = registry
    this.#volumes = volumes
  }

  get all(): ServerStatus[] {
    return this.#registry.all.map((server) => this.#status(server))
  }

  show(name: string): ServerStatus {
    return this.#status(this.#registry.named(name))
  }

  async add({ address, name }: AddServerRequest): Promise<ServerStatus> {
    if ((address === '') === (name === '')) {
      throw new StorageError('invalid', 'address, name: give one of the two')
    }
    if (address === '' && !isName(name)) {
      throw new StorageError('invalid', `name: "${name}" is not ${namePatternText}`)
    }
    return this.#status(await this.#registry.adopt(address === '' ? { name } : { address }))
  }

  async remove(name: string): Promise<void> {
    const { facts, adopted } = this.#registry.named(name)
    const held = this.#volumes.namesOn(facts.serverId)
    if (held.length > 0) {
      const why = `server ${name} holds data of ${held.join(', ')}: delete or move these first`
      throw new StorageError('conflict', why)
    }
    if (!adopted) throw new StorageError('conflict', `server ${name} was never added`)
    await this.#registry.remove(facts.serverId)
  }

  async declareDead(name: string): Promise<ServerStatus> {
    await this.#registry.declareDead(this.#registry.named(name).facts.serverId)
    return this.show(name)
  }

  #status(known: KnownServer): ServerStatus {
    const { facts, adopted, declaredDead, reachable, lastHeardWallMs, domain } = known
    return {
      server: facts,
      adopted,
      reachable,
      declaredDead,
      domain,
      plannedBytes: this.#volumes.plannedPages(facts.serverId) * pageBytes,
      volumes: this.#volumes.namesOn(facts.serverId),
      lastHeardMs: Math.round(lastHeardWallMs),
    }
  }
}

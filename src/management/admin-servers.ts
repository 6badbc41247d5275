/** What the command line asks about storage servers. */
import { StorageError } from '../base/errors.ts'
import type { AddServerRequest, ServerStatus, SetDomainRequest } from '../control/messages/admin.ts'
import { isName, namePatternText } from '../volume/names.ts'
import type { KnownServer, ServerRegistry } from './server-registry.ts'
import type { Space } from './space.ts'
import type { Volumes } from './volumes.ts'

export interface ServerAdminContext {
  readonly registry: ServerRegistry
  readonly volumes: Volumes
  readonly space: Space
}

/** Names of racks, rooms, power supplies: whatever fails as one. */
const domainPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/
const domainPatternText = '1 to 63 of letters, digits, ., _ and -, the first a letter or digit'

export class ServerAdmin {
  readonly #registry: ServerRegistry
  readonly #volumes: Volumes

  readonly #space: Space

  constructor({ registry, volumes, space }: ServerAdminContext) {
    this.#registry = registry
    this.#volumes = volumes
    this.#space = space
  }

  get all(): ServerStatus[] {
    const planned = this.#space.plannedBytes()
    return this.#registry.all.map((server) => this.#status(server, planned))
  }

  show(name: string): ServerStatus {
    return this.#status(this.#registry.named(name))
  }

  async add({ address, name, domain = '' }: AddServerRequest): Promise<ServerStatus> {
    if ((address === '') === (name === '')) {
      throw new StorageError('invalid', 'address, name: give one of the two')
    }
    if (address === '' && !isName(name)) {
      throw new StorageError('invalid', `name: "${name}" is not ${namePatternText}`)
    }
    checkDomain(domain)
    const by = address === '' ? { name } : { address }
    return this.#status(await this.#registry.adopt(by, domain === '' ? undefined : domain))
  }

  /** An empty domain: the server is one of its own again. Data that is there stays where it is. */
  async setDomain({ name, domain }: SetDomainRequest): Promise<ServerStatus> {
    checkDomain(domain)
    await this.#registry.setDomain(this.#registry.named(name).facts.serverId, domain)
    return this.show(name)
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

  #status(known: KnownServer, planned = this.#space.plannedBytes()): ServerStatus {
    const { facts, adopted, declaredDead, reachable, lastHeardWallMs, domain } = known
    return {
      server: facts,
      adopted,
      reachable,
      declaredDead,
      domain,
      plannedBytes: planned.get(facts.serverId) ?? 0,
      reservedBytes: adopted ? this.#space.reservedBytes(facts) : 0,
      volumes: this.#volumes.namesOn(facts.serverId),
      lastHeardMs: Math.round(lastHeardWallMs),
    }
  }
}

function checkDomain(domain: string): void {
  if (domain === '' || domainPattern.test(domain)) return
  throw new StorageError('invalid', `domain: "${domain}" is not ${domainPatternText}`)
}

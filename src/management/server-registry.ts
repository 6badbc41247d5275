/**
 * The storage servers: who registered, who was adopted, where each is reached and when it was last
 * heard. Adopted ones are asked for their state regularly (one call a server, whatever it holds).
 * It owns the channels to the servers; the records of adopted ones are the store's.
 */
import { background } from '../base/background.ts'
import { StorageError } from '../base/errors.ts'
import { manager as limits } from '../base/limits.ts'
import type { HeldVolume, ServerFacts, ServerRecord } from '../control/messages/server.ts'
import { type StorageServerClient, storageServerClient } from '../control/services.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { RpcChannel, RpcNetwork } from '../ports/rpc.ts'
import { isName, namePatternText } from '../volume/names.ts'
import type { ConfigurationStore } from './configuration-store.ts'

export interface RegistryContext {
  readonly store: ConfigurationStore
  readonly rpc: RpcNetwork
  readonly clock: Clock
  readonly log: Log
  /** What an adopted server says of all that it holds. */
  readonly heard: (facts: ServerFacts, volumes: readonly HeldVolume[]) => void
  /** An adopted server did not say what it holds. */
  readonly failed: (serverId: string, error: StorageError) => void
  readonly changed: (serverId: string, what: 'restarted' | 'dead') => void
  readonly portalsChanged: (serverId: string) => void
}

export interface KnownServer {
  readonly facts: ServerFacts
  readonly adopted: boolean
  readonly declaredDead: boolean
  /** Failure domain; empty: the server is one of its own. */
  readonly domain: string
  readonly reachable: boolean
  /** 0: never since the manager's start. */
  readonly lastHeardWallMs: number
}

interface Entry {
  facts: ServerFacts
  reachable: boolean
  lastHeardWallMs: number
  link?: {
    readonly control: string
    readonly channel: RpcChannel
    readonly client: StorageServerClient
  }
  asking?: Promise<void> | undefined
  /** Something changed while it was being asked: its answer may be of before. */
  askAgain: boolean
  timer?: { readonly dueMs: number; readonly cancel: Cancel } | undefined
}

export class ServerRegistry {
  readonly #context: RegistryContext
  readonly #entries = new Map<string, Entry>()
  #stopped = false

  constructor(context: RegistryContext) {
    this.#context = context
    for (const record of context.store.servers) {
      const facts = { ...record, freeBytes: 0, processId: '', version: '' }
      this.#entries.set(record.serverId, {
        facts,
        reachable: false,
        lastHeardWallMs: 0,
        askAgain: false,
      })
    }
  }

  /** Asks every adopted server for its state, now and from now on. */
  start(): void {
    for (const { serverId } of this.#context.store.servers) this.refresh(serverId, 0)
  }

  stop(): void {
    this.#stopped = true
    for (const entry of this.#entries.values()) {
      entry.timer?.cancel()
      entry.link?.channel.close()
    }
  }

  get all(): KnownServer[] {
    const known = [...this.#entries.values()].map((entry) => this.#describeEntry(entry))
    return known.sort((a, b) => (a.facts.name < b.facts.name ? -1 : 1))
  }

  named(name: string): KnownServer {
    const found = this.all.find(({ facts }) => facts.name === name)
    if (found !== undefined) return found
    throw new StorageError('not-found', `there is no server "${name}"`)
  }

  nameOf(serverId: string): string {
    return this.#entries.get(serverId)?.facts.name ?? serverId
  }

  portalsOf(serverId: string): readonly string[] {
    return this.#entries.get(serverId)?.facts.portals ?? []
  }

  /** Failure domain; empty: the server is one of its own. */
  domainOf(serverId: string): string {
    return this.#context.store.server(serverId)?.domain ?? ''
  }

  /** It answered when it was last asked, or told something since. */
  isReachable(serverId: string): boolean {
    return this.#entries.get(serverId)?.reachable === true
  }

  isDead(serverId: string): boolean {
    return this.#context.store.server(serverId)?.declaredDead === true
  }

  client(serverId: string): StorageServerClient {
    const entry = this.#entries.get(serverId)
    if (entry === undefined || entry.facts.control === '' || this.#stopped) {
      throw new StorageError('unreachable', `no address is known of server ${serverId}`)
    }
    const { control } = entry.facts
    if (entry.link?.control !== control) {
      entry.link?.channel.close()
      const channel = this.#context.rpc.channel(control)
      entry.link = { control, channel, client: storageServerClient(channel) }
    }
    return entry.link.client
  }

  /** A server makes itself known. True when it is adopted. */
  async register(facts: ServerFacts): Promise<boolean> {
    this.#checkName(facts)
    if (!this.#entries.has(facts.serverId) && this.#entries.size >= limits.servers) {
      throw new StorageError('no-space', `more than ${limits.servers} servers`)
    }
    this.#take(facts)
    if (this.#context.store.server(facts.serverId) === undefined) return false
    await this.#keepRecord(facts)
    // What it says in the call may be overtaken; what it answers to us now is not.
    this.refresh(facts.serverId, 0)
    return true
  }

  /**
   * Adopts a server by its control address, or by the name under which it has registered. Without
   * a domain it keeps the one it has.
   */
  async adopt(
    by: { readonly address: string } | { readonly name: string },
    domain?: string,
  ): Promise<KnownServer> {
    const facts = 'address' in by ? await this.#ask(by.address) : await this.#askNamed(by.name)
    this.#checkName(facts)
    this.#take(facts)
    await this.#keepRecord(facts, { domain })
    this.refresh(facts.serverId, 0)
    return this.named(facts.name)
  }

  /** Where the server stands, as far as losing several servers at once goes. */
  async setDomain(serverId: string, domain: string): Promise<void> {
    const record = this.#context.store.server(serverId)
    if (record === undefined) {
      throw new StorageError('conflict', `server ${this.nameOf(serverId)} was never added`)
    }
    await this.#context.store.putServer({ ...record, domain })
  }

  /** The caller has made sure that no map names it. */
  async remove(serverId: string): Promise<void> {
    await this.#context.store.removeServer(serverId)
    const entry = this.#entries.get(serverId)
    entry?.timer?.cancel()
    entry?.link?.channel.close()
    this.#entries.delete(serverId)
  }

  async declareDead(serverId: string): Promise<void> {
    const record = this.#context.store.server(serverId)
    const name = this.nameOf(serverId)
    if (record === undefined) throw new StorageError('conflict', `server ${name} was never added`)
    if (await this.#answers(serverId)) {
      throw new StorageError('conflict', `server ${name} answers, so it is not off: stop it first`)
    }
    await this.#context.store.putServer({ ...record, declaredDead: true })
    this.#context.changed(serverId, 'dead')
  }

  /** Asks the server for its state after `delayMs`, or sooner, and then regularly. */
  refresh(serverId: string, delayMs: number = limits.retryMs): void {
    const entry = this.#entries.get(serverId)
    if (entry === undefined || this.#stopped) return
    const dueMs = this.#context.clock.nowMs() + delayMs
    if (entry.timer !== undefined && entry.timer.dueMs <= dueMs) return
    entry.timer?.cancel()
    const cancel = this.#context.clock.after(delayMs, () => {
      entry.timer = undefined
      if (entry.asking !== undefined) {
        entry.askAgain = true
        return
      }
      background(this.describe(serverId), (error) => {
        this.#context.log.debug('server not reached', { server: entry.facts.name, error })
      })
    })
    entry.timer = { dueMs, cancel }
  }

  /** Asks the server for its state now. Calls made while one is under way share its answer. */
  describe(serverId: string): Promise<void> {
    const entry = this.#entries.get(serverId)
    if (entry === undefined) return Promise.resolve()
    entry.asking ??= this.#describe(serverId, entry).finally(() => {
      entry.asking = undefined
      const adopted = this.#context.store.server(serverId) !== undefined
      const laterMs = entry.reachable ? limits.describeIntervalMs : limits.askAgainMs
      if (adopted) this.refresh(serverId, entry.askAgain ? 0 : laterMs)
      entry.askAgain = false
    })
    return entry.asking
  }

  async #describe(serverId: string, entry: Entry): Promise<void> {
    try {
      const reply = await this.client(serverId).describe({}, limits.orderDeadlineMs)
      if (reply.server.serverId !== serverId) {
        const why = `${entry.facts.control} is server ${reply.server.name}, not ${entry.facts.name}`
        throw new StorageError('refused', why)
      }
      this.#take(reply.server)
      await this.#keepRecord(reply.server)
      if (this.#context.store.server(serverId) !== undefined) {
        this.#context.heard(reply.server, reply.volumes)
      }
    } catch (error) {
      entry.reachable = false
      const adopted = this.#context.store.server(serverId) !== undefined
      if (adopted && error instanceof StorageError) this.#context.failed(serverId, error)
      throw error
    }
  }

  async #answers(serverId: string): Promise<boolean> {
    try {
      await this.describe(serverId)
      return true
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      return false
    }
  }

  async #ask(address: string): Promise<ServerFacts> {
    const channel = this.#context.rpc.channel(address)
    try {
      const client = storageServerClient(channel)
      return (await client.describe({}, limits.relayDialMs)).server
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      const why = `address: no storage server answers at ${address}: ${error.message}`
      throw new StorageError(error.code, why, error)
    } finally {
      channel.close()
    }
  }

  async #askNamed(name: string): Promise<ServerFacts> {
    const { facts } = this.named(name)
    return this.#ask(facts.control)
  }

  /** Two servers of one name would have targets of one name. */
  #checkName({ name, serverId }: ServerFacts): void {
    if (!isName(name) || serverId === '') {
      throw new StorageError('invalid', `name: "${name}" is not ${namePatternText}`)
    }
    for (const [id, { facts }] of this.#entries) {
      const isAdopted = this.#context.store.server(id) !== undefined
      if (facts.name === name && id !== serverId && isAdopted) {
        throw new StorageError('conflict', `name: another server is called "${name}" already`)
      }
    }
    const record = this.#context.store.server(serverId)
    if (record !== undefined && record.name !== name) {
      const why = `name: this server was adopted as "${record.name}" and cannot be "${name}"`
      throw new StorageError('conflict', why)
    }
  }

  #take(facts: ServerFacts): void {
    const { clock, changed } = this.#context
    const entry = this.#entries.get(facts.serverId)
    const lastHeardWallMs = clock.wallMs()
    if (entry === undefined) {
      this.#entries.set(facts.serverId, {
        facts,
        reachable: true,
        lastHeardWallMs,
        askAgain: false,
      })
      return
    }
    const isNewProcess = entry.facts.processId !== facts.processId
    Object.assign(entry, { facts, reachable: true, lastHeardWallMs })
    if (isNewProcess) changed(facts.serverId, 'restarted')
  }

  /** Keeps the record of an adopted server as it is now; one that is heard is not dead. */
  async #keepRecord(
    facts: ServerFacts,
    adopted?: { readonly domain: string | undefined },
  ): Promise<void> {
    const { store, portalsChanged } = this.#context
    const before = store.server(facts.serverId)
    if (before === undefined && adopted === undefined) return
    const { serverId, name, portals, control, capacityBytes, storeIncarnation } = facts
    const record: ServerRecord = {
      serverId,
      name,
      portals,
      control,
      capacityBytes,
      storeIncarnation,
      declaredDead: false,
      domain: adopted?.domain ?? before?.domain ?? '',
    }
    if (before !== undefined && sameRecord(before, record)) return
    await store.putServer(record)
    if (before?.portals.join() !== portals.join()) portalsChanged(serverId)
  }

  #describeEntry({ facts, reachable, lastHeardWallMs }: Entry): KnownServer {
    const record = this.#context.store.server(facts.serverId)
    return {
      facts,
      adopted: record !== undefined,
      declaredDead: record?.declaredDead === true,
      domain: record?.domain ?? '',
      reachable,
      lastHeardWallMs,
    }
  }
}

function sameRecord(left: ServerRecord, right: ServerRecord): boolean {
  return (
    left.name === right.name &&
    left.control === right.control &&
    left.capacityBytes === right.capacityBytes &&
    left.storeIncarnation === right.storeIncarnation &&
    left.declaredDead === right.declaredDead &&
    left.domain === right.domain &&
    left.portals.join() === right.portals.join()
  )
}

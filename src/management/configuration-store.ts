/**
 * The configuration store: the decision of every change. One transaction each, conditional on the
 * term, durable before it is used (design: one counter, one term; the counter and the map change
 * together). It owns the committed records and keeps them in memory; a failure or a lost term
 * leaves memory and store in doubt, so nothing is committed after it and its owner must restart.
 */
import { assert } from '../base/assert.ts'
import { StorageError, toError } from '../base/errors.ts'
import { mirror } from '../base/limits.ts'
import type { Codec } from '../control/codec.ts'
import { volumeMapCodec } from '../control/messages/map.ts'
import {
  type PendingFence,
  pendingFenceCodec,
  type RecoverySettings,
  recoverySettingsCodec,
  type ServerRecord,
  serverRecordCodec,
} from '../control/messages/server.ts'
import type { KeyValue, Transaction } from '../ports/key-value.ts'
import { asGeneration, type Generation } from '../volume/generation.ts'
import type { VolumeMap } from '../volume/map.ts'
import {
  condemnedKey,
  counterKey,
  deletedFromKey,
  deletedKey,
  deletedPrefix,
  fenceKey,
  fencePrefix,
  recoveryKey,
  serverKey,
  serverPrefix,
  termKey,
  volumeKey,
  volumePrefix,
} from './keys.ts'
import { withNumbers } from './replica-numbers.ts'

/** A map before its commit gives it a generation. */
export type MapDraft = Omit<VolumeMap, 'generation'>

export interface CommitExtras {
  /** Settles the pending fence of the volume in the same transaction. */
  readonly settlesFence?: boolean
}

/** What an empty store is filled with. */
export interface StoreContent {
  readonly term: number
  readonly counter: number
  readonly servers: readonly ServerRecord[]
  readonly maps: readonly VolumeMap[]
}

export class ConfigurationStore {
  readonly term: number
  readonly #keyValue: KeyValue
  #counter: Generation
  #failure: Error | undefined
  #checking: Promise<void> | undefined
  #tellFailure: (error: Error) => void = () => undefined
  /** Resolves when nothing can be committed any more: the owner must start anew. */
  readonly failed: Promise<Error> = new Promise((resolve) => {
    this.#tellFailure = resolve
  })
  readonly #volumes = new Map<string, VolumeMap>()
  /** Maps on their way into the store. A commit that fails ends the store's use. */
  readonly #committing = new Set<VolumeMap>()
  readonly #deleted = new Set<string>()
  readonly #servers = new Map<string, ServerRecord>()
  readonly #fences = new Map<string, PendingFence>()
  #recovery: RecoverySettings = {
    bytesPerSecond: mirror.recoveryBytesPerSecond,
    graceMs: mirror.recoveryGraceMs,
  }

  private constructor(keyValue: KeyValue, term: number, counter: Generation) {
    this.#keyValue = keyValue
    this.term = term
    this.#counter = counter
  }

  /** Raises the term, then reads everything. The store owns `keyValue` from now on. */
  static async open(keyValue: KeyValue): Promise<ConfigurationStore> {
    const condemned = await keyValue.get(condemnedKey)
    if (condemned !== undefined) throw new StorageError('conflict', condemned.toString('utf8'))
    const before = await keyValue.get(termKey)
    const term = before === undefined ? 1 : parseNumber(termKey, before) + 1
    const raised = await keyValue.transact({
      require: [{ key: termKey, value: before }],
      put: [{ key: termKey, value: encodeNumber(term) }],
    })
    if (!raised) throw new StorageError('in-use', 'another manager opened the store just now')
    const counter = await keyValue.get(counterKey)
    const generation = counter === undefined ? 0 : parseNumber(counterKey, counter)
    const store = new ConfigurationStore(keyValue, term, asGeneration(generation))
    await store.#read()
    return store
  }

  /** Throws where anything was ever decided in the store. */
  static async mustBeEmpty(keyValue: KeyValue): Promise<void> {
    const prefixes = [volumePrefix, deletedPrefix, serverPrefix, fencePrefix, counterKey]
    for (const prefix of prefixes) {
      if ((await keyValue.range(prefix)).length === 0) continue
      const why = 'the configuration store is not empty, and is never rebuilt over what it holds'
      throw new StorageError('conflict', why)
    }
  }

  /** Fills an empty store: all or nothing. Each map gets a generation above `counter`. */
  static async fill(keyValue: KeyValue, content: StoreContent): Promise<void> {
    const before = await keyValue.get(termKey)
    const term = Math.max(content.term, before === undefined ? 0 : parseNumber(termKey, before))
    const maps = content.maps.map((map, index) => {
      return { ...map, generation: asGeneration(content.counter + 1 + index) }
    })
    const counter = encodeNumber(content.counter + maps.length)
    const filled = await keyValue.transact({
      require: [
        { key: termKey, value: before },
        { key: counterKey, value: undefined },
      ],
      put: [
        { key: termKey, value: encodeNumber(term) },
        { key: counterKey, value: counter },
        ...maps.map((map) => ({ key: volumeKey(map.volumeId), value: volumeMapCodec.encode(map) })),
        ...content.servers.map((record) => {
          return { key: serverKey(record.serverId), value: serverRecordCodec.encode(record) }
        }),
      ],
    })
    if (!filled) throw new StorageError('in-use', 'a manager opened the store just now')
  }

  get counter(): Generation {
    return this.#counter
  }

  /** All maps, those of deleted volumes included until `forget`. */
  get volumes(): Iterable<VolumeMap> {
    return this.#volumes.values()
  }

  volume(volumeId: string): VolumeMap | undefined {
    return this.#volumes.get(volumeId)
  }

  /** A volume that can be used by this name. */
  volumeNamed(name: string): VolumeMap | undefined {
    for (const map of this.#volumes.values()) if (map.name === name && !map.deleted) return map
    return undefined
  }

  /** True for a volume that was deleted and that every server of it has freed. */
  wasForgotten(volumeId: string): boolean {
    return this.#deleted.has(volumeId)
  }

  get servers(): Iterable<ServerRecord> {
    return this.#servers.values()
  }

  server(serverId: string): ServerRecord | undefined {
    return this.#servers.get(serverId)
  }

  fence(volumeId: string): PendingFence | undefined {
    return this.#fences.get(volumeId)
  }

  /**
   * The decision: the map with the next generation, once it is durable. Replicas that have no
   * number yet get the smallest that no other replica on their server has.
   */
  async commitMap(draft: MapDraft, extras: CommitExtras = {}): Promise<VolumeMap> {
    const before = this.#counter
    const taken = [...this.#volumes.values(), ...this.#committing]
    const map = { ...withNumbers(draft, taken), generation: asGeneration(before + 1) }
    const { volumeId } = map
    const remove = extras.settlesFence === true ? [fenceKey(volumeId)] : []
    // Taken before the wait: the next commit of this turn builds on this one.
    this.#counter = map.generation
    this.#committing.add(map)
    await this.#transact({
      require: [{ key: counterKey, value: before === 0 ? undefined : encodeNumber(before) }],
      put: [
        { key: counterKey, value: encodeNumber(map.generation) },
        { key: volumeKey(volumeId), value: volumeMapCodec.encode(map) },
      ],
      remove,
    })
    this.#committing.delete(map)
    this.#volumes.set(volumeId, map)
    if (extras.settlesFence === true) this.#fences.delete(volumeId)
    return map
  }

  /** Every server has freed the deleted volume: only its identity stays. */
  async forget(volumeId: string): Promise<void> {
    assert(this.#volumes.get(volumeId)?.deleted === true, 'only a deleted volume is forgotten')
    await this.#transact({
      put: [{ key: deletedKey(volumeId), value: Buffer.alloc(0) }],
      remove: [volumeKey(volumeId)],
    })
    this.#volumes.delete(volumeId)
    this.#deleted.add(volumeId)
  }

  async putServer(record: ServerRecord): Promise<void> {
    const value = serverRecordCodec.encode(record)
    await this.#transact({ put: [{ key: serverKey(record.serverId), value }] })
    this.#servers.set(record.serverId, record)
  }

  async removeServer(serverId: string): Promise<void> {
    await this.#transact({ remove: [serverKey(serverId)] })
    this.#servers.delete(serverId)
  }

  async putFence(fence: PendingFence): Promise<void> {
    const value = pendingFenceCodec.encode(fence)
    await this.#transact({ put: [{ key: fenceKey(fence.volumeId), value }] })
    this.#fences.set(fence.volumeId, fence)
  }

  /** How replicas are brought up and replaced; the defaults where nobody has set anything. */
  get recovery(): RecoverySettings {
    return this.#recovery
  }

  async putRecovery(settings: RecoverySettings): Promise<void> {
    const value = recoverySettingsCodec.encode(settings)
    await this.#transact({ put: [{ key: recoveryKey, value }] })
    this.#recovery = settings
  }

  async removeFence(volumeId: string): Promise<void> {
    await this.#transact({ remove: [fenceKey(volumeId)] })
    this.#fences.delete(volumeId)
  }

  /** Rejects, and nothing is committed any more, where another manager has taken the store over. */
  checkTerm(): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    this.#checking ??= this.#checkTerm().finally(() => {
      this.#checking = undefined
    })
    return this.#checking
  }

  /** Nothing is committed any more, now and after every start; the owner is told why. */
  async condemn(why: StorageError): Promise<Error> {
    this.#failure ??= why
    try {
      await this.#keyValue.transact({
        require: [{ key: termKey, value: encodeNumber(this.term) }],
        put: [{ key: condemnedKey, value: Buffer.from(why.message, 'utf8') }],
      })
    } catch (error) {
      return this.#fail(new StorageError(why.code, why.message, error))
    }
    return this.#fail(why)
  }

  close(): Promise<void> {
    this.#failure ??= new StorageError('conflict', 'the configuration store is closed')
    return this.#keyValue.close()
  }

  async #transact(transaction: Transaction): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    const require = [
      { key: termKey, value: encodeNumber(this.term) },
      ...(transaction.require ?? []),
    ]
    try {
      const applied = await this.#keyValue.transact({ ...transaction, require })
      if (!applied) throw takenOver()
    } catch (error) {
      throw this.#fail(error)
    }
  }

  async #checkTerm(): Promise<void> {
    try {
      const value = await this.#keyValue.get(termKey)
      if (value === undefined || parseNumber(termKey, value) !== this.term) throw takenOver()
    } catch (error) {
      throw this.#fail(error)
    }
  }

  #fail(error: unknown): Error {
    this.#failure ??= toError(error)
    this.#tellFailure(this.#failure)
    return this.#failure
  }

  async #read(): Promise<void> {
    await this.#readAll(volumePrefix, volumeMapCodec, (map) => this.#volumes.set(map.volumeId, map))
    await this.#readAll(serverPrefix, serverRecordCodec, (record) =>
      this.#servers.set(record.serverId, record),
    )
    await this.#readAll(fencePrefix, pendingFenceCodec, (fence) =>
      this.#fences.set(fence.volumeId, fence),
    )
    await this.#readAll(recoveryKey, recoverySettingsCodec, (settings) => {
      this.#recovery = settings
    })
    for (const { key } of await this.#keyValue.range(deletedPrefix)) {
      this.#deleted.add(deletedFromKey(key))
    }
  }

  async #readAll<T>(prefix: string, codec: Codec<T>, take: (record: T) => void): Promise<void> {
    for (const { key, value } of await this.#keyValue.range(prefix)) {
      try {
        take(codec.decode(value))
      } catch (error) {
        throw new StorageError('not-a-store', `record ${key} is damaged`, error)
      }
    }
  }
}

function takenOver(): StorageError {
  return new StorageError('conflict', 'another manager has taken over the store')
}

function encodeNumber(value: number): Buffer {
  return Buffer.from(String(value), 'ascii')
}

function parseNumber(key: string, value: Buffer): number {
  const number = Number(value.toString('ascii'))
  if (Number.isSafeInteger(number) && number >= 0) return number
  throw new StorageError('not-a-store', `${key} of the configuration store is damaged`)
}

/**
 * All volumes under their manager: makes, finds and forgets them, and hands what servers say to
 * those it concerns. It owns the ManagedVolume objects; the records are the store's.
 */
import { background } from '../base/background.ts'
import { StorageError } from '../base/errors.ts'
import type { AskReply } from '../control/messages/client.ts'
import type { HeldVolume, ServerFacts } from '../control/messages/server.ts'
import type { VolumeMap } from '../volume/map.ts'
import type { MapDraft } from './configuration-store.ts'
import { ManagedVolume, type VolumeContext } from './managed-volume.ts'
import { lostIncarnation, serversOf, withFence } from './map-edits.ts'
import type { Recovery } from './recovery.ts'
import type { ReplicaHealth } from './replica-health.ts'

export interface VolumesContext extends Omit<VolumeContext, 'freed' | 'settled'> {
  readonly health: ReplicaHealth
  readonly recovery: Recovery
}

export class Volumes {
  readonly #context: VolumeContext
  readonly #health: ReplicaHealth
  readonly #recovery: Recovery
  readonly #volumes = new Map<string, ManagedVolume>()
  readonly #forgetting = new Set<string>()

  /** Takes up the volumes of the store, and the fences that it holds as pending. */
  constructor(context: VolumesContext) {
    this.#health = context.health
    this.#recovery = context.recovery
    this.#context = {
      ...context,
      freed: (volumeId) => this.#freed(volumeId),
      settled: (volume) => this.#settled(volume),
    }
    for (const map of context.store.volumes) this.#add(map)
    for (const volume of this.#volumes.values()) this.#resumeFence(volume)
  }

  /** Volumes that can be used, by name. */
  get all(): ManagedVolume[] {
    const usable = [...this.#volumes.values()].filter(({ map }) => !map.deleted)
    return usable.sort((a, b) => (a.map.name < b.map.name ? -1 : 1))
  }

  named(name: string): ManagedVolume {
    for (const volume of this.#volumes.values()) {
      if (volume.map.name === name && !volume.map.deleted) return volume
    }
    throw new StorageError('not-found', `there is no volume "${name}"`)
  }

  /** Commits a new volume and brings its servers to it. */
  async create(draft: MapDraft): Promise<ManagedVolume> {
    const volume = this.#add(await this.#context.store.commitMap(draft))
    this.#context.committed(volume.map)
    await volume.activateFirst()
    return volume
  }

  /** What an ask is answered. */
  verdict(serverId: string, held: HeldVolume): AskReply {
    const volume = this.#volumes.get(held.volumeId)
    if (volume !== undefined) return volume.verdict(serverId, held)
    // A volume that this store never knew is kept: the store may be the wrong one, or a new one.
    if (this.#context.store.wasForgotten(held.volumeId)) return { forgotten: true }
    const { volumeId, name } = held
    this.#context.log.warn('a server holds an unknown volume', { serverId, volumeId, volume: name })
    return { wait: true }
  }

  /** The whole state of a server, as it describes it. */
  heard(facts: ServerFacts, held: readonly HeldVolume[]): void {
    const { serverId, storeIncarnation } = facts
    this.#health.heard(facts, held)
    const byId = new Map(held.map((each) => [each.volumeId, each]))
    for (const [volumeId, volume] of this.#volumes) {
      const concerned = byId.has(volumeId) || serversOf(volume.map).includes(serverId)
      if (!concerned) continue
      const here = byId.get(volumeId)
      const told = storeIncarnation !== '' && !volume.map.deleted
      // It cannot serve this map, so there is no use in bringing it along.
      const lost = told && lostIncarnation(volume.map, serverId, storeIncarnation)
      if (!lost || here?.generation !== volume.map.generation) {
        const done = volume.heard(serverId, here)
        background(done, (error) => this.#context.log.warn('not brought along', { error }))
      }
      this.#look(volume)
    }
  }

  /** What is said or believed of the server has changed. */
  lookAt(serverId: string): void {
    for (const volume of this.#of(serverId)) this.#look(volume)
  }

  /** What is said of the volume has changed. */
  look(volumeId: string): void {
    const volume = this.#volumes.get(volumeId)
    if (volume !== undefined) this.#look(volume)
  }

  /** The server runs as a new process, or an operator declared it dead. */
  changed(serverId: string, what: 'restarted' | 'dead'): void {
    for (const volume of this.#of(serverId)) {
      if (what === 'restarted') volume.restarted(serverId)
      volume.poke()
      this.#look(volume)
    }
  }

  /** Hands the maps with a server's replicas out again: its portals have changed. */
  republish(serverId: string): void {
    for (const { map } of this.#of(serverId)) this.#context.publish(map)
  }

  /** Names of the volumes of which the server holds something. */
  namesOn(serverId: string): string[] {
    return this.#of(serverId).map(({ map }) => map.name)
  }

  /** What was said under the former map counts no more, even where it would be said again. */
  #settled(volume: ManagedVolume): void {
    this.#look(volume)
    for (const { replicas } of volume.map.segments) {
      const [primary] = replicas
      const isWhole = replicas.every(({ state }) => state === 'in-sync')
      if (primary !== undefined && !isWhole) this.#context.refresh(primary.serverId)
    }
  }

  #look(volume: ManagedVolume): void {
    this.#health.look(volume)
    this.#recovery.look(volume)
  }

  #of(serverId: string): ManagedVolume[] {
    return [...this.#volumes.values()].filter(({ map }) => serversOf(map).includes(serverId))
  }

  #add(map: VolumeMap): ManagedVolume {
    const volume = new ManagedVolume(this.#context, map)
    this.#volumes.set(map.volumeId, volume)
    return volume
  }

  #resumeFence(volume: ManagedVolume): void {
    const fence = this.#context.store.fence(volume.map.volumeId)
    if (fence === undefined) return
    volume.resumeFence({
      name: 'fence',
      closes: true,
      fences: fence.client,
      next: (map) => withFence(map, fence.client),
    })
  }

  #freed(volumeId: string): void {
    if (this.#forgetting.has(volumeId) || !this.#volumes.has(volumeId)) return
    this.#forgetting.add(volumeId)
    const forgotten = this.#context.store.forget(volumeId).then(() => {
      this.#volumes.delete(volumeId)
      this.#forgetting.delete(volumeId)
    })
    background(forgotten, (error) => this.#context.log.error('not forgotten', { error }))
  }
}

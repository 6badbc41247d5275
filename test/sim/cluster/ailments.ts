/**
 * When may an initiator hear of a disk that does not do its work? Of one that cannot be read, while
 * every replica of some segment that the decided map calls in sync is on such a disk: one that is well
 * is enough. Of one that is full, while any of them is: a write has to go to all. And a little longer,
 * because what was under way ends.
 */
import type { Segment } from '../../../src/volume/map.ts'
import type { Cluster } from './cluster.ts'
import type { SimServer } from './sim-server.ts'

/** A manager that was told of a failed disk looks for another one for so long. */
const lastsMs = 12_000

export class Ailments {
  readonly #cluster: Cluster
  /** How often each server's disk is out of order now. */
  readonly #ailing = new Map<string, number>()
  readonly #full = new Set<string>()
  /** By volume: until when that was so, the last time. */
  readonly #untilMs = new Map<number, number>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    cluster.manager.store.onChange(() => this.#look())
  }

  begin({ serverId, disk }: SimServer): void {
    if (disk.faults.full) this.#full.add(serverId)
    this.#ailing.set(serverId, (this.#ailing.get(serverId) ?? 0) + 1)
    this.#look()
  }

  end({ serverId, disk }: SimServer): void {
    if (!disk.faults.full) this.#full.delete(serverId)
    const left = (this.#ailing.get(serverId) ?? 1) - 1
    if (left > 0) this.#ailing.set(serverId, left)
    else this.#ailing.delete(serverId)
    this.#look()
  }

  /** Could nobody serve some of the volume, at some time since then? */
  touched(volume: number, sinceMs: number): boolean {
    return (this.#untilMs.get(volume) ?? 0) > sinceMs
  }

  #look(): void {
    if (this.#ailing.size === 0 && this.#untilMs.size === 0) return
    const { world, maps } = this.#cluster
    for (const [volume, { segments }] of maps.all) {
      const isHit = segments.some((segment) => this.#isHit(segment))
      if (isHit) this.#untilMs.set(volume, Number.POSITIVE_INFINITY)
      else if (this.#untilMs.get(volume) === Number.POSITIVE_INFINITY) {
        this.#untilMs.set(volume, world.nowMs + lastsMs)
      }
    }
  }

  #isHit({ replicas }: Segment): boolean {
    const inSync = replicas.filter(({ state }) => state === 'in-sync')
    return (
      inSync.every(({ serverId }) => this.#ailing.has(serverId)) ||
      inSync.some(({ serverId }) => this.#full.has(serverId))
    )
  }
}

/**
 * When may what was not flushed be gone? When every replica that the decided map calls in sync has
 * lost what was not durable there since it came in sync. Not before: one that kept it is enough.
 */
import type { Segment } from '../../../src/volume/map.ts'
import type { Cluster } from './cluster.ts'
import { segmentOf } from './geometry.ts'
import type { SimServer } from './sim-server.ts'

export class Losses {
  readonly #cluster: Cluster
  /** Incarnation of the store that lost something, by segment and server. */
  readonly #lost = new Map<string, string>()
  /** Losses that are in the history. */
  readonly #told = new Set<string>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
    for (const server of cluster.servers) {
      const lose = (): void => this.#lose(server)
      server.machine.onPowerLoss(lose)
      server.disk.onLoss = lose
    }
    cluster.manager.store.onChange(() => this.#look())
  }

  #lose({ serverId }: SimServer): void {
    for (const map of this.#cluster.maps.all.values()) {
      for (const { segmentId, replicas } of map.segments) {
        const replica = replicas.find((each) => each.serverId === serverId)
        if (replica === undefined) continue
        this.#lost.set(`${segmentId} ${serverId}`, replica.incarnation)
        this.#told.delete(segmentId)
      }
    }
    this.#look()
  }

  #look(): void {
    if (this.#lost.size === 0) return
    const { history, world, maps } = this.#cluster
    for (const [volume, map] of maps.all) {
      for (const segment of map.segments) {
        const { segmentId } = segment
        if (!this.#nobodyKept(segment)) {
          this.#told.delete(segmentId)
          continue
        }
        if (this.#told.has(segmentId)) continue
        this.#told.add(segmentId)
        world.note(`what no flush covered of segment ${segmentId} may be gone`)
        const holds = (lba: number): boolean => segmentOf(map, lba)?.segmentId === segmentId
        history.add({ what: 'loss', volume, holds, atMs: world.nowMs })
      }
    }
  }

  #nobodyKept({ segmentId, replicas }: Segment): boolean {
    return replicas
      .filter(({ state }) => state === 'in-sync')
      .every(({ serverId, incarnation }) => {
        return this.#lost.get(`${segmentId} ${serverId}`) === incarnation
      })
  }
}

/**
 * A schedule told step by step: what comes next waits until the map, or time, has come so far. It is
 * over with the time of faults: nothing it would still do is done then.
 */
import { mirror } from '../../../src/base/limits.ts'
import type { Replica } from '../../../src/volume/map.ts'
import type { Cluster } from '../cluster/cluster.ts'
import type { SimServer } from '../cluster/sim-server.ts'
import type { SimInitiator } from '../load/sim-initiator.ts'
import type { Plan } from '../plan.ts'
import type { Chance } from '../world/chance.ts'
import { dense, weights } from './theme.ts'

const lookMs = 5
const pagesOfRegion = mirror.regionBytes / (64 * 1024)
const blocksOfRegion = mirror.regionBytes / 512

/** One volume with so many copies and so many regions, a place in each; nobody works by himself. */
export function scripted(
  chance: Chance,
  { copies, regions }: { readonly copies: number; readonly regions: number },
  some: Partial<Plan> = {},
): Partial<Plan> {
  const pages = regions * pagesOfRegion
  const volumes = [{ name: 'v1', pages, stripe: 0, mirror: copies, leaseMs: 500 }]
  const places = Array.from({ length: regions }, (_, region) => {
    return region * blocksOfRegion + chance.below(blocksOfRegion)
  })
  const quiet = { workers: 0, shims: 1, loadMs: 40_000, capacityPages: 2 * pages }
  return dense(chance, { ...quiet, volumes, places, ...some }, copies)
}

/** Marks are taken back so soon that a schedule need not wait for it. */
export const soon = { intervalMs: 250, idleMs: 100 }
export const clearedMs = 500

/** Who lost his way to the volume sends nothing again. */
export const letGo = weights({ letGo: 1 })

export class Script {
  readonly cluster: Cluster
  readonly chance: Chance
  /** One in each region. */
  readonly places: readonly number[]
  #over = false

  constructor(cluster: Cluster, chance: Chance) {
    this.cluster = cluster
    this.chance = chance
    this.places = cluster.volumes[0]!.hot
    cluster.undoLater(Number.MAX_SAFE_INTEGER, () => {
      this.#over = true
    })
  }

  /** Of the first client, and of the second. */
  get initiator(): SimInitiator {
    return this.cluster.initiators[0]!
  }

  get reader(): SimInitiator {
    return this.cluster.initiators[1]!
  }

  pass(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.cluster.world.after(ms, () => {
        if (!this.#over) resolve()
      })
    })
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await this.pass(lookMs)
  }

  /** All at once; resolves when all were answered. */
  async write(places: readonly number[]): Promise<void> {
    await Promise.all(places.map((lba) => this.initiator.write(lba)))
  }

  /** The copies by the map that was decided last, the primary first. */
  get copies(): SimServer[] {
    return this.#replicas.map(({ serverId }) => {
      return this.cluster.servers.find((server) => server.serverId === serverId)!
    })
  }

  isPrimary(server: SimServer): boolean {
    return this.copies[0] === server
  }

  isInSync({ serverId }: SimServer): boolean {
    return this.#replicas.some((each) => each.serverId === serverId && each.state === 'in-sync')
  }

  /** The file of region masks on every copy. */
  get maskFile(): string {
    return `masks/${this.cluster.maps.all.get(1)?.segments[0]?.segmentId}`
  }

  /** The first client is away until faults are over. */
  loseClient(): void {
    const [shim] = this.cluster.shims
    this.cluster.shimKilled(shim!)
    this.cluster.undoLater(Number.MAX_SAFE_INTEGER, () => shim!.start())
  }

  async gone(server: SimServer): Promise<void> {
    server.kill()
    await this.until(() => !this.isInSync(server))
  }

  async back(server: SimServer): Promise<void> {
    this.restart(server)
    await this.until(() => this.isInSync(server))
  }

  /** Comes back at the latest when faults are over. */
  restart(server: SimServer): void {
    server.machine.powerOn()
    server.start()
  }

  get #replicas(): readonly Replica[] {
    return this.cluster.maps.all.get(1)?.segments[0]?.replicas ?? []
  }
}

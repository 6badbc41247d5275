/** What a schedule that aims at one guard is, and what such schedules are made of. */
import type { Cluster } from '../cluster/cluster.ts'
import type { SimServer } from '../cluster/sim-server.ts'
import type { SimShim } from '../cluster/sim-shim.ts'
import type { LoadWeights } from '../load/sim-initiator.ts'
import type { Plan } from '../plan.ts'
import type { Chance } from '../world/chance.ts'

export interface Theme {
  readonly mirrors: boolean
  readonly plan: (chance: Chance) => Partial<Plan>
  /** Where it gives a promise, the load ends with it. */
  readonly run: (cluster: Cluster, chance: Chance) => void | Promise<void>
}

const volumePages = 2
const roomy = 1_000

export function weights(some: Partial<LoadWeights>): LoadWeights {
  const none = { read: 1, write: 1, large: 0, unmap: 0, same: 0, compare: 0, flush: 0 }
  return { ...none, forced: 0, letGo: 0, ...some }
}

/** Two clients, one volume, one or two places. */
export function dense(
  chance: Chance,
  some: Partial<Plan>,
  mirror: number,
  leaseMs = 0,
): Partial<Plan> {
  return {
    servers: mirror,
    shims: 2,
    gateways: 0,
    initiators: 1,
    volumes: [{ name: 'v1', pages: volumePages, stripe: 0, mirror, leaseMs }],
    workers: 2,
    thinkMs: 30,
    capacityPages: roomy,
    clocksDiffer: chance.happens(0.3),
    fast: true,
    patienceMs: 30_000,
    hotPlaces: 1 + chance.below(2),
    weights: weights({}),
    loadMs: 8_000,
    ...some,
  }
}

export function primaryOf(cluster: Cluster): SimServer {
  const serverId = cluster.maps.all.get(1)?.segments[0]?.replicas[0]?.serverId
  return cluster.servers.find((server) => server.serverId === serverId) ?? cluster.servers[0]!
}

/** The gateway that the first initiator works through. */
export function activeGateway({ maps, gateways }: Cluster): SimShim {
  const [entry] = maps.all.get(1)?.activeFrontEnds ?? []
  return gateways.find(({ client }) => client === entry?.client) ?? gateways[0]!
}

export function others(cluster: Cluster, server: SimServer): SimServer[] {
  return cluster.servers.filter((each) => each !== server)
}

/** Neither hears the other for so long. */
export function part(cluster: Cluster, one: string[], other: string[], ms: number): void {
  cluster.undoLater(ms, cluster.links.hold(one, other))
  cluster.undoLater(ms, cluster.links.hold(other, one))
}

export const managers = ['m', 'ma']

/** Everybody stops, and nobody sends again what was under way: then the copies must agree. */
export function stopAll(cluster: Cluster, chance: Chance): void {
  const { servers, shims } = cluster
  for (const shim of shims) {
    cluster.shimKilled(shim)
    cluster.undoLater(chance.between(50, 400), () => shim.start())
  }
  const lost = chance.happens(0.4)
  for (const server of servers) {
    if (lost) server.machine.losePower()
    else server.kill()
    cluster.undoLater(chance.between(50, 400), () => {
      server.machine.powerOn()
      server.start()
    })
  }
}

export function slowOne(cluster: Cluster, chance: Chance): void {
  const { disk, records, metadata } = chance.pick(cluster.servers)
  const slowMs = chance.between(60, 700)
  for (const each of [disk, records, metadata]) each.faults.slowMs = slowMs
  cluster.undoLater(900, () => {
    for (const each of [disk, records, metadata]) each.faults.slowMs = 0
  })
}

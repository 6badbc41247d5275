/** Schedules against masks, labels and comparison: what may differ between copies. */
import type { Cluster } from '../cluster/cluster.ts'
import type { SimServer } from '../cluster/sim-server.ts'
import type { Chance } from '../world/chance.ts'
import { dense, managers, others, part, slowOne, stopAll, type Theme, weights } from './theme.ts'

/** Copies go away and return in turn, at times before what they lacked was there. */
export const rotation: Theme = {
  mirrors: true,
  plan: (chance) => {
    const mirror = chance.pick([2, 2, 3])
    const volumes = [{ name: 'v1', pages: 140, stripe: 0, mirror, leaseMs: 500 }]
    return dense(chance, { volumes, hotPlaces: 4, loadMs: 16_000, workers: 1 }, mirror)
  },
  run: (cluster, chance) => {
    let atMs = 300
    for (let i = 0; atMs < 15_000; i++) {
      const server = cluster.servers[i % cluster.servers.length]!
      const awayMs = chance.between(1_300, 3_500)
      cluster.world.after(atMs, () => goAway(cluster, chance, server, awayMs))
      atMs += awayMs + chance.between(-600, 1_800)
    }
  },
}

function goAway(cluster: Cluster, chance: Chance, server: SimServer, ms: number): void {
  switch (chance.pick(['kill', 'power', 'cut'])) {
    case 'kill':
      server.kill()
      break
    case 'power':
      server.machine.losePower()
      break
    default:
      part(
        cluster,
        [server.name],
        [...others(cluster, server), ...cluster.shims].map(({ name }) => name).concat(managers),
        ms,
      )
      return
  }
  cluster.undoLater(ms, () => {
    server.machine.powerOn()
    server.start()
  })
}

/** Writes that are on one copy only when everything stops. */
export const halfWritten: Theme = {
  mirrors: true,
  plan: (chance) => {
    const load = weights({ letGo: 1, large: 0.3, flush: chance.pick([0, 0.5]) })
    const hot = { hotPlaces: 5, thinkMs: 60 }
    return dense(chance, { ...hot, weights: load, loadMs: 3_000, workers: 3 }, 2, 500)
  },
  run: (cluster, chance) => {
    for (const atMs of [500, 2_400]) {
      cluster.world.after(atMs, () => slowOne(cluster, chance))
      cluster.world.after(atMs + chance.between(20, 500), () => stopAll(cluster, chance))
    }
  },
}

/** So, with the first writes ever, whose marks are not there yet. */
export const firstWrites: Theme = {
  mirrors: true,
  plan: (chance) => {
    const volumes = [{ name: 'v1', pages: 400, stripe: 0, mirror: 2, leaseMs: 500 }]
    const load = weights({ letGo: 1, read: 0.3 })
    const hot = { hotPlaces: 5, volumes, thinkMs: 15 }
    return dense(chance, { ...hot, weights: load, loadMs: 600, workers: 3 }, 2)
  },
  run: (cluster, chance) => {
    slowOne(cluster, chance)
    cluster.world.after(chance.between(15, 250), () => {
      for (const initiator of cluster.initiators) initiator.stopLoad()
      stopAll(cluster, chance)
    })
  },
}

/** Marks are taken back while nothing happens; then the power goes, and nothing was flushed. */
export const quiet: Theme = {
  mirrors: true,
  plan: (chance) => {
    const volumes = [{ name: 'v1', pages: 400, stripe: 0, mirror: 2, leaseMs: 0 }]
    const hot = { hotPlaces: 5, volumes }
    return dense(chance, { ...hot, thinkMs: 700, workers: 2, loadMs: 26_000 }, 2)
  },
  run: (cluster, chance) => {
    const { world, servers } = cluster
    for (const at of [8_000, 19_000]) {
      world.after(at + chance.between(-2_500, 3_500), () => {
        for (const server of servers) {
          server.machine.losePower()
          cluster.undoLater(chance.between(100, 700), () => {
            server.machine.powerOn()
            server.start()
          })
        }
      })
    }
  },
}

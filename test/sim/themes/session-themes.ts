/** Schedules against sessions: what was sent before lands after what was sent again. */
import { strike } from '../faults/faults.ts'
import { dense, part, type Theme, weights } from './theme.ts'

/** Sessions end while the disk is slow: what began under them ends late. */
export const slowResets: Theme = {
  mirrors: false,
  plan: (chance) => {
    const compare = chance.pick([0, 1, 3])
    const load = weights({ read: 1, write: compare > 0 ? 0.3 : 2, compare })
    const size = { servers: 1, hotPlaces: 1, workers: 3 }
    return dense(chance, { ...size, thinkMs: 15, weights: load, loadMs: 8_000 }, 1)
  },
  run: (cluster, chance) => {
    const { world, network, servers } = cluster
    for (const { disk } of servers) {
      disk.faults.slowMs = chance.between(50, 900)
      cluster.undoLater(7_500, () => {
        disk.faults.slowMs = 0
      })
    }
    for (let atMs = 200; atMs < 7_500; atMs += chance.between(60, 500)) {
      world.after(atMs, () => {
        for (const host of ['s1a', 's1b']) network.resetBetween('c1', host)
      })
    }
  },
}

/** Connections get stuck, others take their place, and then the first ones go on. */
export const stuck: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 1, write: 2, compare: chance.pick([0, 0.5]) })
    const size = { servers: 1, hotPlaces: 1, workers: 2 }
    return dense(chance, { ...size, weights: load, loadMs: 18_000 }, 1)
  },
  run: (cluster, chance) => {
    const { world, network } = cluster
    for (let atMs = 200; atMs < 15_000; atMs += chance.between(400, 2_500)) {
      const client = chance.pick(['c1', 'c2'])
      const ms = chance.between(800, 9_000)
      const end = chance.happens(0.6)
      world.after(atMs, () => {
        for (const host of chance.pick([['s1a'], ['s1b'], ['s1a', 's1b']])) {
          network.stallBetween(client, host, ms)
        }
      })
      if (end)
        world.after(atMs + chance.between(20, ms), () => strike('resetPaths', cluster, chance))
    }
  },
}

/** The same between initiators and shims, whose way to the server is broken as well. */
export const stuckFront: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 1, write: 2 })
    const patience = { patienceMs: chance.between(600, 3_000), pings: chance.pick([0, 1]) }
    const size = { servers: 1, hotPlaces: 1, workers: 2, initiators: 1 }
    return dense(chance, { ...size, ...patience, weights: load, loadMs: 16_000 }, 1)
  },
  run: (cluster, chance) => {
    const { world, network } = cluster
    for (let atMs = 300; atMs < 12_000; atMs += chance.between(1_500, 4_000)) {
      const ms = chance.between(700, 6_000)
      const pathMs = chance.between(200, 5_000)
      world.after(atMs, () => {
        part(cluster, ['c1'], ['s1a', 's1b'], pathMs)
        world.after(chance.between(5, 300), () => {
          for (const machine of cluster.initiatorMachines('c1')) {
            network.stallBetween(machine, 'c1', ms)
          }
        })
      })
    }
  },
}

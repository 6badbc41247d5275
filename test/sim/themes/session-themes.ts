/** Schedules against sessions: what was sent before lands after what was sent again. */
import { watchConnection } from '../checks/connection-check.ts'
import type { Cluster } from '../cluster/cluster.ts'
import type { SimShim } from '../cluster/sim-shim.ts'
import { strike } from '../faults/faults.ts'
import type { Plan } from '../plan.ts'
import type { Chance } from '../world/chance.ts'
import { dense, part, type Theme, weights } from './theme.ts'

const oneServer: Partial<Plan> = { servers: 1, hotPlaces: 1 }
const portals = ['s1a', 's1b']

/** Sessions end while the disk is slow: what began under them ends late. */
const slowResets: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 1, write: 2 })
    return dense(chance, { ...oneServer, thinkMs: 15, weights: load, loadMs: 3_500 }, 1)
  },
  run: (cluster, chance) => {
    slowDisks(cluster, chance.between(50, 900), 3_200)
    resetPaths(cluster, chance, { untilMs: 3_200, leastMs: 60, mostMs: 500 })
  },
}

/** So, when what began is to happen once: one client compares with what it wrote last. */
const lostCompares: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 0.5, write: 0, compare: 3 })
    const size = { ...oneServer, shims: 1, workers: chance.pick([1, 1, 2]) }
    return dense(chance, { ...size, thinkMs: 10, weights: load, loadMs: 3_000 }, 1)
  },
  run: (cluster, chance) => {
    slowDisks(cluster, chance.between(20, 150), 2_800)
    resetPaths(cluster, chance, { untilMs: 2_800, leastMs: 40, mostMs: 250 })
  },
}

/** Initiators lose patience with a slow disk, ask for an abort and believe the answer. */
const earlyAborts: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 1, write: 2 })
    const patience = { patienceMs: chance.between(20, 200), aborts: 1 }
    return dense(
      chance,
      { ...oneServer, ...patience, thinkMs: 15, weights: load, loadMs: 3_000 },
      1,
    )
  },
  run: (cluster, chance) => slowDisks(cluster, chance.between(300, 1_500), 2_800),
}

/** Connections get stuck, others take their place, and then the first ones go on. */
const stuck: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 1, write: 2, compare: chance.pick([0, 0.5]) })
    return dense(chance, { ...oneServer, weights: load, loadMs: 7_000 }, 1)
  },
  run: (cluster, chance) => {
    const { world, network } = cluster
    for (let atMs = 200; atMs < 6_000; atMs += chance.between(400, 2_500)) {
      const client = chance.pick(['c1', 'c2'])
      const ms = chance.between(800, 5_000)
      const end = chance.happens(0.6)
      world.after(atMs, () => {
        for (const host of chance.pick([['s1a'], ['s1b'], portals])) {
          network.stallBetween(client, host, ms)
        }
      })
      if (end)
        world.after(atMs + chance.between(20, ms), () => strike('resetPaths', cluster, chance))
    }
  },
}

/**
 * A login is long on its way to the management path. Its sender was switched off meanwhile and has
 * come back, over the direct path; so what is late is newer at the server than what it would end.
 */
const lateLogins: Theme = {
  mirrors: false,
  plan: (chance) => {
    const patience = { patienceMs: 300, aborts: 0 }
    return dense(chance, { ...oneServer, ...patience, shims: 1, thinkMs: 60, loadMs: 4_500 }, 1)
  },
  run: (cluster, chance) => {
    const { world, network } = cluster
    for (const atMs of [300, 2_400]) {
      world.after(atMs, () => {
        const ms = chance.between(1_300, 1_700)
        part(cluster, ['c1'], portals, 230)
        // A probe of the management path comes first; the login is what follows.
        network.stallNext('c1', ['ma'], { skip: 1, ms })
        for (const host of portals) network.resetBetween('c1', host)
        world.after(chance.between(60, 150), () => switchOff(cluster, cluster.shims[0]!))
        world.after(ms - 100, () => watchConnection(cluster, 'c1', portals))
      })
    }
  },
}

/**
 * Connections to the front end get stuck, their initiators come back under another name of theirs,
 * at the same portal or at the other one, and then the first ones go on.
 */
const stuckFront: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 1, write: 2 })
    const patience = { patienceMs: chance.between(150, 900), aborts: 0, pings: 0 }
    const ways = { newIsids: 1, frontPortals: chance.pick([1, 2]) }
    const size = { ...oneServer, shims: 1, workers: 2, initiators: 2 }
    return dense(chance, { ...size, ...patience, ...ways, weights: load, loadMs: 6_500 }, 1)
  },
  run: (cluster, chance) => {
    const { world, network } = cluster
    for (let atMs = 200; atMs < 5_000; atMs += chance.between(1_200, 2_500)) {
      world.after(atMs, () => {
        const ms = chance.pick([chance.between(800, 2_000), chance.between(2_000, 5_000)])
        const machine = chance.pick(cluster.initiatorMachines('c1'))
        network.stallBetween(machine, 'c1', ms)
      })
    }
  },
}

/** For a moment: its connections do not even end. */
function switchOff(cluster: Cluster, shim: SimShim): void {
  const { history, world } = cluster
  history.add({ what: 'front-gone', client: shim.name, atMs: world.nowMs })
  shim.machine.losePower()
  cluster.undoLater(100, () => {
    shim.machine.powerOn()
    shim.start()
  })
}

function slowDisks(cluster: Cluster, ms: number, forMs: number): void {
  const { servers } = cluster
  for (const { disk } of servers) disk.faults.slowMs = ms
  cluster.undoLater(forMs, () => {
    for (const { disk } of servers) disk.faults.slowMs = 0
  })
}

function resetPaths(
  { world, network }: Cluster,
  chance: Chance,
  { untilMs, leastMs, mostMs }: { untilMs: number; leastMs: number; mostMs: number },
): void {
  for (let atMs = 200; atMs < untilMs; atMs += chance.between(leastMs, mostMs)) {
    world.after(atMs, () => {
      for (const host of portals) network.resetBetween('c1', host)
    })
  }
}

export const sessionThemes = {
  slowResets,
  lostCompares,
  earlyAborts,
  stuck,
  lateLogins,
  stuckFront,
}

/** Schedules against gateways: what is parked in one, or behind it, comes after its re-send through another. */
import type { Cluster } from '../cluster/cluster.ts'
import type { Plan } from '../plan.ts'
import type { Chance } from '../world/chance.ts'
import { activeGateway, dense, managers, part, type Theme, weights } from './theme.ts'

/** One volume on one server, and one initiator with a path through each of two gateways. */
function twoPaths(chance: Chance, some: Partial<Plan>): Partial<Plan> {
  const patience = {
    patienceMs: chance.between(300, 1_000),
    pings: chance.pick([0, 1]),
    aborts: 0.2,
  }
  const size = { servers: 1, shims: 0, gateways: 2, initiators: 2, hotPlaces: 1, workers: 2 }
  const load = weights({ read: 1, write: 2, compare: chance.pick([0, 0, 0.4]) })
  return dense(chance, { ...size, ...patience, weights: load, loadMs: 7_000, ...some }, 1)
}

const interfaces = ['s1a', 's1b', 'ma']

/** One that just sends to the other path, and moves nobody else. */
const impatient = { initiators: 1, asksForPath: 0.1, loadMs: 5_500 }

function strike(cluster: Cluster, chance: Chance): void {
  const { network, links } = cluster
  const gateway = activeGateway(cluster)
  const { name } = gateway
  const initiators = cluster.initiatorMachines(name)
  const frontMs = chance.between(1_000, 3_500)
  const behindMs = chance.between(700, 2_000)
  const stallFront = (): void => {
    for (const machine of initiators) network.stallBetween(machine, name, frontMs)
  }
  const what = chance.pick(['behind', 'behind', 'behind', 'parked', 'stopped', 'cut', 'killed'])
  cluster.world.note(`${name}: ${what}`)
  switch (what) {
    case 'behind':
      for (const host of interfaces) network.stallBetween(name, host, behindMs)
      cluster.world.after(chance.between(5, 300), stallFront)
      return
    case 'parked':
      part(cluster, [name], interfaces, behindMs)
      cluster.world.after(chance.between(5, 300), stallFront)
      return
    case 'stopped':
      gateway.process?.stop(chance.between(600, 5_000))
      return
    case 'cut':
      cluster.undoLater(frontMs, links.hold(initiators, [name]))
      if (chance.happens(0.5)) part(cluster, [name], managers, behindMs)
      return
    default:
      cluster.shimKilled(gateway)
      cluster.undoLater(behindMs, () => gateway.start())
  }
}

/** Commands are in a gateway, or on their way behind it, when their initiator turns to another one. */
const stoppedGateway: Theme = {
  mirrors: false,
  plan: (chance) => twoPaths(chance, {}),
  run: (cluster, chance) => {
    for (let atMs = 400; atMs < 6_000; atMs += chance.between(900, 2_500)) {
      cluster.world.after(atMs, () => strike(cluster, chance))
    }
  },
}

/** What went to the other gateway arrives there when its initiator is back at the first one. */
const lateClaim: Theme = {
  mirrors: false,
  plan: (chance) => twoPaths(chance, { ...impatient, patienceMs: chance.between(300, 700) }),
  run: (cluster, chance) => {
    const { world, network, links } = cluster
    world.after(300, () => {
      const active = activeGateway(cluster)
      const others = cluster.gateways.filter((gateway) => gateway !== active)
      const initiators = cluster.initiatorMachines(active.name)
      // It serves, and the manager does not hear of it.
      part(cluster, [active.name], managers, 4_600)
      world.after(chance.between(2_900, 3_300), () => {
        const names = others.map(({ name }) => name)
        const slow = links.slow(initiators, names, chance.between(800, 1_500))
        cluster.undoLater(1_500, slow)
        for (const machine of initiators) network.resetBetween(machine, active.name)
      })
    })
  },
}

/** It arrives there at once, and has to wait until the first gateway counts as lost. */
const slowClaim: Theme = {
  mirrors: false,
  plan: (chance) => twoPaths(chance, { ...impatient, patienceMs: chance.between(200, 400) }),
  run: (cluster, chance) => {
    const { world, network, links } = cluster
    world.after(300, () => {
      const active = activeGateway(cluster)
      const initiators = cluster.initiatorMachines(active.name)
      const names = cluster.gateways.filter((each) => each !== active).map(({ name }) => name)
      part(cluster, [active.name], managers, 4_600)
      world.after(chance.between(1_800, 2_500), () => {
        for (const machine of initiators) network.resetBetween(machine, active.name)
        world.after(chance.between(10, 100), () => {
          cluster.undoLater(2_500, links.slow(initiators, names, chance.between(1_000, 2_500)))
        })
      })
    })
  },
}

/** Two sessions with one shim: one ends while the disk is slow, and the other one goes on. */
const twoPortals: Theme = {
  mirrors: false,
  plan: (chance) => {
    const size = { servers: 1, shims: 1, hotPlaces: 1, workers: 2, frontPortals: 2 }
    const load = weights({ read: 1, write: 2, compare: chance.pick([0, 0.4]) })
    const paths = { portalsAtOnce: true, asksForPath: 0, failsBack: 1, aborts: 0 }
    return dense(chance, { ...size, ...paths, weights: load, thinkMs: 10, loadMs: 5_000 }, 1)
  },
  run: (cluster, chance) => {
    const { world, network, servers } = cluster
    for (const { disk } of servers) {
      disk.faults.slowMs = chance.between(30, 300)
      cluster.undoLater(4_800, () => {
        disk.faults.slowMs = 0
      })
    }
    for (let atMs = 200; atMs < 4_800; atMs += chance.between(300, 900)) {
      world.after(atMs, () => {
        for (const machine of cluster.initiatorMachines('c1')) {
          network.resetBetween(machine, 'c1b')
        }
      })
    }
  },
}

export const gatewayThemes = { stoppedGateway, lateClaim, slowClaim, twoPortals }

/**
 * Schedules that aim at one guard each: few machines, blocks that everybody wants, and the one order
 * of events in which the guard matters, with every time drawn anew. A seed has either one of these or
 * the general mix of faults.
 */
import type { Cluster } from './cluster/cluster.ts'
import type { SimServer } from './cluster/sim-server.ts'
import { strike } from './faults/faults.ts'
import type { LoadWeights } from './load/sim-initiator.ts'
import type { Plan } from './plan.ts'
import type { Chance } from './world/chance.ts'

export interface Theme {
  readonly mirrors: boolean
  readonly plan: (chance: Chance) => Partial<Plan>
  readonly run: (cluster: Cluster, chance: Chance) => void
}

const volumePages = 2
const roomy = 1_000

function weights(some: Partial<LoadWeights>): LoadWeights {
  const none = { read: 1, write: 1, large: 0, unmap: 0, same: 0, compare: 0, flush: 0 }
  return { ...none, forced: 0, letGo: 0, ...some }
}

/** Two clients, one volume, one or two places. */
function dense(chance: Chance, some: Partial<Plan>, mirror: number, leaseMs = 0): Partial<Plan> {
  return {
    servers: mirror,
    shims: 2,
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

function primaryOf(cluster: Cluster): SimServer {
  const serverId = cluster.maps.all.get(1)?.segments[0]?.replicas[0]?.serverId
  return cluster.servers.find((server) => server.serverId === serverId) ?? cluster.servers[0]!
}

function others(cluster: Cluster, server: SimServer): SimServer[] {
  return cluster.servers.filter((each) => each !== server)
}

/** Neither hears the other for so long. */
function part(cluster: Cluster, one: string[], other: string[], ms: number): void {
  cluster.undoLater(ms, cluster.links.hold(one, other))
  cluster.undoLater(ms, cluster.links.hold(other, one))
}

const managers = ['m', 'ma']

/** The first client and the primary still have each other, and both have nobody else. */
const oldView = ({ beats }: { readonly beats: boolean }): Theme => ({
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 9_000, readers: 1 }, 2, chance.pick([1_000, 5_000])),
  run: (cluster, chance) => {
    cluster.world.after(chance.between(300, 900), () => {
      const primary = primaryOf(cluster)
      const ms = chance.between(4_000, 8_000)
      const rest = others(cluster, primary).map(({ name }) => name)
      part(cluster, [primary.name, 'c1'], [...managers, ...(beats ? [] : rest)], ms)
      part(cluster, [primary.name], ['c2'], ms)
      part(cluster, ['c1'], rest, ms)
    })
  },
})

/** So, and the primary stood still while answers to its heartbeats were on their way. */
const pausedPrimary: Theme = {
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 12_000, readers: 1 }, 2, chance.pick([1_500, 2_500])),
  run: (cluster, chance) => {
    const { world, links } = cluster
    world.after(400, () => {
      const primary = primaryOf(cluster)
      const rest = others(cluster, primary).map(({ name }) => name)
      const slowMs = chance.between(150, 500)
      cluster.undoLater(9_000, links.slow(rest, [primary.name], slowMs))
      world.after(chance.between(300, 1_500), () => {
        const ms = chance.between(3_000, 5_500)
        primary.process?.stop(ms)
        part(cluster, [primary.name, 'c1'], managers, ms + 3_000)
        part(cluster, [primary.name], ['c2'], ms + 3_000)
        part(cluster, ['c1'], rest, ms + 3_000)
        world.after(slowMs, () => part(cluster, [primary.name], rest, ms + 3_000))
      })
    })
  },
}

/** The one that confirmed a lease begins anew and does not remember it. */
const restartedConfirmer: Theme = {
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 10_000, readers: 1 }, 2, 5_000),
  run: (cluster, chance) => {
    const { world } = cluster
    world.after(chance.between(500, 1_500), () => {
      const primary = primaryOf(cluster)
      const rest = others(cluster, primary)
      part(cluster, [primary.name, 'c1'], [...managers, ...rest.map(({ name }) => name)], 7_000)
      part(cluster, [primary.name], ['c2'], 7_000)
      for (const server of rest) {
        server.kill()
        world.after(chance.between(5, 60), () => server.start())
      }
    })
  },
}

/** Copies go away and return in turn, at times before what they lacked was there. */
const rotation: Theme = {
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

/** Everybody stops, and nobody sends again what was under way: then the copies must agree. */
function stopAll(cluster: Cluster, chance: Chance): void {
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

function slowOne(cluster: Cluster, chance: Chance): void {
  const { disk, records, metadata } = chance.pick(cluster.servers)
  const slowMs = chance.between(60, 700)
  for (const each of [disk, records, metadata]) each.faults.slowMs = slowMs
  cluster.undoLater(900, () => {
    for (const each of [disk, records, metadata]) each.faults.slowMs = 0
  })
}

/** Writes that are on one copy only when everything stops. */
const halfWritten: Theme = {
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
const firstWrites: Theme = {
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
const quiet: Theme = {
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

/** Data are on their way when their client is fenced. */
const fenced: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 2, write: 1, large: chance.pick([0, 1, 3]) })
    return dense(chance, { weights: load, loadMs: 7_000, servers: chance.pick([1, 2]) }, 1)
  },
  run: (cluster, chance) => {
    const { world, links } = cluster
    for (let atMs = 300; atMs < 6_000; atMs += chance.between(900, 2_000)) {
      world.after(atMs, () => {
        const ms = chance.between(30, 400)
        cluster.undoLater(1_500, links.slow(['c1'], ['s1', 's2'], ms))
        if (chance.happens(0.5)) part(cluster, ['c1'], managers, chance.between(100, 1_500))
        if (chance.happens(0.5)) slowOne(cluster, chance)
        world.after(chance.between(20, 500), () =>
          cluster.fences.fenceClient(1, 1, chance.pick([3, 30, 900])),
        )
      })
    }
  },
}

/** A server forgets, between close and commit, that it is closed. */
const closedAndGone: Theme = {
  mirrors: false,
  plan: (chance) => dense(chance, { loadMs: 8_000, servers: 1, weights: weights({ read: 2 }) }, 1),
  run: (cluster, chance) => {
    const { world, manager, servers } = cluster
    world.after(chance.between(500, 1_500), () => {
      const server = servers[0]!
      const lateMs = chance.between(400, 1_500)
      part(cluster, ['c1'], managers, 6_000)
      manager.store.faults.slowMs = lateMs
      cluster.undoLater(2_500, () => {
        manager.store.faults.slowMs = 0
      })
      cluster.fences.fenceClient(1, 1, 4_000)
      world.after(chance.skewed(0.3, 100), () => {
        if (chance.happens(0.5)) server.machine.losePower()
        else server.kill()
        cluster.undoLater(chance.between(5, 80), () => {
          server.machine.powerOn()
          server.start()
        })
      })
      world.after(chance.between(100, 400), () => part(cluster, [server.name], managers, 4_000))
    })
  },
}

/** Sessions end while the disk is slow: what began under them ends late. */
const slowResets: Theme = {
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
const stuck: Theme = {
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
const stuckFront: Theme = {
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

/** One manager stands still in the middle of a change, and its successor makes another one. */
const twoManagers: Theme = {
  mirrors: false,
  plan: (chance) =>
    dense(
      chance,
      { loadMs: 9_000, servers: chance.pick([1, 2]), weights: weights({ read: 2 }) },
      1,
    ),
  run: (cluster, chance) => {
    const { world, manager, links } = cluster
    for (const atMs of [500, 4_500]) {
      world.after(atMs, () => {
        part(cluster, ['c1'], managers, 3_500)
        const slow = chance.happens(0.6)
        if (slow) cluster.undoLater(400, links.slow(['m'], ['s1'], chance.between(50, 1_500)))
        cluster.fences.fenceClient(1, 2, 40)
        world.after(chance.skewed(0.3, 60), () => manager.replace(chance.between(50, 1_500)))
        for (const ms of [150, 700, 1_400]) {
          world.after(ms, () => cluster.fences.fenceClient(1, 1, 2_000))
        }
      })
    }
  },
}

export const themes = {
  oldView: oldView({ beats: false }),
  oldViewThatBeats: oldView({ beats: true }),
  pausedPrimary,
  restartedConfirmer,
  rotation,
  halfWritten,
  firstWrites,
  quiet,
  fenced,
  closedAndGone,
  slowResets,
  stuck,
  stuckFront,
  twoManagers,
} as const satisfies Record<string, Theme>

export type ThemeName = keyof typeof themes

export function themeNames(mirrors: boolean): ThemeName[] {
  const names = Object.keys(themes) as ThemeName[]
  return names.filter((name) => themes[name].mirrors === mirrors)
}

/**
 * Schedules against the page store: pages that change their owners, losses of what no flush covered,
 * and disks without room.
 */
import { pageBytes } from '../../../src/base/limits.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { sectorBytes } from '../load/stamps.ts'
import type { Plan } from '../plan.ts'
import type { Chance } from '../world/chance.ts'
import { Script } from './script.ts'
import { dense, managers, part, type Theme, weights } from './theme.ts'

const pages = 4
const rounds = 4

/** One server with as many pages as the volume has: a freed one has a new owner at once. */
function scarce(chance: Chance): Partial<Plan> {
  const volumes = [{ name: 'v1', pages, stripe: 0, mirror: 1, leaseMs: 0 }]
  const size = { servers: 1, shims: 1, initiators: 1, workers: 0, places: pageStarts(pages) }
  return dense(chance, { volumes, capacityPages: pages, ...size, loadMs: 3_000 }, 1)
}

/** All pages have an owner, durably; two of them are to change it. */
async function begin({ initiator, places, chance }: Script): Promise<[number, number]> {
  await Promise.all(places.map((lba) => initiator.write(lba)))
  await initiator.flush()
  const [one, other] = chance.shuffled(places)
  return [one!, other!]
}

/** The power goes while nothing says yet, for good, that pages have changed their owners. */
const reusedAfterLoss: Theme = {
  mirrors: false,
  plan: scarce,
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const { initiator } = script
    for (let round = 0; round < rounds; round++) {
      const freed = await begin(script)
      await Promise.all(freed.map((lba) => initiator.freePage(lba)))
      for (const lba of chance.shuffled(freed)) await initiator.write(lba)
      losePower(cluster, chance)
      await initiator.readAll()
    }
  },
}

/** Reads and writes are under way for long when the pages that they are about get new owners. */
const reusedWhileInUse: Theme = {
  mirrors: false,
  plan: scarce,
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const { initiator } = script
    for (let round = 0; round < rounds; round++) {
      const freed = await begin(script)
      const [used, other] = freed
      late(cluster, chance.between(50, 500))
      const uses = [1, 2, 3].map(() => initiator.read(used))
      if (chance.happens(0.5)) uses.push(initiator.write(used))
      await script.pass(chance.between(2, 10))
      late(cluster, 0)
      await Promise.all(freed.map((lba) => initiator.freePage(lba)))
      await initiator.write(other)
      await Promise.all(uses)
      await initiator.readAll()
    }
  },
}

function late({ servers }: Cluster, ms: number): void {
  for (const { disk } of servers) disk.faults.lateMs = ms
}

/** The power goes, what no flush covered goes with it, and initiators flush afterwards. */
const lostWrites: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({
      read: 1,
      write: 2,
      unmap: chance.between(0, 1),
      flush: chance.between(0.1, 0.5),
      forced: chance.pick([0, 0.2]),
    })
    return roomy(chance, { weights: load, workers: 2, loadMs: 2_200 })
  },
  run: (cluster, chance) => {
    const { world, initiators } = cluster
    for (const atMs of [chance.between(200, 700), chance.between(1_400, 2_000)]) {
      world.after(atMs, () => losePower(cluster, chance))
    }
    // Nobody writes over what is lost last.
    world.after(1_400, () => {
      if (chance.happens(0.5)) for (const initiator of initiators) initiator.stopLoad()
    })
  },
}

/**
 * A flush fails while nearly nothing was flushed before, and the store is opened again at once; who
 * would give it a place in a new map hears nothing of it for a while.
 */
const failedFlush: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 2, write: 1, flush: chance.between(0.1, 0.3) })
    return roomy(chance, { weights: load, workers: 1, initiators: 3, loadMs: 1_500 })
  },
  run: (cluster, chance) => {
    cluster.world.after(chance.between(50, 250), () => {
      for (const { disk } of cluster.servers) disk.faults.failingFlushes = 1
      if (chance.happens(0.8)) part(cluster, ['s1'], managers, chance.between(300, 1_000))
    })
  },
}

/** There is no room for a while, and then perhaps no process, or no power. */
const fullDisk: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = { read: 1, write: 2, unmap: chance.between(0.2, 1), forced: 0.2, compare: 0.2 }
    const flush = chance.between(0.1, 0.5)
    return roomy(chance, { weights: weights({ ...load, flush }), workers: 2, loadMs: 2_200 })
  },
  run: (cluster, chance) => {
    const { world } = cluster
    for (const atMs of [chance.between(50, 400), chance.between(900, 1_300)]) {
      world.after(atMs, () => fill(cluster, chance, chance.between(50, 400)))
    }
  },
}

/** One copy has no room for what the others take; who serves may die while they differ. */
const fullCopy: Theme = {
  mirrors: true,
  plan: (chance) => {
    const load = { read: 1, write: 2, unmap: chance.between(0.2, 1), compare: 0.2 }
    const volumes = [{ name: 'v1', pages: 10, stripe: 0, mirror: 2, leaseMs: 500 }]
    const size = { volumes, places: pageStarts(10), initiators: 2, workers: 2, loadMs: 3_000 }
    return dense(chance, { ...size, weights: weights({ ...load, flush: 0.2 }) }, 2)
  },
  run: (cluster, chance) => {
    cluster.world.after(chance.between(50, 1_000), () => {
      fill(cluster, chance, chance.between(100, 1_500))
    })
  },
}

/** With the end of it one server starts anew, as often as not. */
function fill(cluster: Cluster, chance: Chance, ms: number): void {
  const server = chance.pick(cluster.servers)
  server.disk.faults.full = true
  cluster.ailments.begin(server)
  cluster.undoLater(ms, () => {
    const stopped = chance.pick(cluster.servers)
    const how = chance.pick(['not at all', 'kill', 'power'] as const)
    if (how === 'power') stopped.machine.losePower()
    if (how === 'kill') stopped.kill()
    server.disk.faults.full = false
    cluster.ailments.end(server)
    if (how === 'not at all') return
    cluster.undoLater(chance.between(20, 120), () => {
      stopped.machine.powerOn()
      stopped.start()
    })
  })
}

function roomy(chance: Chance, some: Partial<Plan>): Partial<Plan> {
  const volumes = [{ name: 'v1', pages: 10, stripe: 0, mirror: 1, leaseMs: 0 }]
  const size = { servers: 1, shims: 1, initiators: 2, places: pageStarts(10), volumes }
  return dense(chance, { ...size, ...some }, 1)
}

function pageStarts(pages: number): number[] {
  return Array.from({ length: pages }, (_, i) => (i * pageBytes) / sectorBytes)
}

function losePower(cluster: Cluster, chance: Chance): void {
  for (const server of cluster.servers) {
    server.machine.losePower()
    cluster.undoLater(chance.between(20, 120), () => {
      server.machine.powerOn()
      server.start()
    })
  }
}

export const storeThemes = {
  reusedAfterLoss,
  reusedWhileInUse,
  lostWrites,
  failedFlush,
  fullDisk,
  fullCopy,
}

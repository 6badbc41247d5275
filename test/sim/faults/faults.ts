/**
 * The faults that a simulation draws from. Each happens once, for a while, and leaves behind what
 * ends it; when the time of faults is over all that still goes on is ended.
 */
import type { Cluster } from '../cluster/cluster.ts'
import type { SimServer } from '../cluster/sim-server.ts'
import type { Chance } from '../world/chance.ts'
import type { DiskFaults } from '../world/sim-disk.ts'

type Fault = (cluster: Cluster, chance: Chance) => void

/** Ends by itself after so long, or when faults are over. */
function forAWhile(cluster: Cluster, ms: number, end: () => void): void {
  cluster.undoLater(ms, end)
}

const killServer: Fault = (cluster, chance) => {
  const server = chance.pick(cluster.servers)
  server.kill()
  forAWhile(cluster, chance.skewed(20, 6_000), () => server.start())
}

const loseServerPower: Fault = (cluster, chance) => {
  const server = chance.pick(cluster.servers)
  server.machine.losePower()
  forAWhile(cluster, chance.skewed(30, 6_000), () => {
    server.machine.powerOn()
    server.start()
  })
}

const loseAllPower: Fault = (cluster, chance) => {
  for (const { machine } of cluster.servers) machine.losePower()
  cluster.manager.machine.losePower()
  for (const server of cluster.servers) {
    forAWhile(cluster, chance.skewed(50, 4_000), () => {
      server.machine.powerOn()
      server.start()
    })
  }
  forAWhile(cluster, chance.skewed(50, 4_000), () => {
    cluster.manager.machine.powerOn()
    cluster.manager.start()
  })
}

const killManager: Fault = (cluster, chance) => {
  cluster.manager.kill()
  forAWhile(cluster, chance.skewed(20, 6_000), () => cluster.manager.start())
}

const killManagerInChange: Fault = (cluster, chance) => {
  cluster.administer(chance)
  cluster.world.after(chance.skewed(0.3, 30), () => killManager(cluster, chance))
}

const replaceManager: Fault = (cluster, chance) => {
  const ms = chance.skewed(50, 5_000)
  if (chance.happens(0.5)) cluster.administer(chance)
  cluster.world.after(chance.skewed(0.3, 30), () => cluster.manager.replace(ms))
}

const killShim: Fault = (cluster, chance) => {
  const shim = chance.pick(cluster.frontEnds)
  cluster.shimKilled(shim)
  forAWhile(cluster, chance.skewed(20, 3_000), () => shim.start())
}

const stopProcess: Fault = (cluster, chance) => {
  const all = [...cluster.servers, ...cluster.servers, ...cluster.frontEnds, cluster.manager]
  const { process } = chance.pick(all)
  if (process === undefined) return
  const ms = chance.skewed(20, 8_000)
  cluster.world.note(`${process.name}: stands still for ${ms.toFixed(0)} ms`)
  process.stop(ms)
}

const suspendMachine: Fault = (cluster, chance) => {
  const all = [...cluster.servers, ...cluster.servers, ...cluster.frontEnds, cluster.manager]
  chance.pick(all).machine.suspend(chance.skewed(60, 8_000))
}

const jumpClock: Fault = (cluster, chance) => {
  const { machine } = chance.pick([...cluster.servers, ...cluster.frontEnds, cluster.manager])
  machine.setWall(chance.between(-1e8, 1e8))
}

/** From one side to the other, back, or both. */
function hold(cluster: Cluster, chance: Chance, sides: [string[], string[]], ms: number): void {
  const [one, other] = sides
  const way = chance.pick(['both', 'both', 'there', 'back'])
  if (way !== 'back') forAWhile(cluster, ms, cluster.links.hold(one, other))
  if (way !== 'there') forAWhile(cluster, ms, cluster.links.hold(other, one))
}

const interfaces = ({ name }: SimServer): string[] => [`${name}a`, `${name}b`]

/** One data path between a client and a server. */
const cutPath: Fault = (cluster, chance) => {
  const server = chance.pick(cluster.servers)
  const clients = chance.some(cluster.frontEnds, 0.7).map(({ name }) => name)
  const ms = chance.skewed(100, 10_000)
  hold(cluster, chance, [clients, [chance.pick(interfaces(server))]], ms)
}

/** All data paths; the management path may be left. */
const cutServer: Fault = (cluster, chance) => {
  const server = chance.pick(cluster.servers)
  const clients = chance.some(cluster.frontEnds, 0.7).map(({ name }) => name)
  const ms = chance.skewed(100, 8_000)
  const others = chance.happens(0.5) ? ['m'] : []
  hold(cluster, chance, [[...clients, ...others], interfaces(server)], ms)
}

const cutManager: Fault = (cluster, chance) => {
  const all = [...cluster.servers, ...cluster.frontEnds].map(({ name }) => name)
  const ms = chance.skewed(100, 8_000)
  hold(cluster, chance, [['m', 'ma'], chance.some(all, 0.5)], ms)
}

/** A group of servers from the rest of them. */
const cutBetweenServers: Fault = (cluster, chance) => {
  const names = chance.shuffled(cluster.servers.map(({ name }) => name))
  const some = names.slice(0, 1 + chance.below(Math.max(1, names.length - 1)))
  const rest = names.filter((name) => !some.includes(name))
  if (chance.happens(0.3)) rest.push('m')
  hold(cluster, chance, [some, rest], chance.skewed(100, 10_000))
}

/** Everybody from one machine. */
const isolate: Fault = (cluster, chance) => {
  const all = [...cluster.servers, ...cluster.frontEnds, cluster.manager].map(
    ({ machine }) => machine,
  )
  const { name } = chance.pick(all)
  const rest = all.map((machine) => machine.name).filter((other) => other !== name)
  hold(cluster, chance, [[name], [...rest, 'ma']], chance.skewed(100, 8_000))
}

const cutFront: Fault = (cluster, chance) => {
  const { name } = chance.pick(cluster.frontEnds)
  hold(cluster, chance, [cluster.initiatorMachines(name), [name]], chance.skewed(100, 10_000))
}

const resetPaths: Fault = (cluster, chance) => {
  const from = chance.pick([...cluster.frontEnds.map(({ name }) => name), 'm'])
  cluster.world.note(`connections of ${from} are reset`)
  for (const server of cluster.servers) {
    for (const name of chance.some(interfaces(server))) cluster.network.resetBetween(from, name)
  }
}

/** Connections that stand now get stuck; their successors are long at work when they go on. */
const stallPaths: Fault = (cluster, chance) => {
  const all = [...cluster.frontEnds, ...cluster.servers].map(({ name }) => name)
  const from = chance.pick([...all, ...all, 'm'])
  const ms = chance.skewed(1_000, 12_000)
  cluster.world.note(`connections of ${from} are stuck for ${ms.toFixed(0)} ms`)
  for (const server of cluster.servers) {
    for (const name of interfaces(server)) cluster.network.stallBetween(from, name, ms)
  }
}

const stallFront: Fault = (cluster, chance) => {
  const { name } = chance.pick(cluster.frontEnds)
  const ms = chance.skewed(1_000, 12_000)
  cluster.world.note(`connections to ${name} are stuck for ${ms.toFixed(0)} ms`)
  for (const machine of cluster.initiatorMachines(name)) {
    cluster.network.stallBetween(machine, name, ms)
  }
}

const resetFront: Fault = (cluster, chance) => {
  const { name } = chance.pick(cluster.frontEnds)
  cluster.world.note(`connections to ${name} are reset`)
  for (const machine of cluster.initiatorMachines(name)) cluster.network.resetBetween(machine, name)
}

const slowLinks: Fault = (cluster, chance) => {
  const all = [...cluster.servers, ...cluster.frontEnds].map(({ name }) => name)
  const some = chance.some([...all, 'm', 'ma', 's1a', 's2a', 's3a'], 0.4)
  forAWhile(
    cluster,
    chance.skewed(200, 8_000),
    cluster.links.slow(some, chance.some([...all, 'm']), chance.skewed(1, 900)),
  )
}

const slowDisk: Fault = (cluster, chance) => {
  const { disk, records, metadata } = chance.pick(cluster.servers)
  const slowMs = chance.skewed(2, 3_000)
  for (const each of [disk, records, metadata]) each.faults.slowMs = slowMs
  cluster.world.note(`${disk.machine.name}: disk slow by up to ${slowMs.toFixed(0)} ms`)
  forAWhile(cluster, chance.skewed(100, 6_000), () => {
    for (const each of [disk, records, metadata]) each.faults.slowMs = 0
  })
}

/** Reads and writes of user data have their effect long after those that came later. */
const lateDisk: Fault = (cluster, chance) => {
  const { faults } = chance.pick(cluster.servers).disk
  faults.lateMs = chance.skewed(10, 3_000)
  forAWhile(cluster, chance.skewed(100, 3_000), () => {
    faults.lateMs = 0
  })
}

/** What was begun under a session that is lost is still under way when the next one begins. */
const resetWhileSlow: Fault = (cluster, chance) => {
  slowDisk(cluster, chance)
  for (let i = 0; i < 3; i++) {
    cluster.world.after(chance.skewed(5, 2_500), () => resetPaths(cluster, chance))
  }
}

/** Data are on their way to a server while its volume is closed and changed. */
const fenceWhileSlow: Fault = (cluster, chance) => {
  const clients = cluster.frontEnds.map(({ name }) => name)
  const servers = cluster.servers.map(({ name }) => name)
  const ms = chance.skewed(20, 900)
  forAWhile(cluster, chance.skewed(500, 4_000), cluster.links.slow(clients, servers, ms))
  for (let i = 0; i < 2; i++) {
    cluster.world.after(chance.skewed(20, 2_000), () => cluster.fence(chance))
  }
}

const slowStore: Fault = (cluster, chance) => {
  const { faults } = cluster.manager.store
  faults.slowMs = chance.skewed(2, 2_000)
  forAWhile(cluster, chance.skewed(100, 6_000), () => {
    faults.slowMs = 0
  })
}

/** What a dead manager had sent to its store comes in force while its successor works. */
const lateStore: Fault = (cluster, chance) => {
  const { faults } = cluster.manager.store
  faults.lateMs = chance.skewed(1, 3_000)
  killManagerInChange(cluster, chance)
}

const failFlush: Fault = (cluster, chance) => {
  chance.pick(cluster.servers).disk.faults.failingFlushes = 1
}

/** Some of what the disk holds cannot be read, at times. */
const failReads: Fault = (cluster, chance) => {
  ail(cluster, chance, { failingReads: chance.pick([0.05, 0.3, 1]) }, { failingReads: 0 })
}

const fillDisk: Fault = (cluster, chance) => {
  ail(cluster, chance, { full: true }, { full: false })
}

function ail(
  cluster: Cluster,
  chance: Chance,
  ill: Partial<DiskFaults>,
  well: Partial<DiskFaults>,
): void {
  const server = chance.pick(cluster.servers)
  Object.assign(server.disk.faults, ill)
  cluster.ailments.begin(server)
  forAWhile(cluster, chance.skewed(50, 3_000), () => {
    Object.assign(server.disk.faults, well)
    cluster.ailments.end(server)
  })
}

/** The machine is off, the administrator vouches for it; it comes back all the same. */
const declareDead: Fault = (cluster, chance) => {
  const { machine, name } = chance.pick(cluster.servers)
  machine.losePower()
  if (chance.happens(0.5)) cluster.fence(chance)
  cluster.world.after(chance.skewed(20, 2_500), () => {
    if (!machine.powered) cluster.fences.declareDead(name)
  })
  forAWhile(cluster, chance.skewed(500, 8_000), () => {
    machine.powerOn()
    for (const server of cluster.servers) server.start()
  })
}

const failStore: Fault = (cluster, chance) => {
  const { faults } = cluster.manager.store
  faults.failing = 0.5
  forAWhile(cluster, chance.skewed(10, 2_000), () => {
    faults.failing = 0
  })
}

const administer: Fault = (cluster, chance) => {
  cluster.administer(chance)
}

const faults = {
  killServer,
  loseServerPower,
  loseAllPower,
  killManager,
  killManagerInChange,
  replaceManager,
  killShim,
  stopProcess,
  suspendMachine,
  jumpClock,
  cutPath,
  cutServer,
  cutManager,
  cutBetweenServers,
  isolate,
  cutFront,
  resetPaths,
  resetFront,
  stallPaths,
  stallFront,
  slowLinks,
  slowDisk,
  lateDisk,
  resetWhileSlow,
  fenceWhileSlow,
  slowStore,
  lateStore,
  failFlush,
  failReads,
  fillDisk,
  declareDead,
  failStore,
  administer,
} as const satisfies Record<string, Fault>

export type FaultName = keyof typeof faults

export const faultNames = Object.keys(faults) as readonly FaultName[]

export function strike(name: FaultName, cluster: Cluster, chance: Chance): void {
  cluster.world.note(`FAULT ${name}`)
  faults[name](cluster, chance)
}

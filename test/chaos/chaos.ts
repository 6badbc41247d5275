/**
 * Faults, one after the other, under a load that knows what it wrote: three storage servers, a
 * manager and a shim as real processes, a volume with two copies of each block, and stock
 * initiators (libiscsi in qemu-io) that write, read back and keep every latency. After each fault
 * the cluster gets the time to bring its copies together again, and has to use it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { volumeIqn } from '../../src/volume/names.ts'
import { HandCluster, type HandShim } from '../support/hand-cluster.ts'
import { QemuWriter } from '../support/qemu-writer.ts'
import { seededFractions } from '../support/seeded-random.ts'
import { type Fault, faults, type Member, type Scene } from './faults.ts'

const MIB = 1024 * 1024
const volume = 'data'
const writers = 2
const slotBytes = 8 * 1024
const slots = 48
const deadlineMs = 30_000
/** Until both copies are in sync again and no command waits any more. */
const recoveredMs = 90_000

export interface Round {
  readonly fault: string
  /** The longest command from the fault until everything was in sync again. */
  readonly stallMs: number
  readonly recoveryMs: number
}

export interface ChaosResult {
  readonly rounds: readonly Round[]
  readonly errors: readonly string[]
  /** Acknowledged writes that were read back as something else, during the load or after it. */
  readonly stale: readonly string[]
  readonly commands: number
}

export interface ChaosOptions {
  readonly seed: number
  /** What happens, in this order; drawn by chance where only a count is given. */
  readonly rounds: number | readonly Fault[]
  readonly tell: (round: Round, index: number) => void
}

export async function runChaos({ seed, rounds, tell }: ChaosOptions): Promise<ChaosResult> {
  const random = seededFractions(seed)
  const cluster = await HandCluster.start({ servers: 3 })
  const open: QemuWriter[] = []
  try {
    const scene = await setTheScene(cluster, random)
    for (let i = 0; i < writers; i++) open.push(await openWriter(scene.shim, i))
    for (const writer of open) writer.start()
    const plan = typeof rounds === 'number' ? draw(rounds, random) : rounds
    const done: Round[] = []
    for (const fault of plan) {
      const round = await runRound(scene, fault, open)
      tell(round, done.length)
      done.push(round)
    }
    return await judge(open, done)
  } finally {
    for (const writer of open) await writer.close()
    await cluster.stop()
  }
}

async function setTheScene(cluster: HandCluster, random: () => number): Promise<Scene> {
  const shim = await cluster.startShim('shim')
  const members: Member[] = []
  for (const server of cluster.servers) {
    const { junction } = server
    const clients = await junction.addWay((name) => name === shim.client)
    const peers = await junction.addWay((name) => name !== shim.client)
    members.push({ server, clients, peers })
  }
  const policies = { stripe: 0, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
  const request = { name: volume, sizeBytes: 64 * MIB, partitions: [], mirror: 2, ...policies }
  await cluster.admin.createVolume(request, deadlineMs)
  await inSync(cluster)
  const holders = async (): Promise<readonly string[]> => {
    const { status } = await cluster.admin.showVolume({ name: volume }, deadlineMs)
    return status.replicas.map(({ server }) => server)
  }
  return { cluster, shim, members, holders, random }
}

function openWriter({ portal }: HandShim, index: number): Promise<QemuWriter> {
  return QemuWriter.open({
    url: `iscsi://${portal}/${volumeIqn(volume)}/0`,
    offsetBytes: index * 32 * MIB,
    slots,
    slotBytes,
    verifies: true,
  })
}

async function runRound(scene: Scene, fault: Fault, open: readonly QemuWriter[]): Promise<Round> {
  const from = open.map(({ latenciesMs }) => latenciesMs.length)
  await fault.run(scene)
  const undoneMs = performance.now()
  await inSync(scene.cluster)
  const recoveryMs = performance.now() - undoneMs
  // Commands that began before the end of the fault have their latency only when they have ended.
  await Promise.all(open.map((writer) => more(writer, 2)))
  const stalls = open.map(({ latenciesMs }, i) => Math.max(0, ...latenciesMs.slice(from[i])))
  return { fault: fault.name, stallMs: Math.max(...stalls), recoveryMs }
}

async function more(writer: QemuWriter, writes: number): Promise<void> {
  const until = writer.acknowledgedWrites + writes
  const deadline = Date.now() + deadlineMs
  while (writer.acknowledgedWrites < until) {
    if (Date.now() > deadline) throw new Error(`no write was answered for ${deadlineMs} ms`)
    await sleep(5)
  }
}

/** Every copy of every segment is in sync, and every server has the newest map. */
async function inSync(cluster: HandCluster): Promise<void> {
  const deadline = Date.now() + recoveredMs
  let last = ''
  while (Date.now() < deadline) {
    try {
      const { volumes, servers } = await cluster.admin.status({}, deadlineMs)
      const replicas = volumes.flatMap((each) => each.replicas)
      const behind = volumes.flatMap((each) => each.behind)
      const heard = servers.every(({ reachable }) => reachable)
      const together = replicas.length >= 2 && replicas.every(({ state }) => state === 'in-sync')
      if (heard && together && behind.length === 0) return
      last = JSON.stringify({ replicas, behind })
    } catch (error) {
      last = String(error)
    }
    await sleep(20)
  }
  throw new Error(`not in sync after ${recoveredMs} ms: ${last}`)
}

async function judge(open: readonly QemuWriter[], rounds: readonly Round[]): Promise<ChaosResult> {
  for (const writer of open) await writer.stop()
  const errors = open.flatMap((writer) => writer.errors)
  const stale = open.flatMap((writer) => writer.stale)
  for (const [i, writer] of open.entries()) {
    for (const slot of await writer.verify()) stale.push(`writer ${i}: slot ${slot} in the end`)
  }
  const commands = open.reduce((sum, { latenciesMs }) => sum + latenciesMs.length, 0)
  return { rounds, errors, stale, commands }
}

/** Every kind equally often, in any order. */
function draw(count: number, random: () => number): Fault[] {
  const drawn = Array.from({ length: count }, (_, i) => faults[i % faults.length]!)
  for (let i = count - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1))
    const kept = drawn[i]!
    drawn[i] = drawn[other]!
    drawn[other] = kept
  }
  return drawn
}

/** How long commands stalled, by kind of fault: count, median and longest, in milliseconds. */
export function stallTable(rounds: readonly Round[]): string {
  const rows = [...new Set(rounds.map(({ fault }) => fault))].sort().map((fault) => {
    const of = rounds.filter((each) => each.fault === fault)
    const stalls = of.map(({ stallMs }) => stallMs).sort((a, b) => a - b)
    const median = stalls[Math.floor(stalls.length / 2)] ?? 0
    const longest = stalls.at(-1) ?? 0
    const recoveries = of.map(({ recoveryMs }) => recoveryMs).sort((a, b) => a - b)
    const recovery = recoveries[Math.floor(recoveries.length / 2)] ?? 0
    return [fault, of.length, median.toFixed(0), longest.toFixed(0), recovery.toFixed(0)]
  })
  const head = [
    'fault',
    'rounds',
    'stall, median ms',
    'stall, longest ms',
    'in sync after, median ms',
  ]
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

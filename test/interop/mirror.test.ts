/**
 * Two copies of each block on real servers: what a server missed while it was away is copied to it,
 * and little else; a server that stays away is replaced, while initiators go on.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ReplicaStatus } from '../../src/control/messages/admin.ts'
import { HandCluster, type HandServer } from '../support/hand-cluster.ts'
import { describe, type Initiator } from '../support/initiator.ts'

const MIB = 1024 * 1024
const volume = 'data'
const deadlineMs = 60_000
const patienceMs = 280_000
t.setTimeout(2 * patienceMs)

async function setUp(t: Test, servers: number, sizeBytes: number) {
  const cluster = await HandCluster.start({ servers, capacity: '1280MiB' })
  t.teardown(() => cluster.stop())
  const policies = { stripe: 0, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
  const request = { name: volume, sizeBytes, partitions: [], mirror: 2, ...policies }
  await cluster.admin.createVolume(request, deadlineMs)
  const shim = await cluster.startShim('shim')
  return { cluster, shim, initiator: await cluster.attach(shim, volume, 'mirror') }
}

async function replicas({ admin }: HandCluster): Promise<readonly ReplicaStatus[]> {
  return (await admin.showVolume({ name: volume }, deadlineMs)).status.replicas
}

/** Waits until the copies are as the condition says. */
async function until(
  cluster: HandCluster,
  condition: (copies: readonly ReplicaStatus[]) => boolean,
): Promise<readonly ReplicaStatus[]> {
  const deadline = Date.now() + deadlineMs
  for (;;) {
    const copies = await replicas(cluster)
    if (condition(copies)) return copies
    if (Date.now() > deadline) throw new Error(`the copies stay ${JSON.stringify(copies)}`)
    await sleep(50)
  }
}

const inSync = (copies: readonly ReplicaStatus[]): boolean =>
  copies.length === 2 && copies.every(({ state }) => state === 'in-sync')

/** Writes the range in commands of 1 MiB, a few at a time; throws at the first error. */
async function fill(initiator: Initiator, fromMib: number, toMib: number): Promise<void> {
  for (let mib = fromMib; mib < toMib; mib += 4) {
    const writes = Array.from({ length: Math.min(4, toMib - mib) }, async (_, i) => {
      const blocks = MIB / 512
      const how = describe(await initiator.write((mib + i) * blocks, blocks, mib + i + 1).answer)
      if (how !== 'good') throw new Error(`write at ${mib + i} MiB: ${how}`)
    })
    await Promise.all(writes)
  }
}

function memberOf(cluster: HandCluster, name: string): HandServer {
  return cluster.servers.find((server) => server.name === name)!
}

/** What was copied to the server so that it caught up, since its process began. */
async function resyncedBytes(cluster: HandCluster, server: HandServer): Promise<number> {
  const { counters } = await cluster.describe(server)
  return counters.reduce((sum, each) => sum + each.resyncedBytes, 0)
}

const partial = 'ten seconds away, 1 % of 1 GiB written: less than 5 % is copied'
t.test(partial, { timeout: patienceMs }, async (t) => {
  const { cluster, initiator } = await setUp(t, 2, 1024 * MIB)
  await fill(initiator, 0, 256)
  const secondary = (await replicas(cluster)).find(({ primary }) => !primary)!
  const away = memberOf(cluster, secondary.server)
  away.process.kill('SIGKILL')
  await away.process.exited
  const goneAtMs = performance.now()
  await until(cluster, (copies) => copies.some(({ state }) => state !== 'in-sync'))
  // Sixteen places, spread over what was written before and what was not.
  for (let i = 0; i < 16; i++) {
    const lba = i * ((64 * MIB) / 512)
    const how = describe(await initiator.write(lba, (640 * 1024) / 512, 1_000 + i).answer)
    if (how !== 'good') throw new Error(`write ${i}: ${how}`)
  }
  await sleep(Math.max(0, 10_000 - (performance.now() - goneAtMs)))
  await cluster.restartServer(away)
  await until(cluster, inSync)
  const copied = await resyncedBytes(cluster, away)
  const share = copied / (1024 * MIB)
  t.ok(share > 0.005, `what was missed was copied: ${(share * 100).toFixed(2)} %`)
  t.ok(share < 0.05, 'and little else')
  await t.resolves(cluster.verb(['volume', 'verify', volume]), 'the copies are equal')
  // The copy that was away serves what it missed.
  const primary = (await replicas(cluster)).find((each) => each.primary)!
  memberOf(cluster, primary.server).process.kill('SIGKILL')
  const stamps = await initiator.read(15 * ((64 * MIB) / 512), 8)
  t.strictSame(new Set(stamps), new Set([1_015]), 'read from the copy that was away')
})

const replaced = 'a server that stays away is replaced by itself, and initiators go on'
t.test(replaced, { timeout: patienceMs }, async (t) => {
  const { cluster, shim, initiator } = await setUp(t, 3, 512 * MIB)
  await cluster.verb(['recovery', '--grace', '2s'])
  await fill(initiator, 0, 384)
  const load = new SteadyLoad(await cluster.attach(shim, volume, 'steady', 2))
  const before = await load.rate(3_000)
  const secondary = (await replicas(cluster)).find(({ primary }) => !primary)!
  const gone = memberOf(cluster, secondary.server)
  gone.process.kill('SIGKILL')
  await gone.process.exited
  await until(cluster, (copies) => {
    return copies.some(({ server, state }) => server !== gone.name && state !== 'in-sync')
  })
  const during = await load.rateWhile(async () => {
    await until(cluster, inSync)
  })
  await load.stop()
  const copies = await replicas(cluster)
  t.notOk(
    copies.some(({ server }) => server === gone.name),
    'the map names the server no more',
  )
  t.strictSame(load.errors, [], 'no initiator heard of it')
  t.comment(`commands a second: ${before.toFixed(0)} before, ${during.toFixed(0)} during recovery`)
  t.ok(during >= before / 2, 'at least half of the speed stays with initiators')
  await t.resolves(cluster.verb(['volume', 'verify', volume]), 'the copies are equal')
})

/** 4 KiB reads and writes in turn, eight at a time. */
class SteadyLoad {
  readonly errors: string[] = []
  #done = 0
  #stopping = false
  readonly #lanes: Promise<void>[]

  constructor(initiator: Initiator) {
    this.#lanes = Array.from({ length: 8 }, (_, lane) => this.#lane(initiator, lane))
  }

  async rate(ms: number): Promise<number> {
    return this.rateWhile(() => sleep(ms))
  }

  /** Commands answered a second until it has resolved. */
  async rateWhile(run: () => Promise<unknown>): Promise<number> {
    const [done, atMs] = [this.#done, performance.now()]
    await run()
    return ((this.#done - done) * 1000) / (performance.now() - atMs)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#lanes)
  }

  async #lane(initiator: Initiator, lane: number): Promise<void> {
    for (let turn = lane; !this.#stopping; turn += 8) {
      const lba = ((turn * 7919) % 16_384) * 8
      const task = initiator.write(lba, 8, turn)
      const how = describe(await task.answer)
      if (how !== 'good') this.errors.push(how)
      this.#done++
    }
  }
}

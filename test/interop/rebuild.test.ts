/**
 * An administrator puts an old copy of the configuration store back: the manager finds out from its
 * servers, refuses it for good, and says what to do. The store is made anew from what the servers
 * keep, and an initiator that works meanwhile sees no error.
 */
import { cp, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Replica } from '../../src/volume/map.ts'
import { HandCluster } from '../support/hand-cluster.ts'
import { describe, type Initiator } from '../support/initiator.ts'
import { mainProgram, run } from '../support/palisade-process.ts'

const MIB = 1024 * 1024
const volume = 'data'
const deadlineMs = 60_000
t.setTimeout(240_000)

t.test('an old copy of the store is refused, and a new one is made', async (t) => {
  const cluster = await HandCluster.start({ servers: 3, capacity: '256MiB' })
  t.teardown(() => cluster.stop())
  const policies = { stripe: 0, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
  const request = { name: volume, sizeBytes: 64 * MIB, partitions: [], mirror: 2, ...policies }
  await cluster.admin.createVolume(request, deadlineMs)
  const initiator = await cluster.attach(await cluster.startShim('shim'), volume, 'rebuild')
  await write(initiator, 1)

  const directory = join(cluster.directory, 'manager')
  const old = join(cluster.directory, 'old')
  await cluster.stopManager()
  await cp(directory, old, { recursive: true })
  await cluster.startManager()
  await changeCopies(cluster)
  await write(initiator, 2)

  await cluster.stopManager()
  await rm(directory, { recursive: true })
  await rename(old, directory)
  await t.test('it is refused', async (t) => {
    // It may serve for a moment, before the first server was heard.
    await cluster.startManager().catch(() => undefined)
    t.not(await cluster.manager.exited, 0)
    t.match(cluster.manager.stderr, /old copy of it was put back.*palisade manager rebuild/)
    await t.rejects(cluster.startManager(), 'also when it is started again')
    await cluster.manager.exited
    t.match(cluster.manager.stderr, /old copy of it was put back.*palisade manager rebuild/)
  })
  await write(initiator, 3)

  const servers = cluster.servers.flatMap(({ control }) => ['--server', control])
  const rebuild = [mainProgram, 'manager', 'rebuild', '--dir', directory, ...servers, '--json']
  const refused = await run(process.execPath, rebuild, { timeoutMs: deadlineMs })
  t.match(refused.stderr, /not empty/, 'never over what is there')
  await rm(directory, { recursive: true })
  const { code, stdout } = await run(process.execPath, rebuild, { timeoutMs: deadlineMs })
  t.equal(code, 0)
  t.match(JSON.parse(stdout), { rebuilt: true, volumes: [volume], lost: [] })
  await cluster.startManager()
  await cluster.settled()
  await write(initiator, 4)
  await t.resolves(cluster.verb(['volume', 'verify', volume]), 'the copies are equal')

  const [primary] = await replicas(cluster)
  cluster.servers.find(({ name }) => name === primary?.server)?.process.kill('SIGKILL')
  t.same(new Set(await initiator.read(0, 64)), new Set([4]), 'the other copy takes over')
})

async function write(initiator: Initiator, stamp: number): Promise<void> {
  const how = describe(await initiator.write(0, 64, stamp).answer)
  if (how !== 'good') throw new Error(`write ${stamp}: ${how}`)
}

/** One copy is dropped and comes back: the generation moves, and moves again. */
async function changeCopies(cluster: HandCluster): Promise<void> {
  const [, secondary] = await replicas(cluster)
  const away = cluster.servers.find(({ name }) => name === secondary?.server)!
  away.process.kill('SIGKILL')
  await away.process.exited
  await until(cluster, (copies) => copies.some(({ state }) => state !== 'in-sync'))
  await cluster.restartServer(away)
  await until(cluster, (copies) => copies.every(({ state }) => state === 'in-sync'))
}

/** As the map has them, the primary first. */
async function replicas({ admin }: HandCluster): Promise<readonly Replica[]> {
  return (await admin.showVolume({ name: volume }, deadlineMs)).map.segments[0]!.replicas
}

async function until(
  cluster: HandCluster,
  condition: (copies: readonly Replica[]) => boolean,
): Promise<void> {
  const deadline = Date.now() + deadlineMs
  while (!condition(await replicas(cluster))) {
    if (Date.now() > deadline) throw new Error('the copies do not become what they should')
    await sleep(50)
  }
}

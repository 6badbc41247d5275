/**
 * kill -9 of the manager. Direct I/O does not notice; and wherever inside a change it dies, there is
 * exactly one outcome, old or new, the same everywhere, and the volume is open again within 2 s of
 * the manager's return.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { clientIqn, volumeIqn } from '../../src/volume/names.ts'
import { HandCluster, type HandShim } from '../support/hand-cluster.ts'
import { QemuWriter } from '../support/qemu-writer.ts'

const mortalRoot = fileURLToPath(new URL('../support/main-mortal-manager.js', import.meta.url))
const MIB = 1024 * 1024
const openAgainMs = 2_000
const deadlineMs = 20_000
const other = clientIqn('00000000-0000-4000-8000-000000000099')

t.setTimeout(240_000)

const creation = (name: string) => {
  const options = {
    stripe: 2,
    partitions: [],
    stalePolicy: 'reject',
    holdMs: 0,
    leaseMs: 0,
  } as const
  return { name, sizeBytes: 16 * MIB, ...options }
}

/** Two servers, a striped volume, a shim, and a stock initiator that writes over both columns. */
async function setUp(t: Test) {
  const cluster = await HandCluster.start({ servers: 2 })
  t.teardown(() => cluster.stop())
  await cluster.admin.createVolume(creation('data'), deadlineMs)
  const shim = await cluster.startShim('shim')
  const url = `iscsi://${shim.portal}/${volumeIqn('data')}/0`
  const slots = { offsetBytes: 0, slots: 64, slotBytes: 65_536 }
  const writer = await QemuWriter.open({ url, ...slots })
  t.teardown(() => writer.close())
  writer.start()
  return { cluster, shim, writer }
}

/** Waits for something that must come soon, and answers how long that took. */
async function until(what: string, holds: () => Promise<boolean> | boolean): Promise<number> {
  const startMs = performance.now()
  while (!(await holds())) {
    if (performance.now() - startMs > deadlineMs) throw new Error(`never: ${what}`)
    await sleep(10)
  }
  return performance.now() - startMs
}

/** Resolves when `count` more writes were acknowledged. */
function moreWrites(writer: QemuWriter, count: number): Promise<number> {
  const before = writer.acknowledgedWrites
  return until('writes go on', () => writer.acknowledgedWrites >= before + count)
}

async function finish(t: Test, writer: QemuWriter): Promise<void> {
  await writer.stop()
  t.strictSame(writer.errors, [], 'no error reached the initiator')
  t.strictSame(await writer.verify(), [], 'every acknowledged write is there')
}

async function countersOf(cluster: HandCluster, shim: HandShim) {
  const { paths, repeats, resent, conflicts, busy } = await cluster.front(shim, 'data')
  const relayed = paths.map(({ management }) => management.commands)
  return { relayed, breaks: paths.map(({ breaks }) => breaks), repeats, resent, conflicts, busy }
}

t.test('killed between changes: direct I/O does not notice', async (t) => {
  const { cluster, shim, writer } = await setUp(t)
  await until('all paths are direct', async () => {
    const { paths } = await cluster.front(shim, 'data')
    return paths.length === 2 && paths.every(({ route }) => route === 'direct')
  })
  await moreWrites(writer, 60)
  const undisturbedMs = writer.longestMs
  const before = await countersOf(cluster, shim)
  for (let kill = 1; kill <= 3; kill++) {
    cluster.manager.kill('SIGKILL')
    await cluster.manager.exited
    await moreWrites(writer, 60)
    await cluster.startManager()
    await moreWrites(writer, 60)
  }
  t.strictSame(await countersOf(cluster, shim), before, 'nothing was relayed, lost or repeated')
  t.comment(`longest write ${writer.longestMs} ms, ${undisturbedMs} ms before`)
  t.ok(writer.longestMs < Math.max(1_000, 3 * undisturbedMs), 'nor did a write stall')
  await finish(t, writer)
})

type Outcome = 'old' | 'new'

interface Change {
  /** Makes the change possible. */
  readonly ready: (cluster: HandCluster) => Promise<unknown>
  readonly make: (cluster: HandCluster) => Promise<unknown>
  /** Where to die, and which outcomes are right. */
  readonly deaths: readonly (readonly [string, readonly Outcome[]])[]
  /** Which outcome the manager tells of. */
  readonly outcome: (cluster: HandCluster) => Promise<Outcome>
}

const shut: Change['deaths'] = [
  ['close:0', ['old']],
  ['close:1', ['old']],
  ['close:2', ['old']],
]
const decided: Change['deaths'] = [
  ['commit:0', ['old']],
  ['commit:sent', ['old', 'new']],
  ['commit:1', ['new']],
  ['activate:1', ['new']],
  ['activate:2', ['new']],
]

async function isFenced({ admin }: HandCluster): Promise<boolean> {
  const { map } = await admin.showVolume({ name: 'data' }, deadlineMs)
  return map.admissions.some(({ client, fenced }) => client === other && fenced)
}

async function exists({ admin }: HandCluster, name: string): Promise<boolean> {
  const { maps } = await admin.listVolumes({}, deadlineMs)
  return maps.some((map) => map.name === name)
}

const fence = ({ admin }: HandCluster) => admin.fence({ volume: 'data', client: other }, deadlineMs)
const admit = ({ admin }: HandCluster) => admin.admit({ volume: 'data', client: other }, deadlineMs)
const create = ({ admin }: HandCluster) => admin.createVolume(creation('extra'), deadlineMs)
const remove = ({ admin }: HandCluster) =>
  admin.deleteVolume({ name: 'extra', force: false }, deadlineMs)
let sizeBytes = 0

async function sizeOf({ admin }: HandCluster): Promise<number> {
  const { map } = await admin.showVolume({ name: 'data' }, deadlineMs)
  return map.blocks * map.blockBytes
}

const changes: Readonly<Record<string, Change>> = {
  fence: {
    ready: admit,
    make: fence,
    deaths: [...shut, ...decided],
    outcome: async (cluster) => ((await isFenced(cluster)) ? 'new' : 'old'),
  },
  admit: {
    ready: fence,
    make: admit,
    deaths: decided,
    outcome: async (cluster) => ((await isFenced(cluster)) ? 'old' : 'new'),
  },
  grow: {
    ready: async (cluster) => {
      sizeBytes = await sizeOf(cluster)
    },
    make: ({ admin }) => admin.growVolume({ name: 'data', sizeBytes: sizeBytes + MIB }, deadlineMs),
    deaths: decided,
    outcome: async (cluster) => ((await sizeOf(cluster)) > sizeBytes ? 'new' : 'old'),
  },
  create: {
    ready: async (cluster) => {
      if (await exists(cluster, 'extra')) await remove(cluster)
    },
    make: create,
    deaths: decided,
    outcome: async (cluster) => ((await exists(cluster, 'extra')) ? 'new' : 'old'),
  },
  delete: {
    ready: async (cluster) => {
      if (!(await exists(cluster, 'extra'))) await create(cluster)
    },
    make: remove,
    deaths: [...shut, ...decided, ['forget:0', ['new']], ['forget:1', ['new']]],
    outcome: async (cluster) => ((await exists(cluster, 'extra')) ? 'old' : 'new'),
  },
}

/** Every server serves every volume at the manager's generation, and holds nothing else. */
async function allOpen(cluster: HandCluster): Promise<boolean> {
  const { maps } = await cluster.admin.listVolumes({}, deadlineMs)
  const wanted = maps.map(({ name, generation }) => `${name} ${generation} true`).sort()
  const told = await Promise.all(cluster.servers.map((server) => cluster.describe(server)))
  return told.every(({ volumes }) => {
    const held = volumes.map((each) => `${each.name} ${each.generation} ${each.serving}`).sort()
    return held.join() === wanted.join()
  })
}

/** A manager that will die at this point of a change that is made after `armed`. */
function startMortal(cluster: HandCluster, point: string): Promise<void> {
  return cluster.startManager({ program: mortalRoot, env: { PALISADE_TEST_DIE: point } })
}

/** Makes the change; the manager dies on the way. */
async function makeAndDie(t: Test, cluster: HandCluster, change: Change): Promise<void> {
  await cluster.settled()
  cluster.manager.kill('SIGUSR2')
  await cluster.manager.output(/^armed$/m)
  // Who called hears nothing, or hears of the success that was decided.
  const called = change.make(cluster).catch(() => undefined)
  t.equal(await cluster.manager.exited, 137, 'it died there')
  await called
}

t.test('killed inside a change: one outcome, the same everywhere, and soon open', async (t) => {
  const { cluster, shim, writer } = await setUp(t)
  const plan = Object.entries(changes).flatMap(([name, change]) =>
    change.deaths.map(([point, right]) => ({ name, change, point, right })),
  )
  const againMs: number[] = []
  await cluster.stopManager()
  await startMortal(cluster, plan[0]?.point ?? '')
  for (const [i, { name, change, point, right }] of plan.entries()) {
    await change.ready(cluster)
    await makeAndDie(t, cluster, change)
    await startMortal(cluster, plan[i + 1]?.point ?? '')
    const ms = await until('open again', () => allOpen(cluster))
    t.ok(ms < openAgainMs, `${name} ${point}: open again after ${Math.round(ms)} ms`)
    const outcome = await change.outcome(cluster)
    t.ok(right.includes(outcome), `${name} ${point}: the outcome is ${outcome}`)
    againMs.push(ms + (await moreWrites(writer, 4)))
    const { map } = await cluster.admin.showVolume({ name: 'data' }, deadlineMs)
    const front = await cluster.front(shim, 'data')
    t.equal(front.generation, map.generation, 'the shim goes on with the same generation')
  }
  const times = againMs.map((ms) => Math.round(ms)).join(' ')
  t.comment(`four writes more after ${times} ms; longest write ${Math.round(writer.longestMs)} ms`)
  await finish(t, writer)
})

/**
 * What was reported of other systems, as schedules: each test has the order of events of one report,
 * which its name begins with, and shows that it ends otherwise here. Reports about sockets, disks
 * and initiators are answered by real processes, in test/interop/reports.test.ts.
 */
import t, { type Test } from 'tap'
import { MaskFile } from '../../../targets/mirror/mask-file.ts'
import { pageBitsBytes } from '../../../targets/mirror/mask-page.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { simLog } from '../cluster/sim-log.ts'
import type { SimServer } from '../cluster/sim-server.ts'
import type { Plan, VolumePlan } from '../plan.ts'
import { simulate } from '../simulation.ts'
import { others, primaryOf, weights } from '../themes/theme.ts'

const callMs = 9_000
t.setTimeout(240_000)

function mirrored(name: string, pages: number): VolumePlan {
  return { name, pages, stripe: 0, mirror: 2, leaseMs: 0 }
}

const plan: Partial<Plan> = {
  servers: 2,
  shims: 1,
  initiators: 1,
  workers: 2,
  thinkMs: 60,
  volumes: [mirrored('v1', 400)],
  capacityPages: 1_000,
  clocksDiffer: false,
  gateways: 0,
  fast: true,
  pings: 1,
  patienceMs: 60_000,
  hotPlaces: 5,
  weights: weights({ flush: 0.1 }),
}

/** Runs it; all initiators were answered, nothing was lost, the copies are equal at the end. */
async function sound(
  t: Test,
  own: Partial<Plan>,
  script: (cluster: Cluster) => void,
): Promise<{ readonly cluster: Cluster; readonly said: readonly string[] }> {
  const simulated: Cluster[] = []
  const said: string[] = []
  const { violations, operations } = await simulate({
    seed: 1,
    print: (line) => said.push(line),
    scenario: {
      plan: { ...plan, ...own },
      script: (cluster) => {
        simulated.push(cluster)
        script(cluster)
      },
    },
  })
  t.same(violations, [])
  t.ok(operations > 20, 'initiators were at work')
  return { cluster: simulated[0]!, said }
}

function replicaStates({ maps }: Cluster, volume = 1): string[] {
  return maps.all.get(volume)!.segments.flatMap(({ replicas }) => replicas.map((one) => one.state))
}

/** Once, as soon as every copy of the volume is in sync by the map. */
function whenInSync(cluster: Cluster, run: () => void): void {
  if (replicaStates(cluster).every((state) => state === 'in-sync')) run()
  else cluster.world.after(20, () => whenInSync(cluster, run))
}

/** GOOD answers to initiators between these times; of one volume, or of all. */
function answered({ history }: Cluster, fromMs: number, untilMs: number, volume = 0): number {
  return history.entries.filter((entry) => {
    if (entry.what !== 'end' || entry.ending !== 'good') return false
    const isOfVolume = volume === 0 || entry.operation.volume === volume
    return isOfVolume && entry.atMs >= fromMs && entry.atMs < untilMs
  }).length
}

/** The longest time that one operation took which began in this time. */
function longestMs({ history }: Cluster, fromMs: number, untilMs: number): number {
  const beganMs = new Map<number, number>()
  let longest = 0
  for (const entry of history.entries) {
    if (entry.what === 'begin') beganMs.set(entry.operation.number, entry.atMs)
    if (entry.what !== 'end') continue
    const atMs = beganMs.get(entry.operation.number)!
    if (atMs >= fromMs && atMs < untilMs) longest = Math.max(longest, entry.atMs - atMs)
  }
  return longest
}

// https://github.com/LINBIT/drbd/issues/145: a secondary was shut down in good order, the primary
// went on and marked 16 blocks in its bitmap; when the secondary came back a rule of the handshake
// took its own loss of quorum for a reason to sync nothing, and cleared the bitmap. The stale copy
// was promoted minutes later. Here only the label of the mask decides how a replica is brought up,
// without a label all of it is compared, and beside a mask a sample is: bookkeeping is not believed.
const bitmaps = {
  'as it is': async () => undefined,
  'with its bits cleared': clearBits,
  'lost with its file': removeMasks,
} as const

for (const [how, tamper] of Object.entries(bitmaps)) {
  await t.test(`drbd#145: a copy returns after a clean stop, the bitmap ${how}`, async (t) => {
    let aloneMs = Number.POSITIVE_INFINITY
    const { cluster, said } = await sound(t, { hotPlaces: 12, loadMs: 12_000 }, (cluster) => {
      const { world } = cluster
      const survivor = primaryOf(cluster)
      const [stale] = others(cluster, survivor) as [SimServer]
      // So early that what it marked itself is not all that will be written.
      world.after(10, () => void stale.shutDown())
      world.after(3_500, async () => {
        t.ok(replicaStates(cluster).includes('behind'), 'the survivor was written alone')
        survivor.kill()
        await tamper(cluster, survivor, stale)
        // At once: what is written now is marked again.
        for (const server of [survivor, stale]) server.start()
        whenInSync(cluster, () => {
          survivor.kill()
          aloneMs = world.nowMs
        })
      })
    })
    t.ok(answered(cluster, aloneMs, Number.POSITIVE_INFINITY) > 20, 'the stale copy serves')
    const found = said.filter((line) => /differs outside the masks/.test(line))
    t.equal(found.length > 0, how === 'with its bits cleared', 'the sample finds what was cleared')
    const [returned] = said.filter((line) => /bringing a replica up to date/.test(line))
    const expected = how === 'lost with its file' ? /how="full"/ : /how="partial"/
    t.match(returned, expected, 'without a label all is compared')
  })
}

function inspector({ world }: Cluster, { machine, disk }: SimServer) {
  const process = machine.start(`${machine.name} inspector`)
  return { process, files: disk.of(process), log: simLog(world, process.name) }
}

function segmentOf({ maps }: Cluster): string {
  return maps.all.get(1)!.segments[0]!.segmentId
}

/** What the other one lacks is forgotten, and nothing else: head and label stay. */
async function clearBits(cluster: Cluster, at: SimServer, other: SimServer): Promise<void> {
  const { process, files, log } = inspector(cluster, at)
  const segmentId = segmentOf(cluster)
  const file = await MaskFile.open({ files, name: `masks/${segmentId}`, segmentId, log })
  const { slot } = file.head!.owners.find(({ serverId }) => serverId === other.serverId)!
  const before = await file.readBits(slot, 0, true)
  if (before === undefined || !before.some((byte) => byte !== 0)) throw new Error('nothing marked')
  await file.writeBits([{ slot, index: 0, bits: Buffer.alloc(pageBitsBytes) }])
  await file.flush()
  process.kill()
}

async function removeMasks(cluster: Cluster, at: SimServer): Promise<void> {
  const { process, files } = inspector(cluster, at)
  await files.remove(`masks/${segmentOf(cluster)}`)
  process.kill()
}

// https://github.com/sheepdog/sheepdog/issues/347: two nodes that were shut down together, or lost
// their power, never came up again: each asked the other for its list of volumes and ended because
// that one was not up yet. Here a server opens its own store and portals first and asks a manager
// what it may serve; partners, manager and servers wait for one another without ending.
const ends = {
  'are shut down in good order': async ({ servers, manager }: Cluster) => {
    await Promise.all(servers.map((server) => server.shutDown()))
    manager.kill()
  },
  'lose their power': async ({ servers, manager }: Cluster) => {
    for (const { machine } of [...servers, manager]) machine.losePower()
  },
} as const

for (const [how, end] of Object.entries(ends)) {
  await t.test(`sheepdog#347: two servers that need each other ${how}`, async (t) => {
    const volumes = [mirrored('v1', 70), mirrored('v2', 70)]
    let downMs = 0
    let upMs = 0
    const { cluster } = await sound(t, { volumes, loadMs: 16_000 }, (cluster) => {
      const { world, servers, manager, maps } = cluster
      const led = [...maps.all.values()].map(({ segments }) => segments[0]!.replicas[0]!.serverId)
      t.equal(new Set(led).size, 2, 'each leads what the other has a copy of')
      world.after(2_000, async () => {
        await end(cluster)
        downMs = world.nowMs
        world.after(1_000, () => {
          upMs = world.nowMs
          for (const { machine } of [...servers, manager]) machine.powerOn()
          for (const program of [...servers, manager]) program.start()
        })
      })
    })
    t.equal(answered(cluster, downMs, upMs), 0, 'everything was down')
    for (const volume of [1, 2]) {
      t.ok(answered(cluster, upMs, upMs + 6_000, volume) > 0, `v${volume} serves within 6 s`)
    }
  })
}

// https://github.com/sheepdog/sheepdog/issues/59: three nodes, two copies, disks filled to 80 or
// 90 %; when one node was killed, recovery filled the disks of the others to 99 % and damaged the
// cluster. Here recovery plans a whole copy before it begins one, space that volumes may grow into
// counts as taken, and where nothing fits nothing is moved: the status says so, writes go on.
await t.test('sheepdog#59: a server is lost, and no other has room for what it held', async (t) => {
  const volumes = ['v1', 'v2', 'v3'].map((name) => mirrored(name, 17))
  const own = { servers: 3, volumes, capacityPages: 40, hotPlaces: 12, loadMs: 16_000 }
  let lostMs = 0
  const warnings: string[] = []
  const planned: number[][] = []
  const { cluster, said } = await sound(t, own, (cluster) => {
    const { world, admin, servers } = cluster
    const look = async (): Promise<void> => {
      const status = await admin.status({}, callMs)
      planned.push(status.servers.slice(0, 2).map(({ plannedBytes }) => plannedBytes))
      warnings.splice(0, Number.POSITIVE_INFINITY, ...status.warnings)
    }
    void admin.recovery({ graceMs: 500 }, callMs).then(look)
    world.after(1_500, () => {
      servers[2]!.kill()
      lostMs = world.nowMs
    })
    // By far longer than grace, promotion and the pauses of recovery.
    world.after(13_000, () => void look())
  })
  t.same(planned[1], planned[0], 'nothing was moved to the others')
  t.equal(planned.length, 2)
  t.match(warnings.join('; '), /no space for recovery where .* is lost/)
  t.match(warnings.join('; '), /the copy on s3 is/)
  t.ok(
    said.some((note) => /no room or no primary for new replicas/.test(note)),
    'recovery looked for room',
  )
  for (const volume of [1, 2, 3]) {
    t.ok(answered(cluster, lostMs + 6_000, lostMs + 11_000, volume) > 10, `v${volume} goes on`)
  }
})

// https://github.com/longhorn/longhorn/issues/8382: the process group with a volume's engine and a
// replica was killed; its initiator had all I/O frozen for the two minutes of its recovery timeout
// and then got errors. Here the front end comes back at its portal within a second and remembers
// nothing that matters, and another copy is promoted as soon as the primary's partners miss it.
await t.test('longhorn#8382: the front end and the primary are killed at once', async (t) => {
  let killedMs = 0
  const { cluster } = await sound(t, { servers: 3, loadMs: 12_000 }, (cluster) => {
    const { world, shims } = cluster
    const [shim] = shims
    world.after(2_000, () => {
      killedMs = world.nowMs
      primaryOf(cluster).kill()
      cluster.shimKilled(shim!)
      // As its supervisor does.
      world.after(500, () => shim!.start())
    })
  })
  t.equal(answered(cluster, killedMs, killedMs + 500), 0, 'everything stands')
  const stallMs = longestMs(cluster, killedMs - 1_000, killedMs + 8_000)
  t.comment(`longest operation ${(stallMs / 1000).toFixed(2)} s`)
  t.ok(stallMs < 5_000, `nobody waited longer than 5 s: ${stallMs.toFixed(0)} ms`)
})

/**
 * Replicas of a mirrored volume under the real manager, step by step: dropped, promoted, taken back,
 * after losses, after starts. The servers are the real volume states over a model of replication.
 */
import t, { type Test } from 'tap'
import { StorageError } from '../../../src/base/errors.ts'
import { configurationClient } from '../../../src/control/services.ts'
import type { VolumeMap } from '../../../src/volume/map.ts'
import { ControlCluster, type ServerRig } from '../../support/control-cluster.ts'
import { testClient } from '../../support/volume-maps.ts'

const mib = 1024 * 1024

/** A cluster with one volume of two copies on s1 and s2. */
async function started(t: Test, servers = 2, mirror = 2) {
  const cluster = await ControlCluster.start({ servers })
  t.teardown(() => cluster.stop())
  const kind = { name: 'v', sizeBytes: 8 * mib, stripe: 0, partitions: [], mirror }
  const request = { ...kind, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
  const { map } = await cluster.run(cluster.admin.createVolume(request, 9_000))
  await cluster.clock.advance(1_000)
  return { cluster, volumeId: map.volumeId, segmentId: map.segments[0]!.segmentId, map }
}

async function mapOf(cluster: ControlCluster): Promise<VolumeMap> {
  return (await cluster.run(cluster.admin.showVolume({ name: 'v' }, 9_000))).map
}

/** For example `s1 s2-`: the primary first, those behind marked. */
function replicas({ segments }: VolumeMap): string {
  return segments[0]!.replicas
    .map(({ server, state }) => (state === 'in-sync' ? server : `${server}-`))
    .join(' ')
}

function rigOf(cluster: ControlCluster, name: string): ServerRig {
  return cluster.servers.find((each) => each.name === name)!
}

function report(cluster: ControlCluster, { serverId }: ServerRig, reachable: boolean): void {
  const manager = configurationClient(cluster.net.host('client').channel('manager:1'))
  const said = { client: testClient, serverId, portal: 'p', reachable, cause: 'silence' }
  manager.report(said, 1_000).catch(() => undefined)
}

/** How long until the condition holds. */
async function until(cluster: ControlCluster, holds: () => boolean, mostMs = 20_000) {
  const startMs = cluster.clock.nowMs()
  while (!holds()) {
    if (cluster.clock.nowMs() - startMs > mostMs) throw new Error('it never holds')
    await cluster.clock.advance(10)
  }
  return cluster.clock.nowMs() - startMs
}

function named(cluster: ControlCluster, map: VolumeMap): ServerRig[] {
  return map.segments[0]!.replicas.map(({ server }) => rigOf(cluster, server))
}

await t.test('a secondary that dies is dropped, and taken back', async (t) => {
  const { cluster, map, segmentId } = await started(t)
  const [primary, secondary] = named(cluster, map)
  t.ok(primary!.mirror!.canServe(segmentId), 'served')
  secondary!.kill()
  await cluster.clock.advance(2_100)
  const ms = await until(cluster, () => primary!.mirror!.canServe(segmentId))
  t.equal(ms, 0, 'served again before a lease has run out')
  t.equal(replicas(await mapOf(cluster)), `${primary!.name} ${secondary!.name}-`, 'dropped')
  await secondary!.start()
  await cluster.clock.advance(2_000)
  t.equal(replicas(await mapOf(cluster)), `${primary!.name} ${secondary!.name}`, 'back')
  t.ok(primary!.mirror!.canServe(segmentId))
})

await t.test('a primary that dies is replaced by one that was in sync', async (t) => {
  const { cluster, map, segmentId } = await started(t)
  const [primary, secondary] = named(cluster, map)
  primary!.kill()
  const ms = await until(cluster, () => secondary!.mirror!.canServe(segmentId))
  t.ok(ms > 1_500 && ms < 2_500, `after ${ms} ms: its lease has run out, and no later`)
  t.equal(replicas(await mapOf(cluster)), `${secondary!.name} ${primary!.name}-`)
  await primary!.start()
  await cluster.clock.advance(2_000)
  t.equal(replicas(await mapOf(cluster)), `${secondary!.name} ${primary!.name}`, 'no way back')
})

await t.test('only a server that others cannot use is given up', async (t) => {
  const { cluster, map, segmentId, volumeId } = await started(t)
  const [primary, secondary] = named(cluster, map)
  cluster.net.cut(primary!.name, true)
  await cluster.clock.advance(8_000)
  t.ok(primary!.mirror!.canServe(segmentId), 'only the manager cannot see it')
  t.equal((await mapOf(cluster)).generation, map.generation)

  report(cluster, primary!, false)
  const ms = await until(cluster, () => secondary!.mirror!.canServe(segmentId))
  t.ok(ms > 2_000 && ms < 3_000, `a client cannot use it either: after ${ms} ms`)
  t.notOk(primary!.mirror!.canServe(segmentId))
  t.equal(primary!.held(volumeId)?.generation, map.generation, 'the former primary was not told')
  cluster.net.cut(primary!.name, false)
  await cluster.clock.advance(3_000)
  t.equal(replicas(await mapOf(cluster)), `${secondary!.name} ${primary!.name}`)
})

await t.test('a primary that answers the manager keeps its place', async (t) => {
  const { cluster, map, segmentId } = await started(t)
  const [primary, secondary] = named(cluster, map)
  report(cluster, primary!, false)
  await cluster.clock.advance(3_000)
  t.equal((await mapOf(cluster)).generation, map.generation, 'a client goes another way')
  report(cluster, primary!, true)
  cluster.paths.cut(true, primary!.name, secondary!.name)
  await cluster.clock.advance(2_500)
  t.equal(replicas(await mapOf(cluster)), `${primary!.name} ${secondary!.name}-`)
  t.ok(primary!.mirror!.canServe(segmentId))
  cluster.paths.cut(false, primary!.name, secondary!.name)
  await cluster.clock.advance(2_000)
  t.equal(replicas(await mapOf(cluster)), `${primary!.name} ${secondary!.name}`)
})

await t.test('a primary that answers and cannot take the map up is replaced', async (t) => {
  const { cluster, map, segmentId } = await started(t)
  const [primary, secondary] = named(cluster, map)
  t.intercept(primary!.store, 'createReplica', {
    value: () => Promise.reject(new StorageError('no-space', 'the disk is full')),
  })
  await cluster.run(cluster.admin.growVolume({ name: 'v', sizeBytes: 12 * mib }, 9_000))
  await until(cluster, () => secondary!.mirror!.canServe(segmentId))
  t.equal(replicas(await mapOf(cluster)), `${secondary!.name} ${primary!.name}-`)
})

await t.test('a primary that is back before its lease has run out stays primary', async (t) => {
  const { cluster, map, segmentId } = await started(t)
  const [primary] = named(cluster, map)
  primary!.kill()
  report(cluster, primary!, false)
  await cluster.clock.advance(400)
  await primary!.start()
  const ms = await until(cluster, () => primary!.mirror!.canServe(segmentId))
  t.ok(ms < 1_500, `served again after ${ms} ms`)
  t.equal((await mapOf(cluster)).generation, map.generation, 'nothing was changed')
})

await t.test('a store that lost something is behind where another kept all', async (t) => {
  const { cluster, map, segmentId } = await started(t)
  const [primary, secondary] = named(cluster, map)
  primary!.losePower()
  await primary!.start()
  await until(cluster, () => secondary!.mirror!.canServe(segmentId))
  await cluster.clock.advance(2_000)
  const promoted = await mapOf(cluster)
  t.equal(replicas(promoted), `${secondary!.name} ${primary!.name}`, 'the whole one is primary')
  t.equal(promoted.segments[0]!.epoch, 0, 'nobody lost anything')
  t.equal(promoted.segments[0]!.replicas[1]!.incarnation, primary!.store.incarnation)

  primary!.losePower()
  await primary!.start()
  await cluster.clock.advance(3_000)
  const kept = await mapOf(cluster)
  t.equal(replicas(kept), `${secondary!.name} ${primary!.name}`, 'the same for a secondary')
  t.equal(kept.segments[0]!.replicas[1]!.incarnation, primary!.store.incarnation)
})

await t.test('after a loss of power everywhere all have to be heard', async (t) => {
  const { cluster, map, segmentId } = await started(t)
  const [primary, secondary] = named(cluster, map)
  for (const each of cluster.servers) each.losePower()
  cluster.killManager()
  await primary!.start()
  await cluster.startManager()
  await cluster.clock.advance(10_000)
  t.equal((await mapOf(cluster)).generation, map.generation, 'the other may have kept all')
  t.notOk(primary!.mirror!.canServe(segmentId))
  await secondary!.start()
  await cluster.clock.advance(3_000)
  const after = await mapOf(cluster)
  t.equal(replicas(after), `${primary!.name} ${secondary!.name}`, 'none has: both stay')
  t.equal(after.segments[0]!.epoch, 1, 'and clients are told by an epoch')
  t.ok(primary!.mirror!.canServe(segmentId))

  for (const each of cluster.servers) each.losePower()
  await primary!.start()
  await cluster.clock.advance(3_000)
  await cluster.run(cluster.admin.declareDead({ name: secondary!.name }, 9_000))
  await cluster.clock.advance(2_000)
  const alone = await mapOf(cluster)
  t.equal(replicas(alone), `${primary!.name} ${secondary!.name}-`, 'an operator cuts it short')
  t.equal(alone.segments[0]!.epoch, 2)
  t.ok(primary!.mirror!.canServe(segmentId))
})

await t.test('a start of everything needs nobody, whoever comes first', async (t) => {
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const { cluster, map, segmentId } = await started(t)
    const rigs = named(cluster, map)
    for (const each of rigs) each.kill()
    cluster.killManager()
    await cluster.clock.advance(5_000)
    await rigs[order[0]!]!.start()
    await cluster.clock.advance(1_000)
    await cluster.startManager()
    await cluster.clock.advance(5_000)
    t.ok(rigs[order[0]!]!.mirror!.canServe(segmentId), 'the first one serves alone')
    await rigs[order[1]!]!.start()
    await cluster.clock.advance(3_000)
    const after = await mapOf(cluster)
    t.ok(
      after.segments[0]!.replicas.every(({ state }) => state === 'in-sync'),
      replicas(after),
    )
    t.equal(after.segments[0]!.epoch, 0)
  }
})

await t.test('a fence goes through while the primary is away', async (t) => {
  const { cluster, map } = await started(t)
  const [primary] = named(cluster, map)
  primary!.kill()
  const fence = cluster.admin.fence({ volume: 'v', client: testClient }, 9_000)
  const { map: fenced } = await cluster.run(fence)
  t.equal(fenced.admissions[0]?.fenced, true)
  t.ok(cluster.clock.nowMs() < 6_000, 'as soon as its lease has run out')
  await primary!.start()
  await cluster.clock.advance(3_000)
  const after = await mapOf(cluster)
  t.ok(
    after.segments[0]!.replicas.every(({ state }) => state === 'in-sync'),
    replicas(after),
  )
})

await t.test('a replica that stays away is replaced', async (t) => {
  const { cluster, map, segmentId } = await started(t, 3)
  const [primary, secondary] = named(cluster, map)
  const spare = cluster.servers.find((each) => each !== primary && each !== secondary)!
  await cluster.run(cluster.admin.recovery({ graceMs: 10_000 }, 9_000))
  secondary!.kill()
  await cluster.clock.advance(9_000)
  t.equal(replicas(await mapOf(cluster)), `${primary!.name} ${secondary!.name}-`, 'not yet')
  await cluster.clock.advance(6_000)
  const after = await mapOf(cluster)
  t.equal(replicas(after), `${primary!.name} ${spare.name}`, 'copied and in sync')
  t.ok(primary!.mirror!.canServe(segmentId))
  await secondary!.start()
  await cluster.clock.advance(4_000)
  t.equal(secondary!.store.replicas.size, 0, 'what comes back later gives its space back')

  primary!.kill()
  await cluster.run(cluster.admin.declareDead({ name: primary!.name }, 9_000))
  await cluster.clock.advance(8_000)
  t.equal(replicas(await mapOf(cluster)), `${spare.name} ${secondary!.name}`, 'at once when dead')
})

await t.test('a disk that returns errors is left', async (t) => {
  const { cluster, map, segmentId } = await started(t, 3)
  const [primary, secondary] = named(cluster, map)
  const spare = cluster.servers.find((each) => each !== primary && each !== secondary)!
  primary!.disk.failed = true
  await cluster.clock.advance(6_000)
  t.equal(replicas(await mapOf(cluster)), `${secondary!.name} ${spare.name}`)
  t.ok(secondary!.mirror!.canServe(segmentId))
})

await t.test('without room nothing is given up, and room that appears is used', async (t) => {
  const { cluster, map } = await started(t, 3)
  const [primary, secondary] = named(cluster, map)
  const spare = cluster.servers.find((each) => each !== primary && each !== secondary)!
  spare.kill()
  secondary!.kill()
  await cluster.clock.advance(3_000)
  await cluster.run(cluster.admin.declareDead({ name: secondary!.name }, 9_000))
  await cluster.clock.advance(10_000)
  t.equal(replicas(await mapOf(cluster)), `${primary!.name} ${secondary!.name}-`)
  await spare.start()
  await cluster.clock.advance(30_000)
  t.equal(replicas(await mapOf(cluster)), `${primary!.name} ${spare.name}`)
})

await t.test('a volume is deleted while its primary is away', async (t) => {
  const { cluster, map } = await started(t)
  const [primary, secondary] = named(cluster, map)
  primary!.kill()
  await cluster.run(cluster.admin.deleteVolume({ name: 'v', force: true }, 20_000))
  t.equal(secondary!.store.replicas.size, 0)
  await primary!.start()
  await cluster.clock.advance(3_000)
  t.equal(primary!.store.replicas.size, 0, 'and freed where it comes back')
})

await t.test('the manager dies while a primary is replaced', async (t) => {
  for (const afterMs of [1_250, 1_900, 2_030, 2_060]) {
    const { cluster, map, segmentId } = await started(t)
    const [primary, secondary] = named(cluster, map)
    primary!.kill()
    await cluster.clock.advance(afterMs)
    cluster.killManager()
    await cluster.clock.advance(500)
    await cluster.startManager()
    await until(cluster, () => secondary!.mirror!.canServe(segmentId))
    t.equal(replicas(await mapOf(cluster)), `${secondary!.name} ${primary!.name}-`)
  }
})

/** The two copies do not hear each other from now on; both answer the manager. */
async function parted(t: Test) {
  const { cluster, map, segmentId, volumeId } = await started(t)
  const [primary, secondary] = named(cluster, map)
  cluster.paths.cut(true, primary!.name, secondary!.name)
  const moved = async (mostMs: number) => {
    const beganMs = cluster.clock.nowMs()
    let now = map
    while (now.generation === map.generation && cluster.clock.nowMs() - beganMs < mostMs) {
      await cluster.clock.advance(10)
      now = await mapOf(cluster)
    }
    return { ms: cluster.clock.nowMs() - beganMs, replicas: replicas(now) }
  }
  const [p, s] = [primary!.name, secondary!.name]
  const both = { primary: primary!, secondary: secondary! }
  return { cluster, ...both, segmentId, volumeId, moved, p, s }
}

await t.test('a primary that neither a client nor its partner reaches is replaced', async (t) => {
  for (const reportedMs of [700, 1_100, 1_750]) {
    const { cluster, primary, secondary, segmentId, moved, p, s } = await parted(t)
    await cluster.clock.advance(reportedMs)
    t.equal(replicas(await mapOf(cluster)), `${p} ${s}`, 'the partner waits for a word of a client')
    report(cluster, primary, false)
    const { ms, replicas: now } = await moved(4_000)
    t.equal(now, `${s} ${p}-`, `it answers the manager, and lost its place after ${ms} ms`)
    t.ok(reportedMs + ms < 2_200)
    await until(cluster, () => secondary.mirror!.canServe(segmentId), 100)
    t.notOk(primary.mirror!.canServe(segmentId))
    await cluster.clock.advance(5_000)
    t.equal(replicas(await mapOf(cluster)), `${s} ${p}-`, 'and it stays so')
    cluster.paths.cut(false, p, s)
    await cluster.clock.advance(3_000)
    t.equal(replicas(await mapOf(cluster)), `${s} ${p}`)
  }
})

await t.test(
  'two that do not hear each other: the primary stays when no client speaks',
  async (t) => {
    const { cluster, primary, secondary, segmentId, volumeId, moved, p, s } = await parted(t)
    const misses = () => secondary.held(volumeId)?.segments[0]?.primarySilent === true
    const sinceMs = await until(cluster, misses)
    t.ok(sinceMs <= 1_100, `the partner has a word after ${sinceMs} ms`)
    const { ms, replicas: now } = await moved(4_000)
    t.equal(now, `${p} ${s}-`)
    t.ok(ms >= 1_190 && ms < 1_240, `which counts no longer after ${ms} ms`)
    await until(cluster, () => primary.mirror!.canServe(segmentId), 100)
    report(cluster, primary, false)
    await cluster.clock.advance(3_000)
    t.equal(
      replicas(await mapOf(cluster)),
      `${p} ${s}-`,
      'too late: what is behind is not promoted',
    )
  },
)

await t.test('so, as soon as a client that lost its path has found another', async (t) => {
  const { cluster, primary, moved, p, s } = await parted(t)
  await cluster.clock.advance(1_100)
  report(cluster, primary, false)
  await cluster.clock.advance(100)
  report(cluster, primary, true)
  const { ms, replicas: now } = await moved(4_000)
  t.equal(now, `${p} ${s}-`)
  t.ok(ms < 300, `it was not waited for any more, ${ms} ms`)
})

await t.test('a partner that is not there has no word', async (t) => {
  const { cluster, secondary, moved, p, s } = await parted(t)
  await cluster.clock.advance(1_000)
  cluster.net.cut(secondary.name, true)
  const { ms, replicas: now } = await moved(4_000)
  t.equal(now, `${p} ${s}-`)
  t.ok(ms < 800, `given up as soon as it did not answer: after ${ms} ms`)
})

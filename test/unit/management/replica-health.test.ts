/**
 * Replicas of a mirrored volume under the real manager, step by step: dropped, promoted, taken back,
 * after losses, after starts. The servers are the real volume states over a model of replication.
 */
import t, { type Test } from 'tap'
import type { VolumeMap } from '../../../src/volume/map.ts'
import { ControlCluster, type ServerRig } from '../../support/control-cluster.ts'

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

/** How long until the condition holds. */
async function until(cluster: ControlCluster, holds: () => boolean, mostMs = 20_000) {
  const startMs = cluster.clock.nowMs()
  while (!holds()) {
    if (cluster.clock.nowMs() - startMs > mostMs) throw new Error('it never holds')
    await cluster.clock.advance(10)
  }
  return cluster.clock.nowMs() - startMs
}

await t.test('a secondary that dies is dropped, and taken back', async (t) => {
  const { cluster, map, segmentId } = await started(t)
  const [primary, secondary] = map.segments[0]!.replicas.map((each) => rigOf(cluster, each.server))
  t.ok(primary!.mirror!.canServe(segmentId))
  secondary!.kill()
  await cluster.clock.advance(2_100)
  const ms = await until(cluster, () => primary!.mirror!.canServe(segmentId))
  t.equal(ms, 0, 'served again before a lease has run out')
  t.equal(replicas(await mapOf(cluster)), `${primary!.name} ${secondary!.name}-`)
  await secondary!.start()
  await cluster.clock.advance(2_000)
  t.equal(replicas(await mapOf(cluster)), `${primary!.name} ${secondary!.name}`)
  t.ok(primary!.mirror!.canServe(segmentId))
})

await t.test('a primary that dies is replaced by one that was in sync', async (t) => {
  const { cluster, map, segmentId } = await started(t)
  const [primary, secondary] = map.segments[0]!.replicas.map((each) => rigOf(cluster, each.server))
  primary!.kill()
  const ms = await until(cluster, () => secondary!.mirror!.canServe(segmentId))
  t.ok(ms > 1_500 && ms < 2_500, `after ${ms} ms: its lease has run out, and no later`)
  t.equal(replicas(await mapOf(cluster)), `${secondary!.name} ${primary!.name}-`)
  await primary!.start()
  await cluster.clock.advance(2_000)
  t.equal(replicas(await mapOf(cluster)), `${secondary!.name} ${primary!.name}`)
})

/** A mirrored volume in a whole cluster: every write on every copy, whoever is cut off or comes back. */
import t from 'tap'
import type { VolumeMap } from '../../../../src/volume/map.ts'
import { describe, type Initiator } from '../../../support/initiator.ts'
import { MemoryCluster, type MemoryServer } from '../../../support/memory-cluster.ts'

const MIB = 1024 * 1024
const volume = { name: 'vol', sizeBytes: 12 * MIB, mirror: 2 }

async function mapOf(cluster: MemoryCluster): Promise<VolumeMap> {
  const { map } = await cluster.run(cluster.admin.showVolume({ name: 'vol' }, 5_000))
  return map
}

function replicaStates(map: VolumeMap): string {
  return map.segments
    .flatMap(({ replicas }) => replicas.map(({ server, state }) => `${server} ${state}`))
    .join(', ')
}

function serverOf(cluster: MemoryCluster, map: VolumeMap, replica: number): MemoryServer {
  const { serverId } = map.segments[0]!.replicas[replica]!
  return cluster.servers.find((server) => server.serverId === serverId)!
}

async function write(cluster: MemoryCluster, at: Initiator, lba: number, stamp: number) {
  return describe(await cluster.run(at.write(lba, 8, stamp).answer))
}

/** Stops everything and looks at the disks: the first block of each range on each server of the map. */
async function onDisks(
  cluster: MemoryCluster,
  map: VolumeMap,
  lbas: readonly number[],
): Promise<Record<string, number[]>> {
  const { segmentId, replicas } = map.segments[0]!
  await cluster.stop()
  const found: Record<string, number[]> = {}
  for (const { server, serverId } of replicas) {
    const disk = cluster.servers.find((each) => each.serverId === serverId)!
    const stamps: number[] = []
    for (const lba of lbas) stamps.push(...(await disk.stampsOf(segmentId, lba, 1)))
    found[server] = stamps
  }
  return found
}

t.test('what is written and answered is on every copy', async (t) => {
  const cluster = await MemoryCluster.start({ servers: 3, volumes: [volume] })
  const map = await mapOf(cluster)
  t.equal(map.segments[0]?.replicas.length, 2)
  const initiator = await cluster.attach('vol')
  t.equal(await write(cluster, initiator, 0, 11), 'good')
  t.equal(await write(cluster, initiator, 8192, 12), 'good')
  t.equal(describe(await cluster.run(initiator.flush().answer)), 'good')
  t.strictSame(await cluster.run(initiator.read(0, 2)), [11, 11])
  const [first, second] = map.segments[0]!.replicas
  t.strictSame(await onDisks(cluster, map, [0, 8192]), {
    [first!.server]: [11, 12],
    [second!.server]: [11, 12],
  })
})

t.test(
  'a copy that is cut off is dropped, waits for nobody, and is brought up again',
  async (t) => {
    const cluster = await MemoryCluster.start({ servers: 3, volumes: [volume] })
    const map = await mapOf(cluster)
    const initiator = await cluster.attach('vol')
    t.equal(await write(cluster, initiator, 0, 1), 'good')
    const second = serverOf(cluster, map, 1)
    second.relay.hang()
    const cutAtMs = cluster.clock.nowMs()
    t.equal(await write(cluster, initiator, 0, 2), 'good', 'with the copy that is left')
    t.ok(cluster.clock.nowMs() - cutAtMs < 3_000, `after ${cluster.clock.nowMs() - cutAtMs} ms`)
    t.equal(await write(cluster, initiator, 8192, 3), 'good')
    t.match(replicaStates(await mapOf(cluster)), /in-sync, s\d (behind|syncing)/)
    second.relay.release()
    await cluster.until(
      async () => /behind|syncing/.test(replicaStates(await mapOf(cluster))) === false,
    )
    t.equal(await write(cluster, initiator, 16384, 4), 'good')
    const after = await mapOf(cluster)
    const disks = await onDisks(cluster, after, [0, 8192, 16384])
    for (const stamps of Object.values(disks)) t.strictSame(stamps, [2, 3, 4])
    t.equal(Object.keys(disks).length, 2)
  },
)

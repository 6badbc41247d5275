/**
 * Are the copies equal? Asked when everything has come to rest: all replicas are in sync by the
 * map, and then, with the programs stopped, what their disks hold is the same byte by byte.
 */

import { storageServerClient } from '../../../src/control/services.ts'
import type { Segment } from '../../../src/volume/map.ts'
import { PageStore } from '../../../targets/store/page-store.ts'
import type { ReplicaStore } from '../../../targets/store/replica-store.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { simLog } from '../cluster/sim-log.ts'
import type { SimServer } from '../cluster/sim-server.ts'

const comesInSyncMs = 90_000
/** Regions that a promotion left in doubt are compared in the background. */
const comparesMs = 12_000
const lookMs = 100
const pieceBlocks = 128

export async function checkReplicas(cluster: Cluster): Promise<void> {
  const { world, violations, maps } = cluster
  // What was on it goes elsewhere, where there is room.
  const hasFailedDisk = (serverId: string): boolean =>
    cluster.servers.some((server) => server.serverId === serverId && server.disk.failed)
  const behind = (): string[] =>
    [...maps.all.values()].flatMap(({ name, segments }) =>
      segments.flatMap(({ replicas }) =>
        replicas
          .filter(({ state, serverId }) => state !== 'in-sync' && !hasFailedDisk(serverId))
          .map(({ server }) => `${name} ${server}`),
      ),
    )
  if (!(await world.run(() => behind().length === 0, comesInSyncMs))) {
    violations.add('progress', `not in sync after faults: ${behind().join(', ')}`)
    return
  }
  let compared = false
  void untilCompared(cluster).then(() => {
    compared = true
  })
  await world.run(() => compared, comparesMs)
  for (const server of cluster.servers) server.kill()
  const comparing = compareAll(cluster)
  await world.until(comparing, 600_000)
}

/** Until every server says that it serves its volumes and has nothing left to compare. */
async function untilCompared(cluster: Cluster): Promise<void> {
  const channels = cluster.servers.map(({ control }) => cluster.administratorDials(control))
  const servers = channels.map((channel) => storageServerClient(channel))
  for (;;) {
    await cluster.administratorWaits(lookMs)
    const asked = servers.map((server) => server.describe({}, 1_000))
    const answers = await Promise.allSettled(asked)
    const done = answers.every((answer) => {
      if (answer.status === 'rejected') return false
      return answer.value.volumes.every(({ serving, segments }) => {
        return serving && segments.every(({ comparingBytes }) => comparingBytes === 0)
      })
    })
    if (done) return
  }
}

async function compareAll(cluster: Cluster): Promise<void> {
  const stores = new Map<string, PageStore>()
  for (const server of cluster.servers)
    stores.set(server.serverId, await openStore(cluster, server))
  for (const { name, segments } of cluster.maps.all.values()) {
    for (const segment of segments) await compareSegment(cluster, { name, segment, stores })
  }
}

function openStore({ world }: Cluster, server: SimServer): Promise<PageStore> {
  const process = server.machine.start(`${server.name} inspector`)
  return PageStore.open({
    clock: process.clock,
    log: simLog(world, process.name),
    files: server.disk.of(process),
    metadata: server.metadata.of(process),
    random: world.chance.fork(process.name).port,
    bootId: server.machine.bootId,
  })
}

async function compareSegment(
  { violations }: Cluster,
  {
    name,
    segment: { segmentId, replicas },
    stores,
  }: { name: string; segment: Segment; stores: ReadonlyMap<string, PageStore> },
): Promise<void> {
  const [first, ...others] = replicas.filter(({ state }) => state === 'in-sync')
  if (first === undefined) return
  const primary = stores.get(first.serverId)?.replica(segmentId)
  for (const { serverId, server } of others) {
    const replica = stores.get(serverId)?.replica(segmentId)
    if (primary === undefined || replica === undefined) {
      violations.add('replicas', `${name}: ${server} or ${first.server} has no replica`)
      continue
    }
    const lba = await firstDifference(primary, replica)
    if (lba === undefined) continue
    violations.add('replicas', `${name}: block ${lba} of ${server} is not that of ${first.server}`)
  }
}

async function firstDifference(
  one: ReplicaStore,
  other: ReplicaStore,
): Promise<number | undefined> {
  for (let lba = 0; lba < one.blocks; lba += pieceBlocks) {
    const blocks = Math.min(pieceBlocks, one.blocks - lba)
    if (!one.run(lba, blocks).mapped && !other.run(lba, blocks).mapped) continue
    const left = Buffer.concat(await one.read(lba, blocks))
    const right = Buffer.concat(await other.read(lba, blocks))
    for (let i = 0; i < blocks; i++) {
      if (left.compare(right, i * 512, i * 512 + 512, i * 512, i * 512 + 512) !== 0) return lba + i
    }
  }
  return undefined
}

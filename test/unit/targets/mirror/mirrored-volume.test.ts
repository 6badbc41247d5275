/** A mirrored volume in a whole cluster: every write on every copy, whoever is cut off or comes back. */
import t from 'tap'
import { type StorageServerClient, storageServerClient } from '../../../../src/control/services.ts'
import type { VolumeMap } from '../../../../src/volume/map.ts'
import { describe, type Initiator } from '../../../support/initiator.ts'
import { MemoryCluster, type MemoryServer } from '../../../support/memory-cluster.ts'

t.setTimeout(170_000)

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

/** Everything is in sync again. */
function healed(cluster: MemoryCluster): Promise<void> {
  return cluster.until(async () => !/behind|syncing/.test(replicaStates(await mapOf(cluster))))
}

/** Settles with its value, or `waits` when it does not within so many ms. */
async function within<T>(
  cluster: MemoryCluster,
  ms: number,
  promise: Promise<T>,
): Promise<T | 'waits'> {
  let value: T | 'waits' = 'waits'
  void promise.then((settled) => {
    value = settled
  })
  await cluster.pass(ms)
  return value
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

t.test('nothing is shown that is not on every copy: a read waits for the write', async (t) => {
  const cluster = await MemoryCluster.start({ servers: 3, volumes: [volume] })
  const map = await mapOf(cluster)
  const [writer, reader] = [await cluster.attach('vol'), await cluster.attach('vol', { isid: 2 })]
  t.equal(await write(cluster, writer, 0, 1), 'good')
  const second = serverOf(cluster, map, 1)
  second.relay.hang()
  const writing = writer.write(0, 8, 2).answer
  await cluster.pass(20)
  const reading = reader.read(4, 2)
  const elsewhere = reader.read(64, 1)
  t.strictSame(await within(cluster, 100, elsewhere), [0], 'what does not overlap is read')
  t.equal(await within(cluster, 500, reading), 'waits')
  second.relay.release()
  t.equal(describe(await cluster.run(writing)), 'good')
  t.strictSame(await cluster.run(reading), [2, 2])
  t.notMatch(replicaStates(await mapOf(cluster)), /behind/, 'it was not away for long')
  await cluster.stop()
})

t.test('the primary dies: another copy takes over, and the dead one comes back', async (t) => {
  const cluster = await MemoryCluster.start({ servers: 3, volumes: [volume] })
  const map = await mapOf(cluster)
  const [first, second] = [serverOf(cluster, map, 0), serverOf(cluster, map, 1)]
  const initiator = await cluster.attach('vol')
  t.equal(await write(cluster, initiator, 0, 1), 'good')
  await cluster.run(first.stop())
  const diedAtMs = cluster.clock.nowMs()
  const answers = await cluster.run(
    Promise.all([0, 8192, 16384].map((lba, i) => initiator.write(lba, 8, 10 + i).answer)),
  )
  t.strictSame(answers.map(describe), ['good', 'good', 'good'])
  const stallMs = cluster.clock.nowMs() - diedAtMs
  t.ok(stallMs < 5_000, `stalled for ${stallMs} ms`)
  const promoted = await mapOf(cluster)
  t.equal(promoted.segments[0]?.replicas[0]?.serverId, second.serverId)
  t.match(
    replicaStates(promoted),
    new RegExp(`${second.name} in-sync, ${first.name} (behind|syncing)`),
  )
  t.strictSame(await cluster.run(initiator.read(0, 1)), [10])
  await cluster.run(first.start())
  await healed(cluster)
  t.strictSame(await onDisks(cluster, await mapOf(cluster), [0, 8192, 16384]), {
    [first.name]: [10, 11, 12],
    [second.name]: [10, 11, 12],
  })
})

t.test(
  'a primary that restarts compares what was marked, though no client asks again',
  async (t) => {
    const cluster = await MemoryCluster.start({ servers: 2, volumes: [volume] })
    const map = await mapOf(cluster)
    const [first, second] = [serverOf(cluster, map, 0), serverOf(cluster, map, 1)]
    const initiator = await cluster.attach('vol')
    t.equal(await write(cluster, initiator, 0, 1), 'good')
    // The write is on the primary alone when primary and client end, and no manager sees that.
    cluster.rpc.cut('manager', true)
    second.relay.hang()
    t.equal(await within(cluster, 50, initiator.write(0, 8, 2).answer), 'waits')
    await cluster.run(cluster.shim.stop(0))
    await cluster.run(first.stop())
    await second.relay.stop()
    second.relay.release()
    await second.relay.resume()
    await cluster.run(first.start())
    cluster.rpc.cut('manager', false)
    await cluster.startShim()
    const again = await cluster.attach('vol')
    const [stamp] = await cluster.run(again.read(0, 1))
    await healed(cluster)
    const after = await mapOf(cluster)
    t.equal(after.generation, map.generation, 'nobody was dropped or promoted')
    t.equal(stamp, 2)
    t.strictSame(await onDisks(cluster, after, [0]), {
      [first.name]: [stamp],
      [second.name]: [stamp],
    })
  },
)

/** Orders of a manager of a later term, given by the test: the real one has stopped. */
function ordersTo(cluster: MemoryCluster, { control }: MemoryServer): StorageServerClient {
  return storageServerClient(cluster.rpc.host('test').channel(control))
}

t.test(
  'a close ends though a copy hangs; what it interrupted is compared after a reopen',
  async (t) => {
    const cluster = await MemoryCluster.start({ servers: 2, volumes: [volume] })
    const map = await mapOf(cluster)
    const { volumeId } = map
    const [first, second] = [serverOf(cluster, map, 0), serverOf(cluster, map, 1)]
    const initiator = await cluster.attach('vol')
    t.equal(await write(cluster, initiator, 0, 1), 'good')
    await cluster.run(cluster.manager.stop())
    second.relay.hang()
    const writing = initiator.write(0, 8, 2).answer
    t.equal(await within(cluster, 50, writing), 'waits')
    const orders = ordersTo(cluster, first)
    const closedBy = { term: 1_000, number: 1 }
    const closing = orders.close({ order: closedBy, volumeId }, 9_000)
    const closed = await cluster.run(closing)
    t.match(closed, { generation: map.generation, leaseLeftMs: 0 })
    t.ok(closed.drainedMs > 300 && closed.drainedMs < 1_500, `drained in ${closed.drainedMs} ms`)
    t.ok(closed.segments[0]!.comparingBytes > 0, 'what was interrupted is to be compared')
    // What is still on its way never arrives, and nobody sends it again.
    await cluster.run(cluster.shim.stop(0))
    await second.relay.stop()
    second.relay.release()
    await second.relay.resume()
    const order = { term: 1_000, number: 2 }
    await cluster.run(orders.reopen({ order, volumeId, closed: closedBy }, 9_000))
    await cluster.until(async () => {
      const { volumes } = await cluster.run(orders.describe({}, 1_000))
      const [segment] = volumes[0]!.segments
      return segment?.comparingBytes === 0 && segment.partners[0]?.state === 'confirming'
    })
    t.strictSame(await onDisks(cluster, map, [0]), { [first.name]: [2], [second.name]: [2] })
  },
)

t.test('a copy that was closed says for how long a lease may run that it confirmed', async (t) => {
  const cluster = await MemoryCluster.start({ servers: 2, volumes: [volume] })
  const map = await mapOf(cluster)
  const { volumeId, leaseMs } = map
  const [first, second] = [serverOf(cluster, map, 0), serverOf(cluster, map, 1)]
  const initiator = await cluster.attach('vol')
  t.equal(await write(cluster, initiator, 0, 1), 'good')
  await cluster.run(cluster.manager.stop())
  const closing = ordersTo(cluster, second).close(
    { order: { term: 1_000, number: 1 }, volumeId },
    9_000,
  )
  const { leaseLeftMs } = await cluster.run(closing)
  t.ok(leaseLeftMs > leaseMs * 0.7 && leaseLeftMs <= leaseMs * 1.1, `${leaseLeftMs} ms`)
  await cluster.pass(leaseLeftMs)
  const reading = initiator.read(0, 1).catch(() => 'lost with the shim')
  t.equal(await within(cluster, 500, reading), 'waits', 'no read after the lease')
  const served = ordersTo(cluster, first).describe({}, 1_000)
  const refusals = (await cluster.run(served)).counters[0]!.refusals
  t.ok(refusals.some(({ reason }) => reason === 4))
  await cluster.run(cluster.shim.stop(0))
  for (const server of cluster.servers) await cluster.run(server.stop())
})

t.test('three copies: two die one after the other, and both come back', async (t) => {
  const cluster = await MemoryCluster.start({ servers: 3, volumes: [{ ...volume, mirror: 3 }] })
  const map = await mapOf(cluster)
  const [first, second] = [serverOf(cluster, map, 0), serverOf(cluster, map, 1)]
  const initiator = await cluster.attach('vol')
  t.equal(await write(cluster, initiator, 0, 1), 'good')
  await cluster.run(first.stop())
  t.equal(await write(cluster, initiator, 0, 2), 'good')
  await cluster.run(second.stop())
  t.equal(await write(cluster, initiator, 8192, 3), 'good')
  t.strictSame(await cluster.run(initiator.read(0, 1)), [2])
  await cluster.run(first.start())
  await cluster.run(second.start())
  await healed(cluster)
  const disks = await onDisks(cluster, await mapOf(cluster), [0, 8192])
  t.equal(Object.keys(disks).length, 3)
  for (const stamps of Object.values(disks)) t.strictSame(stamps, [2, 3])
})

t.test('what cannot be read on one disk is read from another copy, and repaired', async (t) => {
  const cluster = await MemoryCluster.start({ servers: 2, volumes: [volume] })
  const map = await mapOf(cluster)
  const first = serverOf(cluster, map, 0)
  const initiator = await cluster.attach('vol')
  t.equal(await write(cluster, initiator, 0, 7), 'good')
  const readable = first.files.fail('pages', 'read')
  t.strictSame(await cluster.run(initiator.read(2, 2)), [7, 7])
  t.equal((await mapOf(cluster)).generation, map.generation, 'nobody is dropped for that')
  readable()
  t.strictSame(await cluster.run(initiator.read(0, 8)), [7, 7, 7, 7, 7, 7, 7, 7])
  await cluster.stop()
})

t.test(
  'a disk that does not take writes gives way to another copy, unseen by initiators',
  async (t) => {
    const cluster = await MemoryCluster.start({ servers: 2, volumes: [volume] })
    const map = await mapOf(cluster)
    const [first, second] = [serverOf(cluster, map, 0), serverOf(cluster, map, 1)]
    const initiator = await cluster.attach('vol')
    t.equal(await write(cluster, initiator, 0, 1), 'good')
    const writable = first.files.fail('pages', 'write')
    t.equal(await write(cluster, initiator, 0, 2), 'good')
    t.equal((await mapOf(cluster)).segments[0]?.replicas[0]?.serverId, second.serverId)
    writable()
    t.strictSame(await cluster.run(initiator.read(0, 1)), [2])
    await cluster.stop()
  },
)

t.test('masks that cannot be written are read anew: no initiator sees an error', async (t) => {
  const cluster = await MemoryCluster.start({ servers: 2, volumes: [volume] })
  const map = await mapOf(cluster)
  const [first, second] = [serverOf(cluster, map, 0), serverOf(cluster, map, 1)]
  const { segmentId } = map.segments[0]!
  const initiator = await cluster.attach('vol')
  t.equal(await write(cluster, initiator, 0, 1), 'good')
  const writable = first.files.fail(`masks/${segmentId}`, 'flush')
  const writing = initiator.write(8192, 8, 2).answer
  await cluster.pass(300)
  writable()
  t.equal(describe(await cluster.run(writing)), 'good')
  await healed(cluster)
  // The same with the other copy away: then nobody else could go on.
  const [leader, follower] = (await mapOf(cluster)).segments[0]!.replicas.map(({ serverId }) => {
    return cluster.servers.find((server) => server.serverId === serverId)!
  })
  await cluster.run(follower!.stop())
  t.equal(await write(cluster, initiator, 0, 3), 'good')
  const again = leader!.files.fail(`masks/${segmentId}`, 'flush')
  const lonely = initiator.write(16384, 8, 4).answer
  t.equal(await within(cluster, 300, lonely), 'waits')
  again()
  t.equal(describe(await cluster.run(lonely)), 'good')
  await cluster.run(follower!.start())
  await healed(cluster)
  t.strictSame(await onDisks(cluster, await mapOf(cluster), [0, 8192, 16384]), {
    [first.name]: [3, 2, 4],
    [second.name]: [3, 2, 4],
  })
})

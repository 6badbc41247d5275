/**
 * Changes of a volume, step by step: the real manager with the real volume states of storage
 * servers, over a network in memory. Time moves only when the test moves it.
 */
import t, { type Test } from 'tap'
import { StorageError } from '../../../src/base/errors.ts'
import type { VolumeReply } from '../../../src/control/messages/admin.ts'
import { adminClient } from '../../../src/control/services.ts'
import { Manager } from '../../../src/management/manager.ts'
import { ControlCluster } from '../../support/control-cluster.ts'
import { MemoryNetwork } from '../../support/memory-network.ts'
import { quietLog } from '../../support/quiet-log.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { otherClient, testClient } from '../../support/volume-maps.ts'

const mib = 1024 * 1024

function volume(name: string, sizeBytes: number, stripe = 0) {
  return {
    name,
    sizeBytes,
    stripe,
    partitions: [],
    stalePolicy: 'reject',
    holdMs: 0,
    leaseMs: 0,
  } as const
}

/** A cluster with one volume over two servers. */
async function started(t: Test) {
  const cluster = await ControlCluster.start({ servers: 2 })
  t.teardown(() => cluster.stop())
  const created = await cluster.run(cluster.admin.createVolume(volume('v', 8 * mib, 2), 9_000))
  return { cluster, map: created.map, volumeId: created.map.volumeId }
}

const states = (cluster: ControlCluster, volumeId: string) =>
  cluster.servers.map((server) => {
    const held = server.held(volumeId)
    if (held === undefined) return 'none'
    return held.serving ? held.generation : held.closed === undefined ? 'unconfirmed' : 'closed'
  })

await t.test('create, grow, fence, admit, delete', async (t) => {
  const { cluster, map, volumeId } = await started(t)
  t.equal(map.generation, 1)
  t.strictSame(states(cluster, volumeId), [1, 1], 'served at once')
  t.strictSame(
    map.segments.map(({ replicas }) => replicas[0]?.portals),
    [['s1:3260'], ['s2:3260']],
    'with the portals of today',
  )

  const { admin } = cluster
  const grown = await cluster.run(admin.growVolume({ name: 'v', sizeBytes: 12 * mib }, 9_000))
  t.equal(grown.map.generation, 2)
  t.equal(grown.map.blocks, (12 * mib) / 512)
  t.equal(grown.map.segments.length, 4, 'a new stripe set')
  t.strictSame(grown.map.segments.slice(0, 2), map.segments, 'the old one is untouched')
  t.strictSame(
    grown.map.segments.map(({ replicas }) => replicas[0]?.lun),
    [0, 0, 1, 1],
  )
  await t.rejects(cluster.run(admin.growVolume({ name: 'v', sizeBytes: 4 * mib }, 9_000)), {
    code: 'invalid',
    message: /only grows/,
  })

  const request = { volume: 'v', client: testClient }
  const fenced = await cluster.run(admin.fence(request, 9_000))
  t.equal(fenced.map.generation, 3)
  const admission = { client: testClient, admission: 1 }
  t.strictSame(fenced.map.admissions, [{ ...admission, fenced: true }])
  const again = await cluster.run(admin.fence(request, 9_000))
  t.equal(again.map.generation, 3, 'fenced already: nothing changes')
  const admitted = await cluster.run(admin.admit(request, 9_000))
  t.equal(admitted.map.generation, 4)
  t.strictSame(admitted.map.admissions, [{ ...admission, fenced: false }], 'the admission stays')
  t.strictSame(states(cluster, volumeId), [4, 4])

  cluster.servers[0]!.sessions = 1
  await t.rejects(cluster.run(admin.deleteVolume({ name: 'v', force: false }, 9_000)), {
    message: /in use: 1 data sessions/,
  })
  t.strictSame(states(cluster, volumeId), [4, 4], 'nobody was shut out for that')
  await cluster.run(admin.deleteVolume({ name: 'v', force: true }, 9_000))
  t.strictSame(
    cluster.servers.map(({ store }) => store.replicas.size),
    [0, 0],
    'space is given back',
  )
  t.strictSame((await cluster.run(admin.listVolumes({}, 9_000))).maps, [])
  await t.rejects(cluster.run(admin.showVolume({ name: 'v' }, 9_000)), { code: 'not-found' })
  const next = await cluster.run(admin.createVolume(volume('v', 8 * mib), 9_000))
  t.not(next.map.volumeId, volumeId, 'the name is free again')
  t.equal(next.map.generation, 6)
})

await t.test('a change that fences nobody gives up and is undone', async (t) => {
  const { cluster, volumeId } = await started(t)
  cluster.net.cut('s2', true)
  const deleting = cluster.admin.deleteVolume({ name: 'v', force: true }, 30_000)
  await cluster.clock.advance(500)
  t.strictSame(states(cluster, volumeId), ['closed', 1])
  await t.rejects(cluster.run(deleting), {
    code: 'refused',
    message: /delete given up and undone: could not close s2/,
  })
  t.equal(Math.round(cluster.clock.nowMs() / 1000) >= 5, true, 'after five seconds')
  t.strictSame(states(cluster, volumeId), [1, 1], 'open as it was')
  cluster.net.cut('s2', false)
  await cluster.clock.advance(3_000)
  t.strictSame(states(cluster, volumeId), [1, 1])
  const { status } = await cluster.run(cluster.admin.showVolume({ name: 'v' }, 9_000))
  t.equal(status.change, '')
})

await t.test('a fence stays pending, over restarts, until all is closed', async (t) => {
  const { cluster, volumeId } = await started(t)
  const { admin, net } = cluster
  const request = { volume: 'v', client: testClient }
  net.cut('s2', true)
  await t.rejects(cluster.run(admin.fence(request, 30_000)), {
    message: /fence of .* is pending, not yet closed: s2/,
  })
  t.strictSame(states(cluster, volumeId), ['closed', 1], 'what is closed stays closed')
  const status = await cluster.run(admin.status({}, 9_000))
  t.match(status.pendingFences, [{ volume: 'v', client: testClient, waitingFor: ['s2'] }])
  await t.rejects(cluster.run(admin.deleteVolume({ name: 'v', force: true }, 9_000)), {
    message: /pending/,
  })
  await t.rejects(cluster.run(admin.fence({ ...request, client: otherClient }, 9_000)), {
    message: /pending/,
  })
  await cluster.clock.advance(20_000)
  t.strictSame(states(cluster, volumeId), ['closed', 1])

  cluster.killManager()
  await cluster.clock.advance(1_500)
  await cluster.startManager()
  await cluster.clock.advance(5_000)
  t.strictSame(states(cluster, volumeId), ['closed', 1], 'nobody reopened it')
  t.equal((await cluster.run(admin.status({}, 9_000))).pendingFences.length, 1)

  net.cut('s2', false)
  await cluster.clock.advance(2_000)
  t.strictSame(states(cluster, volumeId), [2, 2])
  const { map } = await cluster.run(admin.showVolume({ name: 'v' }, 9_000))
  t.strictSame(map.admissions, [{ client: testClient, admission: 1, fenced: true }])
  t.strictSame((await cluster.run(admin.status({}, 9_000))).pendingFences, [])
})

await t.test('admitting the client again takes a pending fence back', async (t) => {
  const { cluster, volumeId } = await started(t)
  const { admin, net } = cluster
  const request = { volume: 'v', client: testClient }
  net.cut('s2', true)
  await t.rejects(cluster.run(admin.fence(request, 30_000)), { message: /pending/ })
  const admitted = await cluster.run(admin.admit(request, 30_000))
  t.equal(admitted.map.generation, 1, 'nothing was committed')
  t.strictSame(states(cluster, volumeId), [1, 1])
  cluster.killManager()
  await cluster.startManager()
  net.cut('s2', false)
  await cluster.clock.advance(5_000)
  t.strictSame(states(cluster, volumeId), [1, 1], 'and nothing of it is left')
})

await t.test('a server that an operator declared dead is not waited for', async (t) => {
  const { cluster, volumeId } = await started(t)
  const { admin } = cluster
  cluster.servers[1]!.kill()
  const fence = admin.fence({ volume: 'v', client: testClient }, 30_000)
  await cluster.clock.advance(1_000)
  await t.rejects(cluster.run(admin.declareDead({ name: 's1' }, 9_000)), {
    message: /server s1 answers, so it is not off/,
  })
  await cluster.run(admin.declareDead({ name: 's2' }, 9_000))
  const { map } = await cluster.run(fence)
  t.equal(map.generation, 2)
  t.strictSame(states(cluster, volumeId), [2, 'none'])
  await cluster.servers[1]!.start()
  t.strictSame(states(cluster, volumeId), [2, 'unconfirmed'])
  await cluster.clock.advance(1_000)
  t.strictSame(states(cluster, volumeId), [2, 2], 'brought along when it is back')
  const { server } = await cluster.run(admin.showServer({ name: 's2' }, 9_000))
  t.equal(server.declaredDead, false)
})

await t.test('a server away during a change that takes nothing is brought along', async (t) => {
  const { cluster, volumeId } = await started(t)
  const { admin, servers } = cluster
  servers[1]!.kill()
  const request = { volume: 'v', client: testClient }
  await t.rejects(cluster.run(admin.fence(request, 3_000)), { code: 'deadline' })
  await servers[1]!.start()
  await cluster.clock.advance(3_000)
  t.strictSame(states(cluster, volumeId), [2, 2], 'the fence went on without its caller')
  servers[1]!.kill()
  const admitted = await cluster.run(admin.admit(request, 9_000))
  t.equal(admitted.map.generation, 3)
  t.strictSame(states(cluster, volumeId), [3, 'none'])
  const { status } = await cluster.run(admin.showVolume({ name: 'v' }, 9_000))
  t.equal(status.behind[0], 's2')
  await servers[1]!.start()
  await cluster.clock.advance(1_500)
  t.strictSame(states(cluster, volumeId), [3, 3])
})

await t.test('another incarnation of the only copy is another epoch', async (t) => {
  const { cluster, volumeId, map } = await started(t)
  const { servers, admin } = cluster
  servers[1]!.losePower()
  await servers[1]!.start()
  t.strictSame(states(cluster, volumeId), [1, 'unconfirmed'])
  await cluster.clock.advance(2_500)
  t.strictSame(states(cluster, volumeId), [2, 2])
  const after = (await cluster.run(admin.showVolume({ name: 'v' }, 9_000))).map
  t.strictSame(
    after.segments.map(({ epoch }) => epoch),
    [0, 1],
    'of its segment only',
  )
  t.equal(after.segments[1]?.replicas[0]?.incarnation, 's2-2')
  t.strictSame(after.segments[0], map.segments[0])
  servers[0]!.kill()
  await servers[0]!.start()
  await cluster.clock.advance(2_500)
  t.equal(cluster.servers[0]!.held(volumeId)?.generation, 2, 'a mere restart changes nothing')
})

await t.test('a server that never took the volume up', async (t) => {
  const { cluster } = await started(t)
  const { admin, servers } = cluster
  const [, s2] = servers
  const refuses = t.intercept(s2!.store, 'createReplica', {
    value: () => Promise.reject(new StorageError('no-space', 'the disk is full')),
  })
  await t.rejects(cluster.run(admin.createVolume(volume('w', 8 * mib, 2), 9_000)), {
    message: /volume w not created: s2: the disk is full/,
  })
  t.equal((await cluster.run(admin.listVolumes({}, 9_000))).maps.length, 1, 'nothing is left of it')
  t.equal(servers[0]!.store.replicas.size, 1)
  refuses.restore()

  cluster.net.plan = () => ({ requestMs: 1, replyMs: 1 })
  const creating = admin.createVolume(volume('x', 8 * mib, 2), 9_000)
  // The server has said what it has room for; the activate is on its way.
  await cluster.clock.advance(3)
  cluster.net.cut('s2', true)
  const { map } = await cluster.run(creating)
  t.strictSame(states(cluster, map.volumeId), [map.generation, 'none'], 'made, but for s2')
  const fence = admin.fence({ volume: 'x', client: testClient }, 9_000)
  await cluster.clock.advance(300)
  cluster.net.cut('s2', false)
  const fenced = await cluster.run(fence)
  const { generation } = fenced.map
  t.strictSame(states(cluster, map.volumeId), [generation, generation], 'it took it up meanwhile')
})

await t.test('the manager dies at each step of a fence', async (t) => {
  /** Kills it when the predicate first holds; the outcome as the next manager finds it. */
  const dies = async (when: (cluster: ControlCluster, id: string) => boolean) => {
    const { cluster, volumeId } = await started(t)
    cluster.net.plan = () => ({ requestMs: 10, replyMs: 10 })
    let answer: VolumeReply | Error | undefined
    cluster.admin.fence({ volume: 'v', client: testClient }, 2_000).then(
      (reply) => {
        answer = reply
      },
      (error: Error) => {
        answer = error
      },
    )
    while (!when(cluster, volumeId)) await cluster.clock.advance(1)
    cluster.killManager()
    await cluster.clock.advance(700)
    await cluster.startManager()
    await cluster.clock.advance(2_000)
    t.ok(answer instanceof Error, 'its caller does not know')
    const { map } = await cluster.run(cluster.admin.showVolume({ name: 'v' }, 9_000))
    const now = states(cluster, volumeId)
    t.strictSame(now, [map.generation, map.generation], 'open within two seconds')
    return map.admissions.length === 0 ? 'never happened' : 'has happened'
  }
  const committed = (cluster: ControlCluster, id: string) =>
    states(cluster, id).every((state) => state === 'closed')
  t.equal(await dies(() => true), 'never happened', 'before the first close')
  t.equal(await dies((c, id) => states(c, id).includes('closed')), 'never happened', 'closed')
  let closedMs = 0
  const decided = (c: ControlCluster, id: string) => {
    if (!committed(c, id)) closedMs = c.clock.nowMs()
    // The answers to close take 10 ms; then comes the commit, in the same turn.
    return committed(c, id) && c.clock.nowMs() >= closedMs + 12
  }
  t.equal(await dies(decided), 'has happened', 'after the commit, before an activate arrived')
  t.equal(
    await dies((c, id) => states(c, id).some((state) => state === 2)),
    'has happened',
    'activated',
  )
})

await t.test('what servers ask of a manager that does not know them', async (t) => {
  const { cluster, volumeId } = await started(t)
  const other = new ControlCluster({ servers: 0, seed: 2 })
  t.teardown(() => other.stop())
  cluster.killManager()
  // The same address, another store: it must not tell the servers to free anything.
  for (const key of ['volume/', 'server/', 'counter', 'deleted/']) {
    for (const entry of await cluster.store.range(key)) {
      await cluster.store.transact({ remove: [entry.key] })
    }
  }
  await cluster.startManager()
  cluster.servers[0]!.kill()
  await cluster.servers[0]!.start()
  await cluster.clock.advance(5_000)
  t.strictSame(states(cluster, volumeId), ['unconfirmed', 1])
  t.equal(cluster.servers[0]!.store.replicas.size, 1, 'the data are kept')
})

/** The store has another manager now; the former one has not heard of it. */
async function succeeded(t: Test) {
  const { cluster, volumeId } = await started(t)
  const former = cluster.manager!
  const host = cluster.net.host('successor')
  const ports = { keyValue: cluster.store, rpc: host, network: new MemoryNetwork() }
  const successor = await Manager.start(
    { ...ports, clock: cluster.clock, random: seededRandom(2), log: quietLog },
    { control: 'successor:1', portals: [] },
  )
  t.teardown(() => host.kill())
  const admin = adminClient(cluster.net.host('admin').channel('successor:1'))
  const request = { volume: 'v', client: testClient }
  const { map } = await cluster.run(admin.fence(request, 9_000))
  t.strictSame(states(cluster, volumeId), [map.generation, map.generation])
  return { cluster, former, successor, request }
}

await t.test(
  'a manager with nothing to write hears from servers that it was succeeded',
  async (t) => {
    const { cluster, former, successor } = await succeeded(t)
    let other = false
    void successor.storeFailed.then(() => {
      other = true
    })
    t.match(await cluster.run(former.storeFailed, 5_000), /taken over/)
    t.notOk(other, 'the other one goes on')
  },
)

await t.test('a manager whose order is refused looks whether it was succeeded', async (t) => {
  const { cluster, former, request } = await succeeded(t)
  const refused = cluster.admin.fence({ ...request, client: otherClient }, 9_000)
  refused.catch(() => undefined)
  // Sooner than it asks servers for their state by itself.
  t.match(await cluster.run(former.storeFailed, 100), /taken over/)
})

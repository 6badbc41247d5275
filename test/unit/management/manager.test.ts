/** The manager's calls: input that is refused, servers, watching clients, the store under it. */
import t from 'tap'
import type { CreateVolumeRequest } from '../../../src/control/messages/admin.ts'
import type { WatchEvent } from '../../../src/control/messages/client.ts'
import { configurationClient } from '../../../src/control/services.ts'
import { ClientReports } from '../../../src/management/client-reports.ts'
import { ConfigurationStore } from '../../../src/management/configuration-store.ts'
import { ShutOutTimes } from '../../../src/management/shut-out.ts'
import { WatchHub } from '../../../src/management/watch-hub.ts'
import type { VolumeMap } from '../../../src/volume/map.ts'
import { ControlCluster } from '../../support/control-cluster.ts'
import { ManualClock, settle } from '../../support/manual-clock.ts'
import { MemoryKeyValue } from '../../support/memory-key-value.ts'
import { testClient, testMap } from '../../support/volume-maps.ts'

const mib = 1024 * 1024
const plain: CreateVolumeRequest = {
  name: 'v',
  sizeBytes: 8 * mib,
  stripe: 0,
  partitions: [],
  stalePolicy: 'reject',
  holdMs: 0,
  leaseMs: 0,
}

await t.test('input that is refused names the field and what would do', async (t) => {
  const cluster = await ControlCluster.start({ servers: 2 })
  t.teardown(() => cluster.stop())
  const { admin } = cluster
  const create = (changes: Partial<CreateVolumeRequest>) =>
    cluster.run(admin.createVolume({ ...plain, ...changes }, 9_000))
  const refused: [Partial<CreateVolumeRequest>, RegExp][] = [
    [{ name: 'No' }, /name: "No" is not 1 to 63 of a-z/],
    [{ sizeBytes: 1000 }, /size: 1000 bytes are not a multiple of 512/],
    [{ sizeBytes: 0 }, /size: 0 bytes/],
    [{ sizeBytes: 2 ** 50 }, /size: \d+ bytes do not fit; free bytes: s1 67108864, s2 67108864/],
    [{ stripe: 3 }, /stripe: 3 columns need as many different servers, 2 can take data/],
    [{ stripe: 5000 }, /stripe: 5000 is not 1 to 1000/],
    [{ stripe: 2, sizeBytes: 65536 }, /64 KiB for each column/],
    [{ blockBytes: 1024 }, /block size: 1024 bytes are not 512 or 4096/],
    [{ blockBytes: 4096, sizeBytes: 4608 }, /size: 4608 bytes are not a multiple of 4096/],
    [{ stripeUnitBytes: 65536 }, /stripe unit: the volume has no stripes/],
    [{ stripe: 2, stripeUnitBytes: 1000 }, /stripe unit: 1000 bytes are not a multiple of 64 KiB/],
    [{ stripe: 2, stripeUnitBytes: 2 ** 24 }, /not a multiple of 64 KiB up to 8 MiB/],
    [{ stripe: 2, stripeUnitBytes: 2 ** 18, sizeBytes: 2 ** 18 }, /256 KiB for each column/],
    [{ leaseMs: 1 }, /lease: 1 ms is not 500 to 60000/],
    [{ holdMs: 1e9 }, /hold: 1000000000 ms/],
    [{ partitions: [{ server: 's9', sizeBytes: 512 }], sizeBytes: 0 }, /"s9".*can: s1, s2/],
    [{ partitions: [{ server: 's1', sizeBytes: 512 }] }, /add up to 512 bytes, not to 8388608/],
    [{ partitions: [{ server: 's1', sizeBytes: 7 }], sizeBytes: 0 }, /partition s1: 7 bytes/],
    [{ partitions: [{ server: 's1', sizeBytes: 512 }], stripe: 2 }, /not together/],
  ]
  for (const [changes, message] of refused) await t.rejects(create(changes), { message })
  const placed = await create({
    sizeBytes: 0,
    partitions: [
      { server: 's2', sizeBytes: 4096 },
      { server: 's1', sizeBytes: 1024 },
    ],
    stalePolicy: 'ignore',
    holdMs: 5_000,
  })
  t.match(placed.map, { blocks: 10, stalePolicy: 'ignore', holdMs: 5_000, leaseMs: 2_000 })
  await t.rejects(create({}), { message: /there is a volume "v" already/ })
  const kind = { blockBytes: 4096, removable: true, readOnly: true }
  const striped = { name: 'x', stripe: 2, stripeUnitBytes: 2 ** 18, sizeBytes: 2 ** 20 }
  const { map } = await create({ ...striped, ...kind })
  t.match(map, { ...kind, blocks: 256, segments: [{ stripe: { unitBlocks: 64 } }, {}] })
  const grown = await cluster.run(admin.growVolume({ name: 'x', sizeBytes: 2 ** 21 }, 9_000))
  t.match(grown.map.segments[3], { start: 256, blocks: 256, stripe: { unitBlocks: 64 } })
  const fence = admin.fence({ volume: 'v', client: 'nonsense' }, 9_000)
  await t.rejects(cluster.run(fence), { code: 'invalid', message: /client: "nonsense"/ })
  const uuid = '11111111-1111-4111-8111-111111111111'
  const fenced = await cluster.run(admin.fence({ volume: 'v', client: uuid }, 9_000))
  t.equal(fenced.map.admissions[0]?.client, testClient, 'a UUID is enough')
  const missing = admin.growVolume({ name: 'w', sizeBytes: 512 }, 9_000)
  await t.rejects(cluster.run(missing), { code: 'not-found' })
})

await t.test('space is planned, never over-committed', async (t) => {
  const cluster = await ControlCluster.start({ servers: 1 })
  t.teardown(() => cluster.stop())
  const { admin } = cluster
  const create = (name: string, sizeBytes: number) =>
    admin.createVolume({ ...plain, name, sizeBytes }, 9_000)
  const both = await Promise.allSettled([
    cluster.run(create('a', 40 * mib)),
    cluster.run(create('b', 40 * mib)),
  ])
  t.strictSame(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  const { server } = await cluster.run(admin.showServer({ name: 's1' }, 9_000))
  t.equal(server.plannedBytes, 40 * mib)
  t.equal(server.volumes.length, 1)
})

await t.test('servers: registered, adopted, gone', async (t) => {
  const cluster = new ControlCluster({ servers: 2 })
  t.teardown(() => cluster.stop())
  const { admin, servers } = cluster
  const [s1, s2] = servers as [(typeof servers)[0], (typeof servers)[0]]
  await cluster.startManager()
  const add = (request: { address?: string; name?: string }) =>
    cluster.run(admin.addServer({ address: '', name: '', ...request }, 9_000))
  await t.rejects(add({ address: s1.control }), { message: /no storage server answers at s1:1/ })
  await t.rejects(add({ name: 's1' }), { code: 'not-found' })
  await t.rejects(add({}), { message: /give one of the two/ })
  await s1.start()
  await cluster.clock.advance(10)
  const listed = await cluster.run(admin.listServers({}, 9_000))
  t.match(listed.servers, [{ server: { name: 's1' }, adopted: false, reachable: true }])
  await t.rejects(cluster.run(admin.createVolume(plain, 9_000)), { message: /no server can take/ })
  t.match(await add({ name: 's1' }), { server: { adopted: true, plannedBytes: 0 } })
  await s2.start()
  await add({ address: s2.control })
  await cluster.run(admin.createVolume({ ...plain, stripe: 2 }, 9_000))
  await t.rejects(cluster.run(admin.removeServer({ name: 's1' }, 9_000)), {
    message: /server s1 holds data of v: delete or move these first/,
  })
  s1.kill()
  await cluster.clock.advance(3_000)
  const status = await cluster.run(admin.status({}, 9_000))
  t.match(status.servers, [{ reachable: false }, { reachable: true }])
  t.ok(status.warnings.some((text) => /server s1 does not answer/.test(text)))
  t.equal(status.term, 1)

  cluster.killManager()
  await cluster.startManager()
  await cluster.clock.advance(1_500)
  const after = await cluster.run(admin.status({}, 9_000))
  t.equal(after.term, 2, 'a term for each start')
  t.match(after.servers, [{ adopted: true }, { adopted: true, reachable: true }], 'remembered')
  t.match(after.volumes, [{ name: 'v', behind: ['s1'] }])
  await s1.start()
  await cluster.clock.advance(1_500)
  await cluster.run(admin.deleteVolume({ name: 'v', force: false }, 9_000))
  await cluster.run(admin.removeServer({ name: 's1' }, 9_000))
  t.equal((await cluster.run(admin.status({}, 9_000))).servers.length, 1)
})

await t.test('clients are told: list, listed, changes, keep-alive', async (t) => {
  const cluster = await ControlCluster.start({ servers: 2 })
  t.teardown(() => cluster.stop())
  const { admin, net } = cluster
  await cluster.run(admin.createVolume(plain, 9_000))
  const client = configurationClient(net.host('client').channel('manager:1'))
  const events: WatchEvent[] = []
  let ends = 0
  client.watch(
    { client: testClient },
    {
      event: (event) => events.push(event),
      ended: () => {
        ends += 1
      },
    },
  )
  await cluster.clock.advance(1)
  const kinds = () => events.splice(0).map((event) => Object.keys(event)[0])
  t.strictSame(kinds(), ['map', 'listed'])
  await cluster.clock.advance(2_100)
  t.strictSame(kinds(), ['keepAlive', 'keepAlive'])
  const waiting = client.getMap({ client: testClient, volume: 'v', newerThan: 1 }, 9_000)
  await cluster.run(admin.fence({ volume: 'v', client: testClient }, 9_000))
  const told = events.splice(0).find(({ map }) => map !== undefined)
  t.match(told?.map, { generation: 2, admissions: [{ client: testClient, fenced: true }] })
  t.match(told?.map?.segments[0]?.replicas[0], { portals: ['s1:3260'] })
  t.equal((await cluster.run(waiting)).map?.generation, 2, 'whoever waited for it has it too')
  const old = client.getMap({ client: testClient, volume: 'v', newerThan: 2 }, 9_000)
  t.strictSame(await cluster.run(old), {}, 'nothing newer came in time')
  events.length = 0
  await cluster.run(admin.deleteVolume({ name: 'v', force: true }, 9_000))
  t.ok(events.some(({ gone }) => gone === told?.map?.volumeId))
  await cluster.run(
    client.report(
      { client: testClient, serverId: 'x', portal: 'p', reachable: false, cause: 'reset' },
      9_000,
    ),
  )
  const { reports } = await cluster.run(admin.status({}, 9_000))
  t.match(reports, [{ client: testClient, portal: 'p', reachable: false, cause: 'reset' }])
  const { manager } = cluster
  await manager?.stop()
  await cluster.clock.advance(1)
  t.equal(ends, 1, 'the stream ends with the manager')
})

await t.test('a slow reader gets the newest map of each volume', async (t) => {
  const clock = new ManualClock()
  const maps = [
    testMap({ volumeId: 'a', generation: 1 }),
    testMap({ volumeId: 'b', generation: 2 }),
  ]
  const hub = new WatchHub({ clock, maps: () => maps, managementPath: () => ['m:1'] })
  const sent: WatchEvent[] = []
  let release: () => void = () => undefined
  let room = 2
  hub.watch({
    send: (event) => {
      sent.push(event)
      room -= 1
      return room > 0
    },
    drained: () =>
      new Promise((resolve) => {
        release = resolve
      }),
    end: () => undefined,
    closed: () => undefined,
  })
  t.equal(sent.length, 2, 'the path and one map: then it is full')
  for (let generation = 3; generation < 1000; generation += 1) {
    hub.publish(testMap({ volumeId: 'b', generation }))
  }
  hub.publish(testMap({ volumeId: 'b', generation: 500 }))
  await clock.advance(10_000)
  t.equal(sent.length, 2, 'nothing is piled up, not even keep-alives')
  room = 100
  release()
  await settle()
  t.match(sent.slice(2), [{ map: { volumeId: 'b', generation: 999 } }, { listed: true }])
  hub.publish(testMap({ volumeId: 'a', generation: 1001, deleted: true }))
  t.match(sent.at(-1), { gone: 'a' })
})

await t.test('the configuration store', async (t) => {
  const keyValue = new MemoryKeyValue()
  const first = await ConfigurationStore.open(keyValue)
  const { generation: _, ...draft } = testMap()
  const [one, two] = await Promise.all([
    first.commitMap({ ...draft, volumeId: 'a', name: 'a' }),
    first.commitMap({ ...draft, volumeId: 'b', name: 'b' }),
  ])
  t.strictSame([one.generation, two.generation], [1, 2], 'one counter for all')
  await first.putFence({ volumeId: 'a', client: testClient, sinceWallMs: 5 })
  const second = await ConfigurationStore.open(keyValue)
  t.strictSame([first.term, second.term], [1, 2])
  t.strictSame(second.volumeNamed('b'), two)
  t.equal(second.counter, 2)
  t.equal(second.fence('a')?.client, testClient)
  await t.rejects(first.commitMap(one), { code: 'conflict', message: /taken over/ })
  t.match(await first.failed, /taken over/, 'its owner is told')
  await t.rejects(first.removeFence('a'), /taken over/, 'and nothing is committed after it')
  await second.commitMap({ ...one, deleted: true }, { settlesFence: true })
  t.equal(second.fence('a'), undefined)
  t.equal(second.volumeNamed('a'), undefined)
  await second.forget('a')
  const third = await ConfigurationStore.open(keyValue)
  t.ok(third.wasForgotten('a'))
  t.strictSame(
    [...third.volumes].map((map: VolumeMap) => map.name),
    ['b'],
  )
  t.equal(third.counter, 3)
  await keyValue.transact({ put: [{ key: 'volume/b', value: Buffer.from('nonsense') }] })
  await t.rejects(ConfigurationStore.open(keyValue), { code: 'not-a-store', message: /volume\/b/ })
  await keyValue.transact({ put: [{ key: 'term', value: Buffer.from('x') }] })
  await t.rejects(ConfigurationStore.open(keyValue), { code: 'not-a-store' })
})

await t.test('measures', async (t) => {
  const times = new ShutOutTimes()
  for (const ms of [0.5, 30, 99, 20_000]) times.record(ms)
  const { histogram, ...rest } = times.summary
  t.strictSame(rest, { changes: 4, lastMs: 20_000, maxMs: 20_000, totalMs: 20_129.5 })
  t.strictSame(
    histogram.filter(({ changes }) => changes > 0),
    [
      { upToMs: 1, changes: 1 },
      { upToMs: 50, changes: 1 },
      { upToMs: 100, changes: 1 },
      { upToMs: 0, changes: 1 },
    ],
  )
  const reports = new ClientReports()
  const report = { client: 'c', serverId: 's', reachable: false, cause: '' }
  for (let i = 0; i < 1_500; i += 1) reports.take({ ...report, portal: `p${i}` }, i)
  reports.take({ ...report, portal: 'p600', reachable: true }, 2_000)
  t.equal(reports.all.length, 1_000, 'bounded')
  t.match(reports.all.at(-1), { portal: 'p600', reachable: true })
})

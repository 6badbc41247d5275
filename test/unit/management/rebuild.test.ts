/**
 * A lost configuration store, made anew from the records of the servers: nothing is guessed, and
 * what was served goes on.
 */
import t from 'tap'
import type { ServerFacts, VolumeRecord } from '../../../src/control/messages/server.ts'
import { rebuild, rebuiltFrom, type ServerAnswer } from '../../../src/management/rebuild.ts'
import type { VolumeMap } from '../../../src/volume/map.ts'
import { ControlCluster } from '../../support/control-cluster.ts'
import { testClient, testMap, testSegment, testUuid } from '../../support/volume-maps.ts'

const mib = 1024 * 1024

function answer(number: number, term: number, maps: readonly VolumeMap[]): ServerAnswer {
  const facts: ServerFacts = {
    serverId: testUuid(number),
    name: `s${number}`,
    portals: [`s${number}:3260`],
    control: `s${number}:1`,
    capacityBytes: mib,
    freeBytes: mib,
    processId: 'p',
    version: 'test',
    storeIncarnation: `i${number}`,
  }
  const records = maps.map((map): VolumeRecord => {
    return { map, order: { term, number: 1 }, confirmedGeneration: map.generation, inSync: [] }
  })
  return { facts, records: { records, term } }
}

const server = (number: number) => {
  return { serverId: testUuid(number), name: `s${number}`, incarnation: `i${number}` }
}

function map(generation: number, ...servers: number[]): VolumeMap {
  return testMap({ generation, segments: [testSegment(1, 0, 8, servers.map(server))] })
}

await t.test('the newest map counts, and only where nobody can have a newer one', async (t) => {
  const old = map(7, 1, 2)
  const promoted = map(9, 2, 3)
  t.throws(() => rebuiltFrom([answer(1, 4, [old])], []), {
    code: 'conflict',
    message: /newest state of vol may be on s2, not asked/,
  })
  const two = [answer(1, 4, [old]), answer(2, 5, [promoted])]
  t.throws(() => rebuiltFrom(two, []), { message: /vol may be on s3/ }, 'nor does the newer do')
  const newest = map(11, 3)
  const three = rebuiltFrom([...two, answer(3, 6, [newest])], [])
  t.strictSame(three.maps, [newest])
  t.equal(three.term, 6)
  t.equal(three.counter, 2 ** 32)
  t.strictSame(
    three.servers.map(({ name, declaredDead }) => ({ name, declaredDead })),
    ['s1', 's2', 's3'].map((name) => ({ name, declaredDead: false })),
  )

  const vouched = rebuiltFrom(two, ['s3'])
  t.strictSame(vouched.maps, [promoted])
  t.strictSame(
    vouched.servers.map(({ name, declaredDead }) => `${name} ${declaredDead}`),
    ['s1 false', 's2 false', 's3 true'],
    'the lost one is dead from the start',
  )
  t.throws(() => rebuiltFrom(two, ['s3', 's1']), { message: /s1 has answered/ })
  const later = rebuiltFrom([answer(1, 1, [map(2 ** 32 + 5, 1)])], [])
  t.equal(later.counter, 2 ** 33, 'above what a rebuilt store has given out itself')
  t.strictSame(rebuiltFrom([], []).maps, [], 'nothing is nothing')
})

await t.test('a cluster goes on with a store made anew', async (t) => {
  const cluster = await ControlCluster.start({ servers: 3 })
  t.teardown(() => cluster.stop())
  const kind = { name: 'v', sizeBytes: 8 * mib, stripe: 0, partitions: [], mirror: 2 }
  const request = { ...kind, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
  const { map: created } = await cluster.run(cluster.admin.createVolume(request, 9_000))
  const [segment] = created.segments
  const { segmentId } = segment!
  await cluster.run(cluster.admin.fence({ volume: 'v', client: testClient }, 9_000))
  const gone = { ...request, name: 'gone', mirror: 0 }
  await cluster.run(cluster.admin.createVolume(gone, 9_000))
  await cluster.run(cluster.admin.deleteVolume({ name: 'gone', force: true }, 9_000))
  await cluster.clock.advance(500)
  const primary = cluster.servers.find(({ name }) => name === segment!.replicas[0]!.server)!
  const secondary = cluster.servers.find(({ name }) => name === segment!.replicas[1]!.server)!

  cluster.killManager()
  await cluster.clock.advance(1_000)
  t.ok(primary.mirror!.canServe(segmentId), 'nobody needs a manager for that')
  const controls = cluster.servers.map(({ control }) => control)
  const rpc = cluster.net.host('rebuild')
  await t.rejects(
    cluster.run(rebuild({ keyValue: cluster.store, rpc }, { servers: controls, lost: [] })),
    { code: 'conflict', message: /not empty/ },
  )
  const entries = await cluster.store.range('')
  await cluster.store.transact({ remove: entries.map(({ key }) => key) })
  const someOf = { servers: [primary.control], lost: [] }
  await t.rejects(cluster.run(rebuild({ keyValue: cluster.store, rpc }, someOf)), {
    message: new RegExp(`may be on ${secondary.name}`),
  })
  t.strictSame(await cluster.store.range(''), [], 'and nothing was written')
  await cluster.run(rebuild({ keyValue: cluster.store, rpc }, { servers: controls, lost: [] }))

  await cluster.startManager()
  await cluster.clock.advance(3_000)
  const { admin } = cluster
  const { map: after, status } = await cluster.run(admin.showVolume({ name: 'v' }, 9_000))
  t.ok(after.generation > 2 ** 32, 'no generation is used twice')
  t.strictSame(after.admissions, [{ client: testClient, admission: 1, fenced: true }])
  t.strictSame(status.behind, [], 'every server has taken it')
  t.ok(primary.mirror!.canServe(segmentId), 'served')
  t.equal(
    (await cluster.run(admin.status({}, 9_000))).volumes.length,
    1,
    'the deleted one stays so',
  )
  t.equal((await cluster.run(admin.listServers({}, 9_000))).servers.length, 3)
  primary.kill()
  await cluster.clock.advance(4_000)
  t.ok(secondary.mirror!.canServe(segmentId), 'and it changes as before')
})

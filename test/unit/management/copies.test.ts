/** What administrators ask about copies: making them, where they lie, how they stand. */
import t from 'tap'
import type { CreateVolumeRequest } from '../../../src/control/messages/admin.ts'
import type {
  PartnerCondition,
  SegmentCondition,
  SegmentVerification,
} from '../../../src/control/messages/server.ts'
import type { Candidate } from '../../../src/management/candidate.ts'
import { Conditions } from '../../../src/management/conditions.ts'
import { missingRoom } from '../../../src/management/recovery-room.ts'
import { replicaStatuses } from '../../../src/management/replica-status.ts'
import { volumeWarnings } from '../../../src/management/warnings.ts'
import type { Segment } from '../../../src/volume/map.ts'
import { ControlCluster } from '../../support/control-cluster.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { testMap, testSegment, testUuid } from '../../support/volume-maps.ts'

const mib = 1024 * 1024
const mirrored: CreateVolumeRequest = {
  name: 'v',
  sizeBytes: 8 * mib,
  stripe: 0,
  partitions: [],
  stalePolicy: 'reject',
  holdMs: 0,
  leaseMs: 0,
  mirror: 2,
}

function names(segments: readonly Segment[]): string[] {
  return segments.map(({ replicas }) => replicas.map((each) => each.server).join('+'))
}

await t.test('copies are made on other servers in other domains, and grow', async (t) => {
  const cluster = await ControlCluster.start({ servers: 3 })
  t.teardown(() => cluster.stop())
  const { admin } = cluster
  const create = (changes: Partial<CreateVolumeRequest>) =>
    cluster.run(admin.createVolume({ ...mirrored, ...changes }, 9_000))
  const refused: [Partial<CreateVolumeRequest>, RegExp][] = [
    [{ mirror: 5 }, /mirror: 5 copies are not 1 to 4/],
    [{ mirror: 4 }, /4 copies need 4 failure domains, there are 3: s1, s2, s3/],
    [
      { sizeBytes: 2 ** 40 },
      /2 copies need 2 failure domains with 1099511627776 bytes free, there/,
    ],
    [
      { mirror: 0, sizeBytes: 0, partitions: [part('s1', 's2'), part('s3')] },
      /partition: name as many servers for each/,
    ],
    [
      { mirror: 0, sizeBytes: 0, partitions: [part('s1', 's2', 's3', 's1', 's2')] },
      /partition: 5 copies are not 1 to 4/,
    ],
  ]
  for (const [changes, message] of refused) await t.rejects(create(changes), { message })
  const { map } = await create({})
  t.match(map, {
    copies: 2,
    segments: [{ replicas: [{ state: 'in-sync' }, { state: 'in-sync' }] }],
  })
  t.strictSame(names(map.segments), ['s1+s2'])
  const other = await create({ name: 'w', stripe: 3, mirror: 3 })
  t.strictSame(
    names(other.map.segments).map((each) => each.split('+').sort().join()),
    ['s1,s2,s3', 's1,s2,s3', 's1,s2,s3'],
  )
  const leads = other.map.segments.map(({ replicas }) => replicas[0]?.server)
  t.strictSame(leads.sort(), ['s1', 's2', 's3'])
  t.strictSame(
    numbersOn('s1', [...map.segments, ...other.map.segments]),
    [1, 2, 3, 4],
    'each replica on a server has a number of its own',
  )
  const byHand = { sizeBytes: 0, mirror: 0, partitions: [part('s3', 's2'), part('s2', 's1')] }
  t.strictSame(names((await create({ name: 'x', ...byHand })).map.segments), ['s3+s2', 's2+s1'])
  const grown = await cluster.run(admin.growVolume({ name: 'v', sizeBytes: 16 * mib }, 9_000))
  t.match(grown.map, { copies: 2, segments: [{}, { replicas: [{}, {}] }] })
  const { servers } = await cluster.run(admin.listServers({}, 9_000))
  const planned = servers.reduce((sum, { plannedBytes }) => sum + plannedBytes, 0)
  t.equal(planned, (2 * 16 + 3 * 8 + 2 * 2) * mib, 'every copy is planned for')
  t.equal(servers[0]?.reservedBytes, 6.4375 * mib, 'a tenth, in whole pages')
})

function part(server: string, ...others: string[]) {
  return { server, others, sizeBytes: mib }
}

function numbersOn(server: string, segments: readonly Segment[]): number[] {
  const there = segments.flatMap(({ replicas }) => replicas.filter((one) => one.server === server))
  return there.map(({ number }) => number).sort()
}

await t.test('numbers drawn at once differ; those of a deleted volume come back', async (t) => {
  const cluster = await ControlCluster.start({ servers: 2 })
  t.teardown(() => cluster.stop())
  const { admin } = cluster
  const create = (name: string) => cluster.run(admin.createVolume({ ...mirrored, name }, 9_000))
  const [a, b] = await Promise.all([create('a'), create('b')])
  t.strictSame(numbersOn('s1', [...a!.map.segments, ...b!.map.segments]), [1, 2])
  await cluster.run(admin.deleteVolume({ name: 'a', force: false }, 9_000))
  await cluster.clock.advance(3_000)
  t.strictSame(numbersOn('s1', (await create('c')).map.segments), [1])
})

await t.test('domains: told with a server, or later; what they mean is said', async (t) => {
  const cluster = new ControlCluster({ servers: 3 })
  t.teardown(() => cluster.stop())
  const { admin, servers } = cluster
  await cluster.startManager()
  for (const [index, server] of servers.entries()) {
    await server.start()
    const request = { address: server.control, name: '', domain: index < 2 ? 'rack-1' : '' }
    await cluster.run(admin.addServer(request, 9_000))
  }
  const create = (changes: Partial<CreateVolumeRequest>) =>
    cluster.run(admin.createVolume({ ...mirrored, ...changes }, 9_000))
  const set = (name: string, domain: string) =>
    cluster.run(admin.setDomain({ name, domain }, 9_000))
  await t.rejects(create({ mirror: 3 }), {
    message: /3 copies need 3 failure domains, there are 2: rack-1 \(s1, s2\), s3$/,
  })
  const { map, warnings } = await create({})
  t.strictSame(names(map.segments), ['s1+s3'])
  t.match(warnings, [/no automatic failover of v is certain: in which domain the manager runs/])
  await t.rejects(set('s1', 'no such'), { message: /domain: "no such" is not 1 to 63/ })
  await t.rejects(set('s9', 'rack-1'), { code: 'not-found' })
  t.equal((await set('s3', 'rack-1')).server.domain, 'rack-1')
  const { warnings: now } = await cluster.run(admin.status({}, 9_000))
  t.ok(now.some((text) => /copies of the same data are on s1, s3, all in domain rack-1/.test(text)))
  t.ok(
    now.some((text) =>
      /no space for recovery where s1 or s3 is lost: .* of v finds no room/.test(text),
    ),
  )
  t.notOk(
    now.some((text) => /one copy/.test(text)),
    'nothing has one copy',
  )
  cluster.killManager()
  await cluster.startManager()
  await cluster.clock.advance(3_000)
  t.equal((await cluster.run(admin.showServer({ name: 's1' }, 9_000))).server.domain, 'rack-1')
  t.equal((await set('s3', '')).server.domain, '')
})

await t.test('a share of each server is kept for recovery once anything is mirrored', async (t) => {
  const cluster = await ControlCluster.start({ servers: 2 })
  t.teardown(() => cluster.stop())
  const { admin } = cluster
  const create = (name: string, changes: Partial<CreateVolumeRequest>) =>
    cluster.run(admin.createVolume({ ...mirrored, name, ...changes }, 9_000))
  await t.rejects(create('all', { sizeBytes: 64 * mib }), { message: /mirror: 2 copies need/ })
  await create('alone', { mirror: 1, sizeBytes: 64 * mib })
  await cluster.run(admin.deleteVolume({ name: 'alone', force: false }, 9_000))
  await cluster.clock.advance(3_000)
  await create('v', { sizeBytes: 20 * mib })
  const tooMuch = create('single', { mirror: 1, sizeBytes: 2 * 44 * mib })
  await t.rejects(tooMuch, { message: /do not fit; free bytes: s1 39387136/ })
  await create('single', { mirror: 1, sizeBytes: 2 * 37 * mib })
})

await t.test('how fast and when copies are brought up is kept', async (t) => {
  const cluster = await ControlCluster.start({ servers: 1 })
  t.teardown(() => cluster.stop())
  const { admin } = cluster
  const recovery = (request: { bytesPerSecond?: number; graceMs?: number }) =>
    cluster.run(admin.recovery(request, 9_000))
  t.strictSame(await recovery({}), {
    settings: { bytesPerSecond: 64 * mib, graceMs: 600_000 },
    replicas: [],
  })
  await t.rejects(recovery({ bytesPerSecond: 5 }), { message: /limit: 5 bytes a second is less/ })
  await t.rejects(recovery({ graceMs: 2 ** 40 }), { message: /grace: \d+ ms is not 0 to/ })
  await recovery({ bytesPerSecond: 0 })
  await recovery({ graceMs: 5_000 })
  cluster.killManager()
  await cluster.startManager()
  t.strictSame((await recovery({})).settings, { bytesPerSecond: 0, graceMs: 5_000 })
})

await t.test('a copy that is away is shown, with the time until it is replaced', async (t) => {
  const cluster = await ControlCluster.start({ servers: 3 })
  t.teardown(() => cluster.stop())
  const { admin, servers, clock } = cluster
  const { map } = await cluster.run(admin.createVolume(mirrored, 9_000))
  const [, secondary] = map.segments[0]!.replicas
  const rig = servers.find(({ serverId }) => serverId === secondary?.serverId)!
  const recovery = () => cluster.run(admin.recovery({ graceMs: 60_000 }, 9_000))
  t.strictSame((await recovery()).replicas, [])
  rig.kill()
  await clock.advance(10_000)
  const [away] = (await recovery()).replicas
  t.match(away, { volume: 'v', replica: { server: rig.name, state: 'gone', primary: false } })
  const { replacedInMs = 0 } = away!.replica
  t.ok(replacedInMs > 45_000 && replacedInMs < 60_000, `replaced in ${replacedInMs} ms`)
  const { warnings } = await cluster.run(admin.status({}, 9_000))
  t.ok(warnings.includes(`volume v: the copy on ${rig.name} is gone`))
  await clock.advance(60_000)
  const shown = await cluster.run(admin.showVolume({ name: 'v' }, 9_000))
  t.notOk(
    shown.status.replicas.some(({ server }) => server === rig.name),
    'another took its place',
  )
  t.equal(shown.status.replicas.length, 2)
})

await t.test('comparing: started at every primary, and told of', async (t) => {
  const cluster = await ControlCluster.start({ servers: 2 })
  t.teardown(() => cluster.stop())
  const { admin, servers } = cluster
  const verify = (name: string, start: boolean) =>
    cluster.run(admin.verifyVolume({ name, start, repair: true }, 9_000))
  await cluster.run(admin.createVolume({ ...mirrored, name: 'one', mirror: 1 }, 9_000))
  await t.rejects(verify('one', true), { code: 'invalid', message: /has one copy/ })
  const { map } = await cluster.run(admin.createVolume({ ...mirrored, stripe: 2 }, 9_000))
  const started: string[] = []
  const [first, second] = map.segments as [Segment, Segment]
  for (const server of servers) {
    server.verify = ({ volumeId, start, repair }) => {
      t.equal(volumeId, map.volumeId)
      t.equal(repair, true)
      if (start) started.push(server.name)
      const led = first.replicas[0]?.serverId === server.serverId ? first : undefined
      return { segments: led === undefined ? [] : [verification(led.segmentId)] }
    }
  }
  await verify('v', true)
  t.strictSame(started.sort(), ['s1', 's2'])
  const { segments } = await verify('v', false)
  t.equal(started.length, 2)
  t.match(segments, [
    {
      server: first.replicas[0]?.server,
      verification: { state: 'done', differingPages: 1 },
      named: [{ server: 's2', lba: 8, blocks: 1 }],
    },
    { server: second.replicas[0]?.server, verification: { state: 'none' } },
  ])
  servers.find(({ name }) => name === second.replicas[0]?.server)?.kill()
  const silent = await verify('v', false)
  t.match(silent.segments[1], { verification: { state: 'running' } }, 'it may come back')
  await t.rejects(verify('v', true), { message: /./ }, 'but nothing is begun there')
})

function verification(segmentId: string): SegmentVerification {
  return {
    segmentId,
    state: 'done',
    cause: '',
    totalBytes: mib,
    comparedBytes: mib,
    bytesPerSecond: 0,
    differingPages: 1,
    repairedPages: 1,
    named: [{ serverId: testUuid(2), lba: 8, blocks: 1 }],
  }
}

const server = (n: number) => ({ serverId: `id${n}`, name: `s${n}`, incarnation: 'x' })

function condition(changes: Partial<SegmentCondition> = {}): SegmentCondition {
  return {
    segmentId: testUuid(1),
    partners: [],
    primarySilent: false,
    comparingBytes: 0,
    diskFailed: false,
    ...changes,
  }
}

function partner(serverId: string, changes: Partial<PartnerCondition> = {}): PartnerCondition {
  return {
    serverId,
    state: 'confirming',
    behindBytes: 0,
    totalBytes: 0,
    bytesPerSecond: 0,
    incarnation: 'x',
    copiedBytes: 0,
    ...changes,
  }
}

await t.test('conditions: the newest word of each server', async (t) => {
  const clock = new ManualClock()
  const conditions = new Conditions(clock)
  const volumeId = testUuid(0xabc)
  const segmentId = testUuid(1)
  conditions.take('id1', { volumeId, generation: 4, segments: [condition()] })
  await clock.advance(5)
  const newer = condition({ partners: [partner('id2', { state: 'silent' })] })
  conditions.take('id1', { volumeId, generation: 5, segments: [newer] })
  conditions.take('id2', { volumeId, generation: 5, segments: [condition()] })
  t.match(conditions.by(volumeId, segmentId, 'id1'), { generation: 5, condition: newer })
  t.equal(conditions.of(volumeId, segmentId).length, 2)
  t.strictSame(conditions.of(volumeId, testUuid(9)), [])
  const where = { volumeId, segmentId, serverId: 'id1' }
  t.equal(conditions.partner(where, 'id2')?.state, 'silent')
  t.equal(conditions.partner(where, 'id3'), undefined)
  conditions.heard({ serverId: 'id1' }, [])
  t.equal(conditions.by(volumeId, segmentId, 'id1'), undefined, 'it holds nothing of it now')
  conditions.forget('id2')
  t.strictSame(conditions.of(volumeId, segmentId), [])
})

await t.test('each copy: the map, made finer by the primary', async (t) => {
  const conditions = new Conditions(new ManualClock())
  const [base] = [testSegment(1, 0, 2048, [server(1), server(2), server(3), server(4), server(5)])]
  const replicas = base!.replicas.map((each, index) => {
    return index < 2 ? each : { ...each, state: 'behind' as const }
  })
  const map = testMap({ segments: [{ ...base!, replicas }] })
  const away = new Set<string>(['id5'])
  const dead = new Set<string>()
  const states = () =>
    replicaStatuses(map, {
      conditions,
      isReachable: (serverId) => !away.has(serverId),
      isDead: (serverId) => dead.has(serverId),
      replacedInMs: (_, serverId) => (serverId === 'id5' ? 9_000 : undefined),
    })
  const say = (generation: number, partners: PartnerCondition[]) => {
    const segments = [condition({ partners, comparingBytes: 7 })]
    conditions.take('id1', { volumeId: map.volumeId, generation, segments })
  }
  const text = () => states().map(({ state }) => state)
  t.strictSame(text(), ['in-sync', 'in-sync', 'behind', 'behind', 'gone'], 'nothing was said yet')
  say(map.generation - 1, [partner('id2', { state: 'silent' })])
  t.strictSame(text(), ['in-sync', 'in-sync', 'behind', 'behind', 'gone'], 'of an older map')
  const copying = { state: 'copying', behindBytes: 5, bytesPerSecond: 6, copiedBytes: 8 } as const
  say(map.generation, [
    partner('id2', { state: 'silent', behindBytes: 3 }),
    partner('id3', copying),
    partner('id4', { state: 'up-to-date' }),
  ])
  t.strictSame(text(), ['in-sync', 'silent', 'syncing', 'up-to-date', 'gone'])
  t.match(states(), [
    { primary: true, totalBytes: mib, comparingBytes: 7 },
    { primary: false, behindBytes: 0 },
    { behindBytes: 5, bytesPerSecond: 6, copiedBytes: 8, replacedInMs: undefined },
    {},
    { replacedInMs: 9_000 },
  ])
  dead.add('id3')
  away.add('id1')
  t.strictSame(text(), ['silent', 'silent', 'gone', 'up-to-date', 'gone'])
})

await t.test('warnings of the set-up of a volume', async (t) => {
  const map = testMap({ segments: [testSegment(1, 0, 8, [server(1), server(2)])] })
  const warn = (domains: Record<string, string>, managerDomain: string) =>
    volumeWarnings(map, { domains: new Map(Object.entries(domains)), managerDomain })
  t.strictSame(warn({ s1: '', s2: '' }, ''), [], 'nobody told of domains')
  t.strictSame(warn({ s1: 'a', s2: 'b' }, 'c'), [])
  t.strictSame(warn({ s1: 'a', s2: 'b' }, 'b'), [
    'no automatic failover of vol when domain b fails: the only manager shares it with s2',
  ])
  t.match(warn({ s1: 'a', s2: '' }, ''), [/not told \(manager --domain\)/])
  t.match(warn({ s1: 'a', s2: 'a' }, 'c'), [/on s1, s2, all in domain a/])
  const one = { ...map, copies: 1 }
  t.strictSame(volumeWarnings(one, { domains: new Map([['s1', 'a']]), managerDomain: 'a' }), [])
})

await t.test(
  'room for recovery: all that one server holds, outside the other copies',
  async (t) => {
    const candidates = (...freePages: number[]): Candidate[] =>
      freePages.map((free, i) => {
        const id = i + 1
        return { serverId: `id${id}`, name: `s${id}`, domain: '', freePages: free, ledPages: 0 }
      })
    const missing = (room: readonly Candidate[]) =>
      missingRoom([map], { candidates: room, domainOf: (id) => `server ${id}` })
    const map = testMap({
      segments: [
        testSegment(1, 0, 10 * 128, [server(1), server(2)]),
        testSegment(2, 1280, 10 * 128, [server(1), server(2)]),
      ],
    })
    t.strictSame(missing(candidates(50, 50, 20)), [])
    t.strictSame(missing(candidates(50, 50, 19)), [
      { server: 's1', volumes: ['vol'] },
      { server: 's2', volumes: ['vol'] },
    ])
    t.strictSame(missing(candidates(50, 50)).length, 2, 'a third domain is missing')
    t.strictSame(missing(candidates(50, 50, 10, 10)), [])
    t.strictSame(missingRoom([{ ...map, copies: 1 }], { candidates: [], domainOf: () => '' }), [])
  },
)

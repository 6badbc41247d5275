/**
 * The shim towards its initiators, in a whole cluster in memory: what is held and for how long,
 * who is shut out, what a new map means for a session, and that nothing which a dead front
 * connection left behind comes after what its initiator sends on another.
 */
import t, { type Test } from 'tap'
import { describe } from '../../support/initiator.ts'
import { MemoryCluster } from '../../support/memory-cluster.ts'
import { RawInitiator, read10, write10 } from '../../support/raw-initiator.ts'
import { Relay } from '../../support/relay.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { testClient } from '../../support/volume-maps.ts'

const mib = 1024 * 1024
const conflict = 'status 18'
const busy = 'status 8'
const notReady = 'sense 2/4/0'
/** For a machine that does much else. */
const patienceMs = 170_000
t.setTimeout(patienceMs)

async function started(t: Test, volume: { holdMs?: number } = {}) {
  const cluster = await MemoryCluster.start({
    servers: 1,
    volumes: [{ name: 'v', sizeBytes: 4 * mib, ...volume }],
  })
  t.teardown(() => cluster.stop())
  return cluster
}

t.test('commands are held, then BUSY, then NOT READY, then served again', async (t) => {
  const cluster = await started(t, { holdMs: 30_000 })
  const initiator = await cluster.attach('v')
  t.equal(describe(await cluster.run(initiator.write(0, 8, 1).answer)), 'good')
  await cluster.run(cluster.servers[0]!.stop())
  const startMs = cluster.clock.nowMs()
  const held = initiator.write(0, 8, 2)
  await cluster.pass(1_000)
  t.equal(describe(await cluster.run(initiator.testUnitReady().answer)), 'good', 'while held')
  t.equal(describe(await cluster.run(held.answer)), busy)
  const busyMs = cluster.clock.nowMs() - startMs
  t.ok(busyMs >= 19_900 && busyMs < 21_000, `BUSY after ${busyMs} ms`)
  t.equal(describe(await cluster.run(initiator.write(0, 8, 3).answer)), notReady)
  const notReadyMs = cluster.clock.nowMs() - startMs
  t.ok(notReadyMs >= 29_900 && notReadyMs < 31_000, `NOT READY after ${notReadyMs} ms`)
  t.equal(describe(await cluster.run(initiator.testUnitReady().answer)), notReady)
  t.equal(describe(await cluster.run(initiator.write(0, 8, 4).answer)), notReady, 'at once')
  t.ok(cluster.clock.nowMs() - startMs < 31_000)
  await cluster.run(cluster.servers[0]!.start())
  await cluster.until(async () => {
    return describe(await cluster.run(initiator.testUnitReady().answer)) === 'good'
  })
  t.strictSame(await cluster.run(initiator.read(0, 1)), [1], 'nothing that was given up came')
  t.equal(describe(await cluster.run(initiator.write(0, 8, 5).answer)), 'good')
})

t.test('a held command goes on when the server is back', async (t) => {
  const cluster = await started(t)
  const initiator = await cluster.attach('v')
  await cluster.run(initiator.write(0, 8, 1).answer)
  await cluster.run(cluster.servers[0]!.stop())
  const held = [initiator.write(0, 8, 2), initiator.write(8, 8, 3), initiator.flush()]
  await cluster.pass(3_000)
  await cluster.run(cluster.servers[0]!.start())
  for (const { answer } of held) t.equal(describe(await cluster.run(answer)), 'good')
  t.strictSame(await cluster.run(initiator.read(7, 2)), [2, 3])
  const [volume] = (await cluster.status()).volumes
  t.ok(volume!.longestStallMs >= 3_000, `${volume!.longestStallMs} ms`)
})

t.test('fenced: what is held and what is new is a conflict, and changes nothing', async (t) => {
  const cluster = await started(t)
  const initiator = await cluster.attach('v')
  await cluster.run(initiator.write(0, 8, 1).answer)
  const { relay } = cluster.servers[0]!
  relay.hang()
  const flying = initiator.write(0, 8, 2)
  await cluster.pass(5)
  const fenced = cluster.admin.fence({ volume: 'v', client: testClient }, 9_000)
  await cluster.run(fenced)
  t.equal(describe(await cluster.run(flying.answer)), conflict, 'in flight')
  t.equal(describe(await cluster.run(initiator.write(0, 8, 3).answer)), conflict, 'new')
  relay.release()
  await cluster.pass(3_000)
  await cluster.run(cluster.admin.admit({ volume: 'v', client: testClient }, 9_000))
  t.strictSame(await cluster.run(initiator.read(0, 1)), [1])
  t.equal(describe(await cluster.run(initiator.write(0, 8, 4).answer)), 'good')
})

t.test('a grown volume is told of, and has its new blocks', async (t) => {
  const cluster = await started(t)
  const initiator = await cluster.attach('v')
  await cluster.run(initiator.write(0, 8, 1).answer)
  await cluster.run(cluster.admin.growVolume({ name: 'v', sizeBytes: 8 * mib }, 9_000))
  await cluster.pass(50)
  t.equal(describe(await cluster.run(initiator.testUnitReady().answer)), 'sense 6/2a/9')
  const last = (8 * mib) / 512 - 8
  t.equal(describe(await cluster.run(initiator.write(last, 8, 2).answer)), 'good')
  t.equal(describe(await cluster.run(initiator.write((4 * mib) / 512 - 4, 8, 3).answer)), 'good')
  t.strictSame(await cluster.run(initiator.read((4 * mib) / 512 - 5, 10)), [
    0,
    ...Array(8).fill(3),
    0,
  ])
})

t.test('a deleted volume is no logical unit any more', async (t) => {
  const cluster = await started(t)
  const initiator = await cluster.attach('v')
  await cluster.run(initiator.write(0, 8, 1).answer)
  await cluster.run(cluster.admin.deleteVolume({ name: 'v', force: true }, 9_000))
  await cluster.pass(50)
  t.equal(describe(await cluster.run(initiator.write(0, 8, 2).answer)), 'sense 5/25/0')
  await t.rejects(cluster.attach('v', { isid: 2 }), /not found/)
})

t.test('an aborted write is ended at the server before the abort is answered', async (t) => {
  const cluster = await started(t)
  const initiator = await cluster.attach('v')
  await cluster.run(initiator.write(0, 8, 1).answer)
  const { relay } = cluster.servers[0]!
  relay.hang()
  const flying = initiator.write(0, 8, 2)
  await cluster.pass(5)
  flying.abort()
  t.equal(describe(await cluster.run(flying.answer)), 'aborted')
  t.equal((await cluster.status()).volumes[0]!.paths[0]!.route, 'management', 'after reinstatement')
  relay.release()
  await cluster.pass(100)
  t.strictSame(await cluster.run(initiator.read(0, 1)), [1])
})

t.test(
  'an aborted write whose server never comes back keeps nobody waiting for ever',
  async (t) => {
    const cluster = await started(t)
    const initiator = await cluster.attach('v')
    await cluster.run(initiator.write(0, 8, 1).answer)
    const { relay } = cluster.servers[0]!
    relay.hang()
    const flying = initiator.write(0, 8, 2)
    await cluster.pass(5)
    await cluster.run(cluster.servers[0]!.stop())
    flying.abort()
    await cluster.pass(5)
    initiator.leg.close()
    // A login after it waits until the command was let go.
    const startMs = cluster.clock.nowMs()
    await cluster.until(
      () =>
        cluster.attach('v').then(
          () => true,
          () => false,
        ),
      40_000,
    )
    const waitedMs = cluster.clock.nowMs() - startMs
    t.ok(waitedMs < 25_000, `${waitedMs} ms`)
    await cluster.run(cluster.servers[0]!.start())
    const again = await cluster.attach('v', { isid: 2 })
    t.equal(describe(await cluster.run(again.write(0, 8, 3).answer)), 'good')
    relay.release()
    await cluster.pass(100)
    t.strictSame(await cluster.run(again.read(0, 1)), [3])
  },
)

t.test('a command waits for a sign of life from its front connection', async (t) => {
  const cluster = await started(t)
  const silent = await RawInitiator.connect(cluster.network, cluster.portal)
  t.teardown(() => silent.close())
  const login = silent.login({ targetName: 'iqn.2026-11.io.palisade:v' })
  t.equal((await cluster.run(login)).status, 0)
  const data = Buffer.alloc(512, 0xff)
  const write = { cdb: write10(0, 1), data, immediateBytes: 512 }
  const tag = silent.command(write)
  await cluster.pass(3_000)
  const [volume] = (await cluster.status()).volumes
  t.equal(volume!.paths[0]!.direct.commands, 0, 'not forwarded')
  await silent.answerPing()
  await cluster.pass(10)
  // The ping was sent 3 s ago: its answer proves too little. A new one is answered at once.
  t.equal((await cluster.status()).volumes[0]!.paths[0]!.direct.commands, 0, 'an old proof')
  await silent.answerPing()
  t.equal((await cluster.run(silent.end(tag))).status, 0)
  const read = silent.run({ cdb: read10(0, 1), readBytes: 512 })
  t.equal((await cluster.run(read)).status, 0, 'the proof holds for the next')
})

t.test('a second path beside one that cannot answer meanwhile', async (t) => {
  const cluster = await started(t)
  const second = await cluster.shim.listen('127.0.0.1:0')
  const silent = await RawInitiator.connect(cluster.network, cluster.portal)
  t.teardown(() => silent.close())
  const names = {
    targetName: 'iqn.2026-11.io.palisade:v',
    initiatorName: 'iqn.2026-11.example:a',
  }
  t.equal((await cluster.run(silent.login(names))).status, 0)
  const write = { cdb: write10(0, 1), data: Buffer.alloc(512, 1), immediateBytes: 512 }
  const before = silent.command(write)
  await cluster.pass(10)
  await silent.answerPing()
  t.equal((await cluster.run(silent.end(before))).status, 0)
  const sent = async (): Promise<number> =>
    (await cluster.status()).volumes[0]!.paths[0]!.direct.commands
  const fromMs = cluster.clock.nowMs()
  const other = await cluster.attach('v', { isid: 2, address: second })
  t.ok(cluster.clock.nowMs() - fromMs < 500, 'the login does not wait for the idle path')
  t.notOk(silent.ended, 'which is left as it is')
  const soFar = await sent()
  const late = silent.command(write)
  await cluster.pass(1_000)
  t.equal(await sent(), soFar, 'its proof from before the login counts no more')
  t.equal(describe(await cluster.run(other.write(0, 8, 2).answer)), 'good')
  await silent.answerPing()
  t.equal((await cluster.run(silent.end(late))).status, 0, 'it lives, and goes on')
  t.strictSame(await cluster.run(other.read(1, 1)), [2])

  const same = await cluster.attach('v', { isid: 3 })
  t.ok(silent.ended, 'where it logs in itself, the silent path must answer or end')
  t.equal(describe(await cluster.run(same.write(0, 8, 3).answer)), 'good')
})

/** Commands that touch no block, each with what it is answered when it is carried out. */
const setting = [
  { name: 'RESERVE (6)', cdb: '160000000000' },
  { name: 'RELEASE (6)', cdb: '170000000000' },
  { name: 'START STOP UNIT', cdb: '1b0000000100' },
  { name: 'MODE SELECT (6)', cdb: '151000001000', data: '000000000a0a021000000000ffff0000' },
  {
    name: 'PERSISTENT RESERVE OUT',
    cdb: '5f060000000000001800',
    data: `${'00'.repeat(8)}${'00'.repeat(7)}09${'00'.repeat(8)}`,
  },
]

t.test('what a session that was passed over sets waits for its sign of life', async (t) => {
  const cluster = await started(t)
  const second = await cluster.shim.listen('127.0.0.1:0')
  const silent = await RawInitiator.connect(cluster.network, cluster.portal)
  t.teardown(() => silent.close())
  const names = {
    targetName: 'iqn.2026-11.io.palisade:v',
    initiatorName: 'iqn.2026-11.example:a',
  }
  t.equal((await cluster.run(silent.login(names))).status, 0)
  const asleep = silent.command({ cdb: Buffer.from('1b0000000100', 'hex') })
  t.equal((await cluster.run(silent.end(asleep))).status, 0, 'not where nobody passed it over')
  const first = silent.command({ cdb: write10(0, 1), data: Buffer.alloc(512), immediateBytes: 512 })
  await cluster.pass(10)
  await silent.answerPing()
  t.equal((await cluster.run(silent.end(first))).status, 0)
  for (const [index, { name, cdb, data }] of setting.entries()) {
    const other = await cluster.attach('v', { isid: 2 + index, address: second })
    const bytes = data === undefined ? undefined : Buffer.from(data, 'hex')
    const body = bytes === undefined ? {} : { data: bytes, immediateBytes: bytes.length }
    const late = silent.command({ cdb: Buffer.from(cdb, 'hex'), ...body })
    let ended = false
    const end = silent.end(late).then((response) => {
      ended = true
      return response
    })
    await cluster.pass(500)
    t.notOk(ended, `${name} waits`)
    await silent.answerPing()
    t.equal((await cluster.run(end)).status, 0, `${name} is carried out`)
    other.leg.close()
    await cluster.pass(5)
  }
  const inquiry = silent.run({ cdb: Buffer.from('120000002400', 'hex'), readBytes: 36 })
  t.equal((await cluster.run(inquiry)).status, 0, 'what changes nothing does not wait')

  const other = await cluster.attach('v', { isid: 9, address: second })
  const given = silent.command({ cdb: Buffer.from('160000000000', 'hex') })
  t.equal((await cluster.run(silent.end(given))).status, 8, 'BUSY, when no sign comes')
  t.equal(
    describe(await cluster.run(other.write(0, 8, 2).answer)),
    'good',
    'and nothing is reserved',
  )
})

/** An initiator breaks its connection, with writes in it, and sends others on a new one. */
async function comeBack(cluster: MemoryCluster, relay: Relay, seed: number): Promise<string[]> {
  const random = seededRandom(seed)
  const dead = await cluster.attach('v', { isid: 1, address: relay.address })
  await cluster.run(dead.read(0, 1))
  const old = Array.from({ length: 4 }, (_, i) => dead.write(i * 8, 8, seed * 1000 + i))
  for (let turn = random.below(4); turn > 0; turn--) await cluster.clock.advance(0)
  relay.hang()
  await cluster.clock.advance(random.below(3))
  const next = await cluster.attach('v', { isid: 2 + (seed % 2) })
  const wrong: string[] = []
  for (let i = 0; i < 4; i++) {
    const answer = await cluster.run(next.write(i * 8, 8, seed * 1000 + 500 + i).answer)
    if (describe(answer) !== 'good') wrong.push(`seed ${seed}: ${describe(answer)}`)
  }
  relay.release()
  await cluster.pass(20)
  for (let i = 0; i < 4; i++) {
    const stamps = await cluster.run(next.read(i * 8, 8))
    if (stamps.some((stamp) => stamp !== seed * 1000 + 500 + i))
      wrong.push(`seed ${seed}: ${stamps}`)
  }
  await Promise.all(old.map(({ answer }) => cluster.run(answer)))
  next.leg.close()
  await cluster.pass(5)
  return wrong
}

const again = 'an initiator that comes back under a new ISID, a hundred times: its later writes win'
t.test(again, { timeout: patienceMs }, async (t) => {
  const cluster = await started(t)
  const relay = await Relay.open(cluster.network, cluster.portal)
  const wrong: string[] = []
  for (let seed = 1; seed <= 100; seed++) wrong.push(...(await comeBack(cluster, relay, seed)))
  t.strictSame(wrong, [])
})

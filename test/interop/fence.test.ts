/**
 * The fence at the wire: raw PDUs against a real storage server process, whose manager is the test.
 * Whatever is not of the server's own generation is refused (or met with silence, as the volume's
 * policy says) and changes nothing.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Opcode, RESERVED_TAG } from '../../src/iscsi/pdu/opcode.ts'
import { clientIqn, replicationIqn, serverVolumeIqn } from '../../src/volume/names.ts'
import { decodeRefusal } from '../../src/volume/refusal.ts'
import { Capture } from '../support/capture.ts'
import {
  type CommandEnd,
  type CommandOptions,
  generationAhs,
  type LoginOptions,
  RawInitiator,
  read10,
  write10,
} from '../support/raw-initiator.ts'
import { legNetwork, ServerUnderTest } from '../support/server-under-test.ts'
import { TestManager } from '../support/test-manager.ts'
import { otherClient, testClient, type testMap, testSegment } from '../support/volume-maps.ts'

const blocks = 2048
const largest = 2n ** 64n - 1n
const targetName = serverVolumeIqn('s1', 'vol')
t.setTimeout(180_000)
let nextLogin = 1_000
const capture = await Capture.start([])
t.teardown(() => capture.discard())

/** A manager, a server, and a volume of generation 5. */
async function setUp(t: Test, changes: Parameters<typeof testMap>[0] = {}) {
  const manager = await TestManager.start()
  t.teardown(() => manager.stop())
  const server = await ServerUnderTest.start({ manager })
  t.teardown(() => server.stop())
  await capture.add(server.portals)
  const map = await server.createVolume(blocks, changes)
  return { manager, server, map }
}

async function connect(
  server: ServerUnderTest,
  options: LoginOptions = {},
  portal = server.portal,
) {
  const raw = await RawInitiator.connect(legNetwork, portal)
  const keys = { 'X-io.palisade.Generation': '1', 'X-io.palisade.Login': `${nextLogin++}` }
  const outcome = await raw.login({ initiatorName: testClient, targetName, keys, ...options })
  return { raw, outcome }
}

async function loggedIn(
  server: ServerUnderTest,
  options: LoginOptions = {},
): Promise<RawInitiator> {
  const { raw, outcome } = await connect(server, options)
  if (outcome.status !== 0) throw new Error(`login: ${outcome.status.toString(16)}`)
  return raw
}

const sameBlock = (value: number): Buffer => Buffer.alloc(512, value)

function writing(lba: number, data: Buffer, ahs?: Buffer): CommandOptions {
  const cdb = write10(lba, data.length / 512)
  return { cdb, data, immediateBytes: data.length, ...(ahs === undefined ? {} : { ahs }) }
}

function reading(lba: number, ahs?: Buffer): CommandOptions {
  return { cdb: read10(lba, 1), readBytes: 512, ...(ahs === undefined ? {} : { ahs }) }
}

/** READ (16) of one block. SBC-3 5.13. */
const read16 = Buffer.from('88000000000000000000000000010000', 'hex')
const readCapacity = Buffer.from('25000000000000000000', 'hex')
const synchronizeCache = Buffer.from('35000000000000000000', 'hex')
const inquiry = Buffer.from('120000002400', 'hex')
const testUnitReady = Buffer.alloc(6)

/** `good`, `refused REASON generation N`, or the status. */
function told(end: CommandEnd): string {
  if (end.status === 0) return 'good'
  const refusal = decodeRefusal(end.sense)
  if (refusal === undefined) return `status ${end.status} ${end.sense.toString('hex')}`
  return `refused ${refusal.reason} generation ${refusal.generation}`
}

async function say(raw: RawInitiator, options: CommandOptions): Promise<string> {
  return told(await raw.run(options))
}

t.test('older, newer, zero and 2^64 - 1 are refused and change nothing', async (t) => {
  const { server, manager, map } = await setUp(t)
  const raw = await loggedIn(server)
  const right = generationAhs(5)
  t.equal(await say(raw, writing(7, sameBlock(0xaa), right)), 'good')
  const cases: readonly (readonly [bigint, number])[] = [
    [4n, 1],
    [0n, 1],
    [6n, 2],
    [2n ** 53n, 2],
    [largest, 2],
  ]
  for (const [generation, reason] of cases) {
    const ahs = generationAhs(generation)
    const expected = `refused ${reason} generation 5`
    t.equal(await say(raw, writing(7, sameBlock(0xbb), ahs)), expected, `write, ${generation}`)
    t.equal(await say(raw, reading(7, ahs)), expected, `read, ${generation}`)
    t.equal(await say(raw, { cdb: synchronizeCache, ahs }), expected, `flush, ${generation}`)
    t.equal(await say(raw, { cdb: readCapacity, readBytes: 8, ahs }), expected, 'READ CAPACITY')
    t.equal(await say(raw, { cdb: inquiry, readBytes: 36, ahs }), 'good', 'INQUIRY')
    t.equal(await say(raw, { cdb: testUnitReady, ahs }), 'good', 'TEST UNIT READY')
  }
  const read = await raw.run(reading(7, right))
  t.ok(read.data.equals(sameBlock(0xaa)), 'the block is as it was')
  const { volumes, counters } = await manager.describe('s1')
  t.match(volumes, [{ generation: 5, serving: true }], 'a newer one does not move the server')
  t.match(counters, [{ volumeId: map.volumeId, reads: 1, writes: 1, writtenBytes: 512 }])
  const refusals = counters[0]?.refusals ?? []
  t.strictSame(
    new Map(refusals.map(({ reason, count }) => [reason, count])),
    new Map([
      [1, 8],
      [2, 12],
    ]),
  )
  raw.close()
})

t.test(
  'a refusal is descriptor sense, with the reason and the generation of the server',
  async (t) => {
    const { server } = await setUp(t, { generation: 0x1_0000_0007 })
    const raw = await loggedIn(server)
    const { status, sense } = await raw.run(writing(0, sameBlock(1), generationAhs(9)))
    t.equal(status, 2)
    // 72h, ABORTED COMMAND, 80h/01h, 12 bytes more: the vendor descriptor.
    t.equal(sense.subarray(0, 20).toString('hex'), '720b80010000000c800a01000000000100000007')
    raw.close()
  },
)

t.test('missing and malformed headers: refused, connection kept, server alive', async (t) => {
  const { server } = await setUp(t)
  const raw = await loggedIn(server)
  const right = generationAhs(5)
  t.equal(await say(raw, writing(3, sameBlock(0x11), right)), 'good')
  const segment = (bytes: string): Buffer => Buffer.from(bytes, 'hex')
  const malformed: Readonly<Record<string, Buffer | undefined>> = {
    'no header': undefined,
    'too short': segment('00083f00' + '0000000000000500'),
    'too long': segment('000a3f00' + '0000000000000005' + '00000000'),
    'unknown flag': segment('00093f08' + '0000000000000005'),
    'unknown type': segment('00093d00' + '0000000000000005'),
    'two headers': Buffer.concat([right, right]),
    'identity of a wrong length': Buffer.concat([right, segment('00053e00' + '00000000')]),
    'another type beside the right one': Buffer.concat([right, segment('00053d00' + '00000000')]),
  }
  for (const [name, ahs] of Object.entries(malformed)) {
    t.equal(await say(raw, writing(3, sameBlock(0x22), ahs)), 'refused 5 generation 5', name)
    t.equal(await say(raw, reading(3, ahs)), 'refused 5 generation 5', `${name}, read`)
  }
  const identity = Buffer.concat([right, segment(`00103e${'00'.repeat(17)}`)])
  t.equal(await say(raw, reading(3, identity)), 'good', 'a request identity is let pass')
  const read = await raw.run(reading(3, right))
  t.ok(read.data.equals(sameBlock(0x11)))
  t.notOk(raw.ended)
  raw.close()
})

t.test('a broken AHS chain: Reject, and the connection is closed', async (t) => {
  const { server } = await setUp(t)
  const raw = await loggedIn(server)
  // AHSLength points beyond the end of the segments.
  raw.command(writing(3, sameBlock(0x22), Buffer.from('00ff3f000000000000000005', 'hex')))
  await raw.next(Opcode.REJECT)
  await raw.closed
  const again = await loggedIn(server)
  t.equal(await say(again, reading(3, generationAhs(5))), 'good')
  again.close()
})

t.test('a session without the key, and the rules of login', async (t) => {
  const { server } = await setUp(t)
  const plain = await loggedIn(server, { keys: {} })
  t.equal(await say(plain, { cdb: inquiry, readBytes: 36 }), 'good')
  t.equal(await say(plain, reading(0)), 'refused 5 generation 5')
  t.equal(await say(plain, reading(0, generationAhs(5))), 'refused 5 generation 5')
  t.equal(await say(plain, { cdb: readCapacity, readBytes: 8 }), 'refused 5 generation 5')
  plain.close()

  const generation = { 'X-io.palisade.Generation': '1' }
  const unnumbered = await connect(server, { keys: generation })
  t.equal(unnumbered.outcome.status, 0x0200, 'no login number')
  const login = (number: number) => ({
    keys: { ...generation, 'X-io.palisade.Login': `${number}` },
  })
  const first = await connect(server, login(5_000_000))
  t.equal(first.outcome.status, 0)
  const late = await connect(server, login(4_999_999), server.portals[1])
  t.equal(late.outcome.status, 0x0200, 'a login that was overtaken')
  t.equal(late.outcome.keys.get('X-io.palisade.Login'), '5000000')
  t.equal(await say(first.raw, reading(0, generationAhs(5))), 'good', 'and ended nobody')
  const second = await connect(server, login(5_000_001), server.portals[1])
  t.equal(second.outcome.status, 0)
  await first.raw.closed
  t.equal(
    await say(second.raw, reading(0, generationAhs(5))),
    'good',
    'reinstated at the 2nd portal',
  )
  const elsewhere = await connect(server, { targetName: serverVolumeIqn('s1', 'nothing') })
  t.equal(elsewhere.outcome.status, 0x0203)
  for (const { raw } of [unnumbered, late, second, elsewhere]) raw.close()
})

t.test('a Data-Out that says something else than its command', async (t) => {
  const { server } = await setUp(t)
  const raw = await loggedIn(server)
  const right = generationAhs(5)
  t.equal(await say(raw, writing(9, sameBlock(0x33), right)), 'good')
  const others: Readonly<Record<string, Buffer | undefined>> = {
    older: generationAhs(4),
    newer: generationAhs(6),
    'other flags': generationAhs(5, 4),
    'no header': undefined,
  }
  for (const [name, ahs] of Object.entries(others)) {
    const tag = raw.command({ cdb: write10(9, 1), data: sameBlock(0x44), ahs: right })
    raw.answerR2t(await raw.nextR2t(), sameBlock(0x44), ahs)
    t.match(told(await raw.end(tag)), /^refused 5 /, name)
  }
  const tag = raw.command({ cdb: write10(9, 1), data: sameBlock(0x55), ahs: generationAhs(4) })
  t.equal(told(await raw.end(tag)), 'refused 1 generation 5', 'no data are asked for in vain')
  const read = await raw.run(reading(9, right))
  t.ok(read.data.equals(sameBlock(0x33)))
  raw.close()
})

t.test('held back: sent before a change, arriving after it', async (t) => {
  const { server, manager, map } = await setUp(t)
  const raw = await loggedIn(server)
  const right = generationAhs(5)
  t.equal(await say(raw, writing(1, sameBlock(0x66), right)), 'good')
  // Two writes wait for their data when the change comes.
  const duringClose = raw.command({ cdb: write10(1, 1), data: sameBlock(0x77), ahs: right })
  const r2tDuring = await raw.nextR2t()
  const afterChange = raw.command({ cdb: write10(1, 1), data: sameBlock(0x77), ahs: right })
  const r2tAfter = await raw.nextR2t()
  t.match(await manager.close('s1', map.volumeId), { generation: 5 })
  raw.answerR2t(r2tDuring, sameBlock(0x77), right)
  t.equal(told(await raw.end(duringClose)), 'refused 3 generation 5', 'closed meanwhile')
  t.equal(await say(raw, reading(1, right)), 'refused 3 generation 5', 'a new one too')
  t.equal(await say(raw, reading(1, generationAhs(6))), 'refused 2 generation 5')
  await manager.activate('s1', { ...map, generation: 6 })
  raw.answerR2t(r2tAfter, sameBlock(0x77), right)
  t.equal(told(await raw.end(afterChange)), 'refused 1 generation 6', 'activated meanwhile')
  t.equal(await say(raw, writing(1, sameBlock(0x77), right)), 'refused 1 generation 6')
  const read = await raw.run(reading(1, generationAhs(6)))
  t.ok(read.data.equals(sameBlock(0x66)), 'none of them wrote')
  raw.close()
})

t.test('closed survives a restart; reopen undoes it; a server that asks is told', async (t) => {
  const { server, manager, map } = await setUp(t)
  manager.verdict = () => ({ wait: true })
  const closed = manager.nextOrder()
  await manager.server('s1').close({ order: closed, volumeId: map.volumeId }, 5_000)
  await server.kill()
  await server.start()
  const raw = await loggedIn(server)
  const right = generationAhs(5)
  t.equal(await say(raw, reading(0, right)), 'refused 3 generation 5')
  const asked = await manager.nextAsk()
  t.match(asked.volume, { generation: 5, closed, serving: false }, 'it asks what became of it')
  const reopen = { order: manager.nextOrder(), volumeId: map.volumeId, closed }
  await manager.server('s1').reopen(reopen, 5_000)
  t.equal(await say(raw, reading(0, right)), 'refused 3 generation 5', 'the restart remains')
  manager.verdict = () => ({ activate: { order: manager.nextOrder(), map } })
  await server.serving(map.volumeId)
  t.equal(await say(raw, reading(0, right)), 'good')
  raw.close()
})

t.test(
  'a fenced client is shut out, whatever it says; the other is not; it is admitted again',
  async (t) => {
    const { server, manager, map } = await setUp(t)
    const fenced = await loggedIn(server)
    const other = await loggedIn(server, { initiatorName: otherClient })
    t.equal(await say(fenced, writing(2, sameBlock(0x10), generationAhs(5))), 'good')
    // In flight when the fence falls: its data come afterwards.
    const inFlight = fenced.command({
      cdb: write10(2, 1),
      data: sameBlock(0x20),
      ahs: generationAhs(5),
    })
    const r2t = await fenced.nextR2t()
    const admissions = [{ client: testClient, admission: 1, fenced: true }]
    await manager.change('s1', { ...map, generation: 6, admissions })
    fenced.answerR2t(r2t, sameBlock(0x20), generationAhs(5))
    t.equal(told(await fenced.end(inFlight)), 'refused 7 generation 6')
    for (const generation of [5n, 6n, 7n, largest]) {
      const ahs = generationAhs(generation)
      t.equal(await say(fenced, writing(2, sameBlock(0x30), ahs)), 'refused 7 generation 6')
      t.equal(await say(fenced, reading(2, ahs)), 'refused 7 generation 6')
    }
    const read = await other.run(reading(2, generationAhs(6)))
    t.ok(read.data.equals(sameBlock(0x10)), 'the other reads what was there')
    t.equal(await say(other, writing(2, sameBlock(0x40), generationAhs(6))), 'good')
    const admitted = [{ client: testClient, admission: 2, fenced: false }]
    await manager.activate('s1', { ...map, generation: 7, admissions: admitted })
    t.equal(await say(fenced, writing(2, sameBlock(0x50), generationAhs(7))), 'good')
    for (const raw of [fenced, other]) raw.close()
  },
)

t.test('policy ignore: silence, the window goes on, data unchanged', async (t) => {
  const { server } = await setUp(t, { stalePolicy: 'ignore' })
  const raw = await loggedIn(server)
  const right = generationAhs(5)
  t.equal(await say(raw, writing(4, sameBlock(0x61), right)), 'good')
  const before = raw.maxCmdSn
  const stale = [4n, 0n, 6n, largest].flatMap((generation) => [
    writing(4, sameBlock(0x62), generationAhs(generation)),
    reading(4, generationAhs(generation)),
  ])
  const tags = new Set(stale.map((options) => raw.command(options)))
  await sleep(2_000)
  const answers = raw.received.filter(({ opcode, header }) => {
    return opcode !== Opcode.NOP_IN && tags.has(header.readUInt32BE(16))
  })
  t.equal(answers.length, 0, 'two seconds of silence')
  t.equal(raw.maxCmdSn - before, stale.length, 'MaxCmdSN has advanced by what was dropped')
  const nopIns = raw.received.filter(({ opcode }) => opcode === Opcode.NOP_IN)
  t.ok(nopIns.length > 0, 'and the initiator was told')
  t.equal(nopIns[0]?.header.readUInt32BE(20), RESERVED_TAG, 'without being pinged')
  t.equal(await say(raw, reading(4)), 'refused 5 generation 5', 'other reasons are answered')
  const read = await raw.run(reading(4, right))
  t.ok(read.data.equals(sameBlock(0x61)), 'the data are unchanged')
  raw.close()
})

t.test('who may send what: replication flags, the management path, another volume', async (t) => {
  const { server, manager, map } = await setUp(t)
  const raw = await loggedIn(server)
  t.equal(await say(raw, reading(0, generationAhs(5, 1))), 'refused 4 generation 5', 'replication')
  t.equal(await say(raw, reading(0, generationAhs(5, 2))), 'refused 4 generation 5', 'resync')
  t.equal(await say(raw, reading(0, generationAhs(5, 4))), 'good', 'via the management path')
  const { counters } = await manager.describe('s1')
  t.match(counters, [{ viaManagementPath: 1, reads: 1 }])
  // The same segment with another server as its primary: this one serves nobody but that.
  const primary = { serverId: '99999999-9999-4999-8999-999999999999', name: 's9', incarnation: 'x' }
  const moved = testSegment(0x10, 0, blocks, [primary, server.facts])
  await manager.change('s1', { ...map, generation: 6, segments: [moved] })
  t.equal(await say(raw, reading(0, generationAhs(6))), 'refused 4 generation 6')
  t.equal(await say(raw, reading(0, generationAhs(6, 1))), 'refused 4 generation 6')
  // The primary, and only it, is served at the target for replication, and nowhere else.
  const initiatorName = clientIqn(primary.serverId)
  const asClient = await loggedIn(server, { initiatorName })
  t.equal(await say(asClient, reading(0, generationAhs(6, 1))), 'refused 4 generation 6')
  const asPrimary = await loggedIn(server, { initiatorName, targetName: replicationIqn('s1') })
  const replicated = (ahs: Buffer): CommandOptions => {
    return { cdb: read16, readBytes: 512, lun: moved.replicas[1]!.number, ahs }
  }
  t.equal(await say(asPrimary, replicated(generationAhs(6, 1))), 'good')
  t.equal(await say(asPrimary, replicated(generationAhs(6))), 'refused 4 generation 6')
  t.equal(await say(asPrimary, replicated(generationAhs(5, 1))), 'refused 1 generation 6')
  const other = await loggedIn(server, { targetName: replicationIqn('s1') })
  t.equal(await say(other, replicated(generationAhs(6, 1))), 'refused 4 generation 6')
  for (const each of [raw, asClient, asPrimary, other]) each.close()
})

t.test('a newer generation makes the server ask, ten times a second at most', async (t) => {
  const { server, manager } = await setUp(t)
  const raw = await loggedIn(server)
  await manager.registered('s1', ({ volumes }) => volumes.some(({ serving }) => serving))
  manager.asked.length = 0
  const startMs = performance.now()
  for (let sent = 0; sent < 200; sent++) {
    t.equal(await say(raw, reading(0, generationAhs(largest))), 'refused 2 generation 5')
  }
  const sentMs = performance.now() - startMs
  t.ok(manager.asked.length >= 1, 'it asked')
  t.ok(manager.asked.length <= 2 + sentMs / 100, `${manager.asked.length} times in ${sentMs} ms`)
  t.equal(await say(raw, reading(0, generationAhs(5))), 'good', 'its own value has not moved')
  raw.close()
})

t.test('grow, delete: new blocks read as zeros, a deleted volume is gone', async (t) => {
  const { server, manager, map } = await setUp(t)
  const raw = await loggedIn(server)
  const beyond = { cdb: read10(blocks, 1), readBytes: 512 }
  const outOfRange = await raw.run({ ...beyond, ahs: generationAhs(5) })
  t.equal(outOfRange.status, 2)
  t.equal(decodeRefusal(outOfRange.sense), undefined, 'an ordinary LBA OUT OF RANGE')
  const grown = testSegment(0x10, 0, 2 * blocks, [server.facts])
  await manager.activate('s1', { ...map, generation: 6, segments: [grown] })
  const read = await raw.run({ ...beyond, ahs: generationAhs(6) })
  t.ok(read.data.equals(Buffer.alloc(512)))
  await manager.change('s1', { ...map, generation: 7, segments: [grown], deleted: true })
  const gone = await raw.run(reading(0, generationAhs(7)))
  t.equal(gone.status, 2)
  t.match(gone.sense.toString('hex'), /25/, 'LOGICAL UNIT NOT SUPPORTED')
  t.equal((await connect(server)).outcome.status, 0x0203)
  t.strictSame((await manager.describe('s1')).volumes, [])
  raw.close()
})

// After all the others: what these servers sent.
t.test('as tshark sees it', async (t) => {
  await capture.check(t, { wrongRequests: true })
})

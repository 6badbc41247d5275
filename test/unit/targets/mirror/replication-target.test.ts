/**
 * What one server's primary does on another, over real sessions in memory: refused unless it may,
 * marked before it is written, cleared in the order of the session, and confirmed by heartbeats.
 */
import t, { type Test } from 'tap'
import { nodeDigest } from '../../../../src/adapters/node-digest.ts'
import { StorageError } from '../../../../src/base/errors.ts'
import { mirror as limits, MIB } from '../../../../src/base/limits.ts'
import { fencedLoginPolicy } from '../../../../src/iscsi/login-policy.ts'
import type { Leg } from '../../../../src/leg/leg.ts'
import type { LegAnswer, LegCommand } from '../../../../src/leg/leg-command.ts'
import { openLeg } from '../../../../src/leg/open-leg.ts'
import { ByteBudget } from '../../../../src/portal/byte-budget.ts'
import { Portal } from '../../../../src/portal/portal.ts'
import type { PortalTask } from '../../../../src/portal/portal-host.ts'
import { DeviceServer } from '../../../../src/scsi/device-server.ts'
import type { Silence } from '../../../../src/scsi/logical-unit.ts'
import type { ScsiResult } from '../../../../src/scsi/result.ts'
import { encodeGenerationHeader, FenceFlag } from '../../../../src/volume/generation-header.ts'
import { clientIqn, replicationIqn } from '../../../../src/volume/names.ts'
import { PageDigests } from '../../../../targets/mirror/digests.ts'
import { leaseTerms } from '../../../../targets/mirror/leases.ts'
import type { MaskSet } from '../../../../targets/mirror/mask-set.ts'
import { clearRegions, digests, heartbeat } from '../../../../targets/mirror/replication-cdb.ts'
import { decodeHeartbeat, encodeClearing } from '../../../../targets/mirror/replication-data.ts'
import { GatedUnit } from '../../../support/portal-rig.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import {
  blockBytes,
  blocks,
  first,
  mirrorMap,
  ReplicationRig,
  second,
  segmentId,
  third,
  withStates,
} from '../../../support/replication-rig.ts'
import { seededRandom } from '../../../support/seeded-random.ts'
import { testSegment } from '../../../support/volume-maps.ts'

const at5 = { generation: 5 }
const regionBlocks = limits.regionBytes / blockBytes
const random = seededRandom(11)
const inSync = { inSync: true, lacks: [] }

async function setUp(t: Test): Promise<ReplicationRig> {
  const rig = await ReplicationRig.start()
  t.teardown(() => rig.stop())
  return rig
}

/** How a call ended: `good`, or the kind and text of its failure. */
async function told(rig: ReplicationRig, call: Promise<unknown>): Promise<string> {
  try {
    await rig.run(call)
    return 'good'
  } catch (thrown) {
    const { kind, message } = thrown as { kind?: string; message: string }
    return `${kind}: ${message}`
  }
}

/** A session of whoever says so with the replication target. */
async function sessionOf(rig: ReplicationRig, serverId: string): Promise<Leg> {
  const opening = await rig.run(
    openLeg({
      ...{ network: rig.network, clock: rig.clock, address: rig.relays[0]!.address },
      initiatorName: clientIqn(serverId),
      isid: Buffer.from([0x80, 0, 0, 0, 0, 9]),
      targetName: replicationIqn(second.name),
      fenced: { loginNumber: 1 },
    }),
  )
  if (opening.kind !== 'open') throw new Error(opening.cause)
  return opening.leg
}

async function ask(rig: ReplicationRig, leg: Leg, command: Partial<LegCommand>): Promise<string> {
  const cdb = Buffer.alloc(16)
  const answer = await rig.run(leg.submit({ lun: 16, cdb, ...command }).answer)
  if (answer.kind !== 'status') return answer.kind
  if (answer.status === 0) return 'good'
  const sense = answer.sense!
  const codes = sense[0] === 0x72 ? sense.subarray(1, 4) : [sense[2]! & 15, sense[12]!, sense[13]!]
  return [...codes].map((code) => code.toString(16).padStart(2, '0')).join('/')
}

const flagged = encodeGenerationHeader(5n, FenceFlag.replication)
const block = (byte: number, count = 1) => Buffer.alloc(count * blockBytes, byte)

t.test('content: written, read, unmapped, flushed, in commands of all sizes', async (t) => {
  const rig = await setUp(t)
  const { partner, secondary } = rig
  for (const count of [1, 3, 17, 300, 8 * (MIB / blockBytes) + 1]) {
    const data = Buffer.alloc(count * blockBytes, `${count} blocks, `)
    const halves = [data.subarray(0, 1000), data.subarray(1000)]
    t.equal(await told(rig, partner.write(at5, 5, halves)), 'good')
    t.ok(secondary.store.content(5, count).equals(data), `${count} blocks`)
    const read = await rig.run(partner.read(at5, 5, count))
    t.ok(Buffer.concat(read).equals(data))
  }
  const { flushes } = secondary.store
  await rig.run(partner.write({ ...at5, forceUnitAccess: true }, 0, [block(1)]))
  t.equal(secondary.store.flushes, flushes + 1, 'FUA')
  await rig.run(partner.write({ ...at5, atomic: true, resync: true }, 16, [block(2, 16)]))
  t.ok(secondary.store.content(16, 16).equals(block(2, 16)))
  const many = Array.from({ length: 600 }, (_, i) => ({ lba: i, blocks: 1 }))
  t.equal(await told(rig, partner.unmap(at5, many)), 'good')
  t.ok(secondary.store.content(0, 600).equals(block(0, 600)), 'more extents than one UNMAP takes')
  await rig.run(partner.flush(at5))
  t.equal(secondary.store.flushes, flushes + 2)
})

t.test('a region is marked durably before anything is written into it', async (t) => {
  const rig = await setUp(t)
  const { partner, secondary } = rig
  const map = withStates(mirrorMap(6), 'iib')
  secondary.volume.set({ map })
  const release = secondary.files.hold(`masks/${segmentId}`, 'flush')
  const calls = [
    partner.write({ generation: 6 }, regionBlocks, [block(7)]),
    partner.write({ generation: 6, atomic: true }, 2 * regionBlocks, [block(7)]),
    partner.unmap({ generation: 6 }, [{ lba: 3 * regionBlocks, blocks: 1 }]),
  ]
  const all = Promise.all(calls)
  await rig.until(() => secondary.volume.begun.count === 3, 'all have begun')
  await rig.pass(50)
  t.equal(secondary.store.pages.size, 0, 'not touched')
  t.equal(secondary.volume.begun.count, 3, 'a close would wait for them')
  release()
  await rig.run(all)
  t.equal(secondary.store.pages.size, 2)
  t.strictSame([...secondary.masks!.inSync], [1, 2, 3])
  t.strictSame([...secondary.masks!.lacks(third.serverId)!], [1, 2, 3])
  t.equal(secondary.masks!.lacks(second.serverId), undefined, 'not of itself')
  secondary.volume.set({ map: withStates(mirrorMap(7), 'ibi') })
  await rig.run(partner.write({ generation: 7 }, 0, [block(1)]))
  t.strictSame([...secondary.masks!.inSync], [0, 1, 2, 3], 'also one that is behind')
  secondary.volume.set({ map: withStates(mirrorMap(8), 'ibb') })
  await rig.run(partner.write({ generation: 8 }, 5 * regionBlocks, [block(1)]))
  t.ok(secondary.masks!.inSync.has(5), 'the only in-sync one may lose what this one has')
  t.ok(secondary.masks!.lacks(third.serverId)!.has(5))
})

t.test('refused: by generation, role and state, and nothing is touched', async (t) => {
  const rig = await setUp(t)
  const { partner, secondary } = rig
  const write = (generation: number) => partner.write({ generation }, 0, [block(1)])
  t.match(await told(rig, write(4)), /^refused: .*newer generation \(generation 5\)/)
  t.match(await told(rig, write(6)), /^refused: .*older generation \(generation 5\)/)
  t.strictSame(secondary.newerSeen, [secondary.volume.volumeId], 'it asks its manager')
  secondary.volume.set({ state: 'closed' })
  t.match(await told(rig, write(5)), /^refused: .*it is closed/)
  secondary.volume.set({ incarnation: 'another' })
  t.match(await told(rig, write(5)), /^refused: .*it is closed/, 'a store that lost something')
  const segments = [testSegment(0x10, 0, blocks, [second, first])]
  secondary.volume.set({ map: { ...mirrorMap(5), segments } })
  t.match(await told(rig, write(5)), /^refused: .*for no primary/, 'it is the primary itself')
  const other = [testSegment(0x10, 0, blocks, [third, second])]
  secondary.volume.set({ map: { ...mirrorMap(5), segments: other } })
  t.match(await told(rig, write(5)), /^refused: .*for no primary/, 'another is the primary')
  const gone = [testSegment(0x10, 0, blocks, [first, third])]
  secondary.volume.set({ map: { ...mirrorMap(5), segments: gone } })
  t.match(await told(rig, write(5)), /^refused: .*does not hold/)
  secondary.volume.set({ map: { ...mirrorMap(6), stalePolicy: 'ignore' } })
  t.match(await told(rig, write(5)), /^refused: .*newer/, 'a primary is always answered')
  secondary.volume.set({ map: { ...mirrorMap(6), readOnly: true } })
  t.equal(secondary.store.pages.size, 0)
  t.equal(await told(rig, write(6)), 'good', 'a replica of a read-only volume is written')
})

t.test('refused: what bears no flag, and who is not the primary', async (t) => {
  const rig = await setUp(t)
  const { secondary } = rig
  const write = Buffer.from('8a000000000000000000000000010000', 'hex')
  const dataOut = [block(1)]
  const own = await sessionOf(rig, first.serverId)
  const unflagged = encodeGenerationHeader(5n, 0)
  t.equal(await ask(rig, own, { cdb: write, dataOut, header: unflagged }), '0b/80/04')
  t.equal(await ask(rig, own, { cdb: write, dataOut }), '0b/80/05', 'no header')
  const stranger = await sessionOf(rig, third.serverId)
  t.equal(await ask(rig, stranger, { cdb: write, dataOut, header: flagged }), '0b/80/04')
  const clearing = encodeClearing({ regions: [0], of: inSync })
  const cdb = clearRegions.build({ parameterListLength: clearing.length })
  t.equal(await ask(rig, stranger, { cdb, dataOut: [clearing], header: flagged }), '0b/80/04')
  const segments = [testSegment(0x10, 0, blocks, [second, first])]
  secondary.volume.set({ map: { ...mirrorMap(5), segments } })
  t.equal(
    await ask(rig, own, { cdb: write, dataOut, header: unflagged }),
    '0b/80/04',
    'also where this server is the primary: clients have the target of the volume',
  )
  t.equal(secondary.store.pages.size, 0)
})

t.test('a login without generations is refused', async (t) => {
  const rig = await setUp(t)
  const opening = openLeg({
    ...{ network: rig.network, clock: rig.clock, address: rig.relays[0]!.address },
    ...{ initiatorName: 'iqn.2026-11.example:a', isid: Buffer.from([0x80, 0, 0, 0, 0, 9]) },
    targetName: replicationIqn(second.name),
  })
  t.match(await rig.run(opening), { kind: 'refused', status: 0x0200 })
})

t.test('commands that nobody here sends, and lengths that lie', async (t) => {
  const rig = await setUp(t)
  const { secondary } = rig
  await rig.run(Promise.resolve(secondary.masks!.mark(0, 6, [])))
  const leg = await sessionOf(rig, first.serverId)
  const send = (hex: string, more: Partial<LegCommand> = {}) =>
    ask(rig, leg, { cdb: Buffer.from(hex.padEnd(32, '0'), 'hex'), header: flagged, ...more })
  for (const hex of ['2a', '28', '89', '8b', '41', '9e12', '25', '5f', 'a3', '83', '48', 'c2']) {
    t.equal(await send(hex), '05/20/00', `${hex}: no such command`)
  }
  t.equal(await send('c01f'), '05/24/00', 'no such service action')
  t.equal(await send('c11f'), '05/24/00')
  t.equal(await send('c0020000000000000000000000010001', { lun: 16 }), '05/24/00', 'CONTROL')
  t.equal(await send('c001ff00'), 'good', 'a heartbeat of no LUN in particular, without room')
  t.equal(await send('c0010000000001'), '05/24/00', 'reserved')
  t.equal(await send('c003', { lun: 99 }), '05/25/00', 'no such unit')
  const range = (lba: number, count: number) =>
    send(digests.build({ lbaHigh: 0, lbaLow: lba, blocks: count }).toString('hex'), {
      dataInBytes: 4096,
    })
  t.equal(await range(0, 16), 'good')
  const badRanges = [
    [1, 16],
    [0, 15],
    [0, 0],
    [blocks, 16],
    [blocks - 16, 32],
    [0, 2048],
  ] as const
  for (const [lba, count] of [...badRanges, [0, 0xffffffff], [0xfffffff0, 16]] as const) {
    t.equal(await range(lba, count), '05/24/00', `digests of ${count} from ${lba}`)
  }
  const clear = (list: Buffer, length = list.length) =>
    send(clearRegions.build({ parameterListLength: length }).toString('hex'), { dataOut: [list] })
  const good = encodeClearing({ regions: [0, 1], of: inSync })
  t.equal(await clear(good.subarray(0, 9)), '05/26/00')
  t.equal(await clear(good, 4), '05/26/00')
  t.equal(await clear(good, 0), '05/26/00')
  t.equal(await clear(good, good.length + 4), '05/1a/00', 'less than announced')
  t.equal(await clear(Buffer.alloc(MIB)), '05/24/00')
  t.equal(await clear(encodeClearing({ regions: [6], of: inSync })), '05/26/00', 'no such region')
  const masks = Buffer.alloc(20)
  const take = 'c102000000000000000000000014'
  t.equal(await send(take, { dataOut: [masks] }), '05/26/00')
  t.equal(await send('c103'), '05/24/00')
  t.strictSame([...secondary.masks!.inSync], [0, 1, 2, 3, 4, 5], 'nothing was cleared')
  t.equal(await clear(good), 'good')
  t.strictSame([...secondary.masks!.inSync], [2, 3, 4, 5])
})

t.test('what the store or the masks cannot do is a failure, never GOOD', async (t) => {
  const rig = await setUp(t)
  const { partner, secondary } = rig
  await rig.run(partner.write(at5, 0, [block(1)]))
  secondary.store.unreadable.add(0)
  t.match(await told(rig, partner.read(at5, 0, 1)), /^failed: .*3\/11\/0/)
  t.match(await told(rig, partner.digests(at5, 0, 16)), /^failed: .*3\/11\/0/)
  rig.pause = () => Promise.reject(new StorageError('no-space', 'the test'))
  t.match(await told(rig, partner.write(at5, 0, [block(1)])), /^failed: .*7\/27\/7/)
  t.equal(secondary.volume.begun.count, 0)
  secondary.masks = undefined
  t.match(await told(rig, partner.write(at5, 0, [block(1)])), /^failed: .*2\/4\/0/)
})

t.test('a clear and the writes after it take effect in the order of the session', async (t) => {
  const rig = await setUp(t)
  const { partner, secondary } = rig
  const masks = secondary.masks!
  await rig.run(partner.write(at5, 0, [block(1)]))
  await rig.run(partner.clear(at5, [0], inSync))
  t.notOk(masks.inSync.has(0))
  for (let round = 0; round < 40; round++) {
    const count = [1, 8, 40, 300][random.below(4)]!
    const lba = random.below(regionBlocks - count)
    const data = [block(round, count)]
    const calls: Promise<unknown>[] = []
    // A write whose data come by R2T begins when they are there, and marks then.
    if (random.below(2) === 0) calls.push(partner.write(at5, lba, data))
    if (random.below(2) === 0) calls.push(partner.read(at5, lba, count), partner.flush(at5))
    calls.push(partner.clear(at5, [0], inSync), partner.write(at5, lba, data))
    await rig.run(Promise.all(calls))
    t.ok(masks.inSync.has(0), `round ${round}: written after the clear, so it is marked`)
    await rig.run(partner.flush(at5))
    await rig.run(partner.clear(at5, [0], inSync))
    t.notOk(masks.inSync.has(0))
  }
})

t.test('digests and masks go over whole', async (t) => {
  const rig = await setUp(t)
  const { partner, secondary } = rig
  await rig.run(partner.write(at5, 40, [random.bytes(30 * blockBytes)]))
  const there = await rig.run(partner.digests(at5, 0, blocks))
  const here = await new PageDigests(nodeDigest).of(secondary.store, { lba: 0, blocks })
  t.equal(there.length, 384)
  t.ok(there.every((digest, i) => digest.equals(here[i]!)))
  const lacks = [{ serverId: third.serverId, label: 3, regions: Buffer.from([0b100]) }]
  const taken: MaskSet = { inSync: Buffer.from([0b10]), lacks, inSyncGeneration: 4 }
  await rig.run(partner.takeMasks(at5, taken))
  const masks = await rig.run(partner.masks(at5))
  t.strictSame(masks, { ...taken, inSync: Buffer.from([0b11]) })
  const of = { inSync: false, lacks: [third.serverId] }
  await rig.run(partner.clear(at5, [2], of))
  t.equal(secondary.masks!.lacks(third.serverId)!.count, 0)
  t.ok(secondary.masks!.inSync.has(1))
  const strange = {
    ...taken,
    lacks: [{ ...lacks[0]!, serverId: first.serverId.replace('1', '9') }],
  }
  t.match(await told(rig, partner.takeMasks(at5, strange)), /^failed: .*5\/26\/0/)
  const own = { ...taken, lacks: [{ ...lacks[0]!, serverId: second.serverId }] }
  t.match(await told(rig, partner.takeMasks(at5, own)), /^failed: .*5\/26\/0/)
})

t.test('heartbeats confirm what goes along, and nothing else', async (t) => {
  const rig = await setUp(t)
  const { leases, secondary } = rig
  const holds = (generation: number) => {
    const map = withStates(mirrorMap(generation), 'iib')
    return leases.holds(leaseTerms(map, map.segments[0]!))
  }
  const beat = () => rig.pass(limits.heartbeatMs + 50)
  await beat()
  t.ok(holds(5))
  t.notOk(holds(6))
  await beat()
  await beat()
  t.equal(secondary.confirmer.leftMs(segmentId, 2_000) > 1_700, true, 'and it is remembered')
  secondary.volume.set({ state: 'closed' })
  await beat()
  t.notOk(holds(5), 'the closed is not confirmed: no need to wait for the end of the lease')
  secondary.volume.set({ state: 'unconfirmed' })
  await beat()
  t.notOk(holds(5))
  secondary.volume.set({ map: withStates(mirrorMap(5), 'ibi') })
  await beat()
  t.notOk(holds(5), 'not in sync')
  secondary.volume.set({ incarnation: 'another', map: mirrorMap(5) })
  await beat()
  t.notOk(holds(5), 'not the store that the map believes in')
  const segments = [testSegment(0x10, 0, blocks, [third, second])]
  secondary.volume.set({ map: { ...mirrorMap(5), segments } })
  await beat()
  t.notOk(holds(5), 'another is its primary')
  t.equal(secondary.confirmer.leftMs(segmentId, 2_000), 0, 'nothing was promised since it closed')
  secondary.volume.set({ map: mirrorMap(6) })
  await beat()
  t.ok(holds(6))
  t.equal(rig.link.incarnation, second.incarnation)
})

t.test('a segment that waits for its lease need not wait for the next beat', async (t) => {
  const rig = await setUp(t)
  await rig.pass(limits.heartbeatMs + 50)
  rig.secondary.volume.set({ map: mirrorMap(6) })
  const map = mirrorMap(6)
  const terms = { ...leaseTerms(map, map.segments[0]!) }
  const partners = terms.partners.filter(({ serverId }) => serverId === second.serverId)
  const holds = () => rig.leases.holds({ ...terms, partners })
  t.notOk(holds())
  const startMs = rig.clock.nowMs()
  rig.link.hurry()
  await rig.until(holds, 'a lease')
  t.ok(rig.clock.nowMs() - startMs <= limits.hurriedHeartbeatMs + 20)
})

t.test('a write that is answered GOOD confirms as well, and is remembered', async (t) => {
  const rig = await setUp(t)
  const { secondary, partner, leases } = rig
  await rig.pass(3_000)
  rig.links.stop()
  await rig.until(() => !rig.link.up, 'no heartbeats')
  await rig.pass(3_000)
  t.equal(secondary.confirmer.leftMs(segmentId, 2_000), 0)
  rig.links.of(second.serverId).connect({ server: 's2', portals: [rig.relays[0]!.address] })
  await rig.until(() => partner.up, 'a session')
  secondary.volume.set({ map: withStates(mirrorMap(6), 'iib') })
  const map = withStates(mirrorMap(6), 'iib')
  await rig.run(partner.write({ generation: 6 }, 0, [block(1)]))
  t.ok(leases.holds(leaseTerms(map, map.segments[0]!)))
  t.ok(secondary.confirmer.leftMs(segmentId, 2_000) > 2_000)
  secondary.volume.set({ state: 'closed' })
  t.match(await told(rig, partner.flush({ generation: 6 })), /^refused/)
  t.notOk(leases.holds(leaseTerms(map, map.segments[0]!)), 'refused: it stops at once')
  rig.link.rest()
})

t.test('more replicas than one answer names', async (t) => {
  const rig = await setUp(t)
  const { secondary, leases } = rig
  const count = limits.heartbeatEntries + 3
  const segments = Array.from({ length: count }, (_, i) =>
    testSegment(0x20 + i, i, 1, [first, second]),
  )
  secondary.volume.set({ map: { ...mirrorMap(9), segments } })
  const leg = await sessionOf(rig, first.serverId)
  const cdb = heartbeat.build({ startingNumber: 0, allocationLength: MIB })
  const command = { lun: 0, cdb, dataInBytes: MIB }
  const answer = (await rig.run(leg.submit(command).answer)) as LegAnswer & { kind: 'status' }
  const beat = decodeHeartbeat(Buffer.concat(answer.dataIn))
  t.match([beat?.more, beat?.confirmed.length], [true, limits.heartbeatEntries])
  rig.link.hurry()
  const holds = (number: number) =>
    leases.holds({
      ...{ generation: 9, leaseMs: 2_000 },
      partners: [{ serverId: second.serverId, number }],
    })
  await rig.until(() => holds(0x20), 'the first')
  t.ok(holds(0x20 + count - 1), 'the last')
  t.notOk(holds(0x20 + count))
})

t.test('a primary is silent when it was not heard for long, since it is one', async (t) => {
  const rig = await setUp(t)
  const { target, volume } = rig.secondary
  await rig.pass(2_000)
  t.notOk(target.primarySilent(segmentId))
  rig.links.stop()
  await rig.pass(limits.primarySuspectedMs - limits.heartbeatMs - 50)
  t.notOk(target.primarySilent(segmentId))
  await rig.pass(limits.heartbeatMs + 60)
  t.ok(target.primarySilent(segmentId))
  t.notOk(target.primarySilent('unknown'))
  const segments = [testSegment(0x10, 0, blocks, [third, second])]
  volume.set({ map: { ...mirrorMap(6), segments } })
  t.notOk(target.primarySilent(segmentId), 'another has only just become it')
  await rig.pass(limits.primarySuspectedMs)
  t.ok(target.primarySilent(segmentId))
  volume.set({
    map: { ...mirrorMap(7), segments: [testSegment(0x10, 0, blocks, [second, first])] },
  })
  await rig.pass(limits.primarySuspectedMs)
  t.notOk(target.primarySilent(segmentId), 'this server is it')
})

t.test('a slow disk with a full window is no silence', async (t) => {
  const rig = await setUp(t)
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  rig.pause = () => gate
  const writes = Array.from({ length: 200 }, (_, i) => rig.partner.write(at5, i, [block(i)]))
  await rig.until(() => rig.secondary.volume.begun.count === 128, 'a full window')
  await rig.pass(3_000)
  t.ok(rig.partner.up)
  t.notOk(rig.link.silent)
  t.notOk(rig.secondary.target.primarySilent(segmentId))
  release()
  t.equal(await told(rig, Promise.all(writes)), 'good')
})

t.test('clients hold all memory for writes: what primaries send has its own', async (t) => {
  const rig = await setUp(t)
  const clients = new GatedUnit({ blocks: 100_000 })
  const device = new DeviceServer<PortalTask>({ luns: () => [0], unit: () => clients })
  const writeBudget = new ByteBudget(limits.writeBytes)
  const { target, volume } = rig.secondary
  const portal = new Portal({
    ...{ network: rig.network, clock: rig.clock, log: quietLog, policy: fencedLoginPolicy },
    writeBytes: MIB,
    host: {
      discover: () => [],
      login: async ({ targetName }) =>
        targetName === replicationIqn(second.name)
          ? { kind: 'accept', target, writeBudget }
          : { kind: 'accept', target: device },
    },
  })
  const address = await portal.listen('127.0.0.1:0')
  const opening = await rig.run(
    openLeg({
      ...{ network: rig.network, clock: rig.clock, address, targetName: 'iqn.2026-11.example:c' },
      ...{ initiatorName: 'iqn.2026-11.example:a', isid: Buffer.from([0x80, 0, 0, 0, 0, 9]) },
    }),
  )
  if (opening.kind !== 'open') throw new Error(opening.cause)
  clients.shut()
  // Four blocks of 512 bytes short of 2 MiB: more than there is, all of it held.
  const cdb = Buffer.from('8a00000000000000000000000ffc0000', 'hex')
  const held = opening.leg.submit({ lun: 0, cdb, dataOut: [Buffer.alloc(4092 * 512)] })
  await rig.until(() => clients.held.length === 1, 'a write that does not end')
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  rig.pause = () => gate
  rig.links.of(third.serverId).connect({ server: 's2', portals: [address] })
  const partner = rig.links.partner(
    { serverId: third.serverId, number: 16 },
    { blocks, blockBytes },
  )
  await rig.until(() => partner.up, 'a session')
  const writes = [0, 1, 2].map((i) => partner.write(at5, 256 * i, [block(i, 256)]))
  await rig.until(() => volume.begun.count === 3, 'all of them have begun')
  t.equal(clients.held.length, 1)
  release()
  clients.open()
  t.equal(await told(rig, Promise.all(writes)), 'good')
  t.match(await rig.run(held.answer), { status: 0 })
  rig.links.stop()
  await rig.run(portal.close(0))
})

/** As the portal calls the target, without a session. */
function taskOf(cdb: Buffer): PortalTask {
  const initiatorName = clientIqn(first.serverId)
  const nexus = { initiatorName, initiatorPort: `${initiatorName},i,0x1`, targetName: 't' }
  const fence = { kind: 'header', flags: FenceFlag.replication, generation: 5n } as const
  const session = { nexus, generationVersion: 1 } as PortalTask['session']
  return { nexus, lun: 16, cdb, aborted: false, fence, session, whenAborted: () => undefined }
}

const writeBlock = Buffer.from('8a000000000000000000000000010000', 'hex')

t.test('compared when it arrives, and again in the turn in which it begins', async (t) => {
  const rig = await setUp(t)
  const { target, volume, store } = rig.secondary
  const task = taskOf(writeBlock)
  t.equal(target.arrive(task), undefined)
  volume.set({ map: mirrorMap(6) })
  const result = (await target.execute(task, [block(1)])) as Exclude<ScsiResult | Silence, 'drop'>
  t.match(result, { status: 2, sense: { asc: 0x80, ascq: 1 } })
  t.equal(store.pages.size, 0)
  const clearing = encodeClearing({ regions: [0], of: inSync })
  const clear = taskOf(clearRegions.build({ parameterListLength: clearing.length }))
  t.match(await target.execute(clear, [clearing]), { status: 2, sense: { asc: 0x80, ascq: 1 } })
  for (const late of [task, clear]) {
    const answer = { status: 2, sense: { asc: 0x80, ascq: 1 } }
    t.match(target.arrive(late), answer, 'before any of its data are asked for')
  }
})

t.test('what is carried out for a primary is a promise, if the replica is in sync', async (t) => {
  const rig = await ReplicationRig.start({ connect: false })
  t.teardown(() => rig.stop())
  const { target, volume, confirmer } = rig.secondary
  await rig.clock.advance(10_000)
  const left = () => confirmer.leftMs(segmentId, 2_000)
  volume.set({ map: withStates(mirrorMap(5), 'ibi') })
  t.match(await target.execute(taskOf(writeBlock), [block(1)]), { status: 0 })
  t.equal(left(), 0)
  volume.set({ map: mirrorMap(5), state: 'closed' })
  t.match(await target.execute(taskOf(writeBlock), [block(1)]), { status: 2 })
  t.equal(left(), 0)
  volume.set({ state: 'open' })
  t.match(await target.execute(taskOf(writeBlock), [block(1)]), { status: 0 })
  t.equal(left(), 2_200)
})

/**
 * COMPARE AND WRITE, ORWRITE, WRITE ATOMIC and GET LBA STATUS through the shim: what the volume's
 * layout means for them, and what never takes effect twice.
 */
import t, { type Test } from 'tap'
import { atomicFacts } from '../../../initiator-shim/device/atomic-facts.ts'
import { gatherMapping } from '../../../initiator-shim/device/gather-mapping.ts'
import { judge } from '../../../initiator-shim/router/judgement.ts'
import { encodeLbaStatus } from '../../../src/scsi/lba-status.ts'
import { encodeSense } from '../../../src/scsi/sense-format.ts'
import { Reason, refusalResult } from '../../../src/volume/refusal.ts'
import { Routing } from '../../../src/volume/routing.ts'
import { describe, type Initiator } from '../../support/initiator.ts'
import { MemoryCluster } from '../../support/memory-cluster.ts'
import { testClient, testSegment, testUuid } from '../../support/volume-maps.ts'

const mib = 1024 * 1024
t.setTimeout(120_000)

async function started(t: Test, servers = 1) {
  const volume = { name: 'v', sizeBytes: 6 * mib, ...(servers > 1 && { stripe: servers }) }
  const cluster = await MemoryCluster.start({ servers, volumes: [volume] })
  t.teardown(() => cluster.stop())
  return { cluster, initiator: await cluster.attach('v') }
}

const stamp = (value: number, blocks = 1): Buffer => {
  const data = Buffer.alloc(blocks * 512)
  for (let at = 0; at < data.length; at += 4) data.writeUInt32BE(value, at)
  return data
}

function cdb16(operationCode: number, lba: number, blocks: number, action = 0): Buffer {
  const cdb = Buffer.alloc(16)
  cdb.set([operationCode, action])
  cdb.writeBigUInt64BE(BigInt(lba), 2)
  cdb.writeUInt32BE(blocks, 10)
  return cdb
}

/** Each as a function of its initiator, so that one test tries all. */
const swap = (initiator: Initiator, lba: number, from: number, to: number) =>
  initiator.leg.submit({ lun: 0, cdb: cdb16(0x89, lba, 1), dataOut: [stamp(from), stamp(to)] })
const orWrite = (initiator: Initiator, lba: number, blocks: number, value: number) =>
  initiator.leg.submit({ lun: 0, cdb: cdb16(0x8b, lba, blocks), dataOut: [stamp(value, blocks)] })
const writeAtomic = (initiator: Initiator, lba: number, blocks: number, value: number) =>
  initiator.leg.submit({ lun: 0, cdb: cdb16(0x9c, lba, blocks), dataOut: [stamp(value, blocks)] })

t.test('they work on a volume striped over three servers', async (t) => {
  const { cluster, initiator } = await started(t, 3)
  for (const lba of [0, 127, 128, 300]) {
    t.equal(describe(await cluster.run(swap(initiator, lba, 0, 5).answer)), 'good')
    t.equal(describe(await cluster.run(swap(initiator, lba, 0, 6).answer)), 'sense e/1d/0')
    t.same(await cluster.run(initiator.read(lba, 1)), [5])
  }
  const late = Buffer.concat([stamp(5), stamp(9)])
  late[300] = 0xff
  const task = initiator.leg.submit({ lun: 0, cdb: cdb16(0x89, 0, 1), dataOut: [late] })
  const answer = await cluster.run(task.answer)
  const sense = answer.kind === 'status' ? answer.sense : undefined
  t.equal(sense?.readUInt32BE(3), 300, 'INFORMATION is the offset in the data')
  t.equal(describe(await cluster.run(orWrite(initiator, 126, 260, 0x30).answer)), 'good')
  t.same(await cluster.run(initiator.read(125, 4)), [0, 0x30, 0x35, 0x35])
  t.same(await cluster.run(initiator.read(384, 3)), [0x30, 0x30, 0])
  t.equal(describe(await cluster.run(writeAtomic(initiator, 128, 128, 7).answer)), 'good')
  t.same(await cluster.run(initiator.read(127, 3)), [0x35, 7, 7])
  t.equal(describe(await cluster.run(writeAtomic(initiator, 120, 16, 7).answer)), 'sense 5/24/0')
  t.equal(describe(await cluster.run(writeAtomic(initiator, 0, 136, 7).answer)), 'sense 5/24/0')
  t.same(await cluster.run(initiator.read(127, 1)), [0x35])
})

t.test('GET LBA STATUS puts the columns together', async (t) => {
  const { cluster, initiator } = await started(t, 3)
  for (const unit of [1, 2, 7]) {
    await cluster.run(initiator.write(unit * 128 + 5, 1, 9).answer)
  }
  const status = async (lba: number, room: number) => {
    const cdb = cdb16(0x9e, lba, room, 0x12)
    const answer = await cluster.run(
      initiator.leg.submit({ lun: 0, cdb, dataInBytes: room }).answer,
    )
    if (answer.kind !== 'status' || answer.status !== 0) return describe(answer)
    const data = Buffer.concat(answer.dataIn)
    return Array.from({ length: (data.length - 8) / 16 }, (_, i) => {
      const row = data.subarray(8 + i * 16)
      return [Number(row.readBigUInt64BE(0)), row.readUInt32BE(8), row[12]]
    })
  }
  const blocks = (6 * mib) / 512
  t.same(await status(0, 8 + 16 * 9), [
    [0, 128, 1],
    [128, 256, 0],
    [384, 512, 1],
    [896, 128, 0],
    [1024, blocks - 1024, 1],
  ])
  t.same(await status(200, 24), [[200, 184, 0]])
  t.same(await status(blocks - 1, 24), [[blocks - 1, 1, 1]])
  t.equal(await status(blocks, 24), 'sense 5/21/0')
})

t.test('a volume of 4096-byte blocks, over three servers, grown', async (t) => {
  const volume = { name: 'v', sizeBytes: 6 * mib, stripe: 3, blockBytes: 4096 }
  const cluster = await MemoryCluster.start({ servers: 3, volumes: [volume] })
  t.teardown(() => cluster.stop())
  const { leg } = await cluster.attach('v')
  const send = async (cdb: Buffer, data?: Buffer, dataInBytes?: number) => {
    const dataOut = data === undefined ? undefined : [data]
    const answer = await cluster.run(leg.submit({ lun: 0, cdb, dataOut, dataInBytes }).answer)
    if (answer.kind !== 'status' || answer.status !== 0) throw new Error(describe(answer))
    return Buffer.concat(answer.dataIn)
  }
  const large = (value: number, blocks = 1) => stamp(value, 8 * blocks)
  const capacity = async () => {
    const data = await send(cdb16(0x9e, 0, 32, 0x10), undefined, 32)
    return [Number(data.readBigUInt64BE(0)), data.readUInt32BE(8), data[13]]
  }
  t.same(await capacity(), [1535, 4096, 0])
  await send(cdb16(0x8a, 14, 40), large(3, 40))
  await send(cdb16(0x89, 16, 1), Buffer.concat([large(3), large(4)]))
  await send(cdb16(0x8b, 17, 1), large(0x10))
  await send(cdb16(0x9c, 32, 16), large(5, 16))
  const read = await send(cdb16(0x88, 13, 42), undefined, 42 * 4096)
  const want = [large(0), large(3, 2), large(4), large(0x13), large(3, 14), large(5, 16)]
  t.ok(read.equals(Buffer.concat([...want, large(3, 6), large(0)])))
  await send(cdb16(0x93, 16, 16, 0x08), large(0))
  const rows = await send(cdb16(0x9e, 0, 8 + 16 * 4, 0x12), undefined, 8 + 16 * 4)
  const runs = [0, 1, 2, 3].map((i) => [rows.readUInt32BE(8 + 16 * i + 8), rows[20 + 16 * i]])
  t.same(runs, [
    [16, 0],
    [16, 1],
    [32, 0],
    [1536 - 64, 1],
  ])
  const small = { name: 'v', sizeBytes: 6 * mib + 512 }
  await t.rejects(cluster.run(cluster.admin.growVolume(small, 9_000)), /not a multiple of 4096/)
  await cluster.run(cluster.admin.growVolume({ name: 'v', sizeBytes: 9 * mib }, 9_000))
  await t.rejects(capacity(), /6\/2a\/9/, 'the initiator is told')
  t.same(await capacity(), [2303, 4096, 0])
  await send(cdb16(0x8a, 1530, 12), large(6, 12))
  const across = await send(cdb16(0x88, 1529, 14), undefined, 14 * 4096)
  t.ok(across.equals(Buffer.concat([large(0), large(6, 12), large(0)])))
})

t.test('nobody writes a read-only volume', async (t) => {
  const volume = { name: 'v', sizeBytes: mib, readOnly: true }
  const cluster = await MemoryCluster.start({ servers: 1, volumes: [volume] })
  t.teardown(() => cluster.stop())
  const initiator = await cluster.attach('v')
  t.equal(describe(await cluster.run(initiator.write(0, 1, 1).answer)), 'sense 7/27/0')
  t.equal(describe(await cluster.run(swap(initiator, 0, 0, 1).answer)), 'sense 7/27/0')
  t.same(await cluster.run(initiator.read(0, 1)), [0])
})

/** Loses the session after what was sent arrived, or before, without its answer. */
function breakPath(cluster: MemoryCluster): void {
  const { relay } = cluster.servers[0]!
  relay.reset()
  relay.release()
}

/** What its server said is lost, or what was said to it; then the session ends. */
async function lose(
  cluster: MemoryCluster,
  what: 'command' | 'answer',
  submit: () => ReturnType<typeof swap>,
): Promise<string> {
  const { relay } = cluster.servers[0]!
  if (what === 'answer') relay.hangAnswers()
  else relay.hang()
  const { answer } = submit()
  for (let turn = 0; turn < 20; turn++) await cluster.clock.advance(0)
  breakPath(cluster)
  return describe(await cluster.run(answer))
}

for (const what of ['answer', 'command'] as const) {
  t.test(`one effect and its true status, where the ${what} was lost`, async (t) => {
    const { cluster, initiator } = await started(t)
    await cluster.run(initiator.write(0, 32, 1).answer)
    const losing = (submit: () => ReturnType<typeof swap>) => lose(cluster, what, submit)
    t.equal(await losing(() => swap(initiator, 3, 1, 2)), 'good', 'COMPARE AND WRITE')
    t.same(await cluster.run(initiator.read(3, 1)), [2])
    t.equal(await losing(() => swap(initiator, 3, 1, 3)), 'sense e/1d/0', 'that has no effect')
    t.same(await cluster.run(initiator.read(3, 1)), [2])
    t.equal(await losing(() => orWrite(initiator, 8, 8, 4)), 'good', 'ORWRITE')
    t.same(await cluster.run(initiator.read(7, 2)), [1, 5])
    t.equal(await losing(() => writeAtomic(initiator, 16, 8, 6)), 'good', 'WRITE ATOMIC')
    t.same(await cluster.run(initiator.read(16, 1)), [6], 'it may be written twice')
    t.equal(await losing(() => initiator.write(24, 8, 7)), 'good', 'WRITE')
    t.equal(describe(await cluster.run(swap(initiator, 24, 7, 8).answer)), 'good', 'it goes on')
    t.equal((await cluster.status()).volumes[0]!.outcomeUnknown, 0)
  })
}

t.test('what came after it does not make it fail when it is asked for again', async (t) => {
  const { cluster, initiator } = await started(t)
  const { relay } = cluster.servers[0]!
  relay.hangAnswers()
  const first = swap(initiator, 0, 0, 1).answer
  const then = swap(initiator, 0, 1, 4).answer
  for (let turn = 0; turn < 20; turn++) await cluster.clock.advance(0)
  breakPath(cluster)
  t.equal(describe(await cluster.run(first)), 'good')
  t.equal(describe(await cluster.run(then)), 'good')
  t.same(await cluster.run(initiator.read(0, 1)), [4])
})

t.test('a server that was started anew does not guess', async (t) => {
  const { cluster, initiator } = await started(t)
  const server = cluster.servers[0]!
  await cluster.run(initiator.write(0, 8, 1).answer)
  const lost = async (lba: number) => {
    server.relay.hangAnswers()
    const { answer } = swap(initiator, lba, 1, 2)
    for (let turn = 0; turn < 20; turn++) await cluster.clock.advance(0)
    await cluster.run(server.stop())
    breakPath(cluster)
    await cluster.run(server.start())
    return describe(await cluster.run(answer))
  }
  t.equal(await lost(3), 'sense b/8/0')
  t.equal((await cluster.status()).volumes[0]!.outcomeUnknown, 1)
  t.same(await cluster.run(initiator.read(3, 1)), [2])
  t.equal(describe(await cluster.run(swap(initiator, 4, 1, 2).answer)), 'good')
  t.equal(await lose(cluster, 'answer', () => swap(initiator, 5, 1, 2)), 'good', 'in its new life')
  t.same(await cluster.run(initiator.read(0, 8)), [1, 1, 1, 2, 2, 2, 1, 1])
})

t.test('the copy that takes over knows what took effect', async (t) => {
  const volume = { name: 'v', sizeBytes: 6 * mib, mirror: 2 }
  const cluster = await MemoryCluster.start({ servers: 2, volumes: [volume] })
  t.teardown(() => cluster.stop())
  const initiator = await cluster.attach('v')
  await cluster.run(initiator.write(0, 32, 1).answer)
  const { map } = await cluster.run(cluster.admin.showVolume({ name: 'v' }, 5_000))
  const { serverId } = map.segments[0]!.replicas[0]!
  const primary = cluster.servers.find((server) => server.serverId === serverId)!
  primary.relay.hangAnswers()
  const answers = [
    swap(initiator, 3, 1, 2).answer,
    swap(initiator, 3, 2, 3).answer,
    orWrite(initiator, 8, 8, 4).answer,
  ]
  for (let turn = 0; turn < 20; turn++) await cluster.clock.advance(0)
  await cluster.run(primary.stop())
  answers.push(swap(initiator, 4, 1, 7).answer)
  const said = (await cluster.run(Promise.all(answers))).map(describe)
  t.same(said, ['good', 'good', 'good', 'good'])
  t.same(await cluster.run(initiator.read(2, 8)), [1, 3, 7, 1, 1, 1, 5, 5])
  t.equal((await cluster.status()).volumes[0]!.outcomeUnknown, 0)
  const promoted = (await cluster.run(cluster.admin.showVolume({ name: 'v' }, 5_000))).map
  t.not(promoted.segments[0]!.replicas[0]!.serverId, serverId)
})

t.test('a command in doubt is not answered BUSY or NOT READY', async (t) => {
  const volume = { name: 'v', sizeBytes: mib, holdMs: 2_000 }
  const cluster = await MemoryCluster.start({ servers: 1, volumes: [volume] })
  t.teardown(() => cluster.stop())
  const initiator = await cluster.attach('v')
  await cluster.run(initiator.write(0, 8, 1).answer)
  const { relay } = cluster.servers[0]!
  relay.hangAnswers()
  const update = swap(initiator, 3, 1, 2).answer
  const plain = initiator.write(4, 1, 9).answer
  for (let turn = 0; turn < 20; turn++) await cluster.clock.advance(0)
  await cluster.run(cluster.servers[0]!.stop())
  breakPath(cluster)
  t.equal(describe(await cluster.run(update)), 'sense b/8/0')
  t.equal(describe(await cluster.run(plain)), 'sense 2/4/0', 'what may be repeated is')
  await cluster.run(cluster.servers[0]!.start())
  await cluster.until(
    async () => describe(await cluster.run(initiator.testUnitReady().answer)) === 'good',
  )
  t.same(await cluster.run(initiator.read(3, 1)), [2])
})

t.test('what was refused is sent again, through changes of the map', async (t) => {
  const { cluster, initiator } = await started(t)
  const other = `${testClient}-other`
  const values = Array.from({ length: 16 }, () => 0)
  const answers = new Set<string>()
  let stopping = false
  t.teardown(() => {
    stopping = true
  })
  const chains = values.map(async (_, lba) => {
    while (!stopping) {
      answers.add(describe(await swap(initiator, lba, values[lba]!, values[lba]! + 1).answer))
      values[lba]!++
    }
  })
  const refusals = async (): Promise<number> => {
    const { repeats } = (await cluster.status()).volumes[0]!
    return repeats.reduce((sum, { count }) => sum + count, 0)
  }
  for (let i = 0; i < 200 && (i < 10 || (await refusals()) < 5); i++) {
    await cluster.run(cluster.admin.fence({ volume: 'v', client: other }, 9_000))
    await cluster.run(cluster.admin.admit({ volume: 'v', client: other }, 9_000))
  }
  stopping = true
  await cluster.run(Promise.all(chains))
  t.same([...answers], ['good'])
  t.ok((await refusals()) >= 5, 'some were refused meanwhile')
  t.same(await cluster.run(initiator.read(0, 16)), values, 'each step was taken once')
})

t.test('which answers leave a doubt', (t) => {
  const refused = (reason: Reason): Buffer => {
    const result = refusalResult({ reason, generation: 5 })
    if (result.status !== 2) throw new Error('a refusal is a check condition')
    return encodeSense(result.sense)
  }
  const untouched = [Reason.SENDER_NEWER, Reason.CLOSED, Reason.NOT_PRIMARY]
  for (const reason of untouched) t.notOk('touched' in judge(2, refused(reason)), `${reason}`)
  t.match(judge(2, refused(Reason.INTERRUPTED)), { kind: 'repeat', touched: true })
  t.match(judge(0x40, undefined), { kind: 'repeat', touched: true }, 'TASK ABORTED')
  t.match(judge(2, encodeSense({ key: 0xb, asc: 0, ascq: 0 })), { touched: true })
  t.notOk('touched' in judge(0x08, undefined), 'BUSY is said before anything is done')
  t.same(judge(2, encodeSense({ key: 0xb, asc: 8, ascq: 0 })), { kind: 'unknown' })
  const miscompare = { key: 0xe, asc: 0x1d, ascq: 0, information: 77 }
  t.same(judge(2, encodeSense(miscompare)), {
    kind: 'failed',
    result: { status: 2, sense: miscompare },
  })
  t.end()
})

t.test('how much of a volume can be written atomically', (t) => {
  const me = { serverId: testUuid(1), name: 's1', incarnation: 'i' }
  const at = (start: number, blocks: number, stripe?: [number, number]) => ({
    ...testSegment(0x10 + start, start, blocks, [me]),
    ...(stripe && { stripe: { index: 0, count: stripe[0], unitBlocks: stripe[1] } }),
  })
  const rows: [string, ReturnType<typeof at>[], number, number, number][] = [
    ['one segment', [at(0, 9999)], 512, 2048, 0],
    ['large blocks', [at(0, 9999)], 4096, 256, 0],
    ['stripes of 64 KiB', [at(0, 9999, [3, 128])], 512, 128, 128],
    ['stripes of 192 KiB', [at(0, 9999, [3, 384])], 512, 128, 128],
    ['stripes of 4 MiB', [at(0, 99_999, [2, 8192])], 512, 2048, 2048],
    ['one column', [at(0, 9999, [1, 128])], 512, 2048, 0],
    ['two segments', [at(0, 4096 + 64), at(4096 + 64, 9000)], 512, 64, 64],
    ['segments at any block', [at(0, 4097), at(4097, 9000)], 512, 0, 0],
    ['the same with large blocks', [at(0, 4097), at(4097, 9000)], 4096, 1, 1],
  ]
  for (const [name, segments, blockBytes, atomicBlocks, atomicBoundaryBlocks] of rows) {
    const facts = atomicFacts({ segments, blockBytes })
    t.same(facts, { atomicBlocks, atomicBoundaryBlocks }, name)
  }
  t.end()
})

t.test('a mapping ends where the first server did not say more', (t) => {
  const me = { serverId: testUuid(1), name: 's1', incarnation: 'i' }
  const columns = [0, 1].map((index) => ({
    ...testSegment(0x10 + index, 0, 1024, [me]),
    stripe: { index, count: 2, unitBlocks: 128 },
  }))
  const pieces = new Routing({ segments: columns, blocks: 1024 }).route(64, 900)
  const said = (...runs: [boolean, number][]) => [
    encodeLbaStatus(
      0,
      runs.map(([mapped, blocks]) => ({ mapped, blocks })),
    ),
  ]
  const both = [said([true, 192], [false, 300]), said([true, 128], [false, 400])]
  t.same(gatherMapping(pieces, both, 99), [
    { mapped: true, blocks: 320 },
    { mapped: false, blocks: 580 },
  ])
  t.same(gatherMapping(pieces, both, 1), [{ mapped: true, blocks: 320 }])
  const short = [said([true, 192], [false, 300]), said([false, 130])]
  t.same(gatherMapping(pieces, short, 99), [
    { mapped: true, blocks: 64 },
    { mapped: false, blocks: 128 },
    { mapped: true, blocks: 128 },
    { mapped: false, blocks: 2 },
  ])
  t.end()
})

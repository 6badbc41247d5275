/** SCSI commands through a portal: data both ways, their faults, the fence, the window. */
import t from 'tap'
import { portal as limits } from '../../../src/base/limits.ts'
import { nopIn } from '../../../src/iscsi/pdu/nop-in.ts'
import { Opcode, RESERVED_TAG } from '../../../src/iscsi/pdu/opcode.ts'
import { SnackType } from '../../../src/iscsi/pdu/snack-request.ts'
import { decodeRefusal, Reason } from '../../../src/volume/refusal.ts'
import { MemoryStream } from '../../support/memory-network.ts'
import { type PortalRig, until } from '../../support/portal-rig.ts'
import { generationAhs, type RawInitiator, read10, write10 } from '../../support/raw-initiator.ts'
import { rigFor } from './rig-for.ts'

const KIB = 1024

/** Bytes that tell where they belong. */
function pattern(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7 + (i >> 8)) & 0xff))
}

for (const digest of ['None', 'CRC32C'] as const) {
  for (const chunkBytes of [Number.POSITIVE_INFINITY, 1000, 7]) {
    t.test(`data both ways, digests ${digest}, chunks of ${chunkBytes}`, async (t) => {
      const rig = await rigFor(t, { chunkBytes })
      const keys = { HeaderDigest: digest, DataDigest: digest }
      const initiator = await rig.login({ keys: { ...keys, MaxRecvDataSegmentLength: '4096' } })
      const data = pattern(16 * KIB)

      const immediate = await initiator.run({ cdb: write10(0, 32), data, immediateBytes: 16 * KIB })
      t.equal(immediate.status, 0, 'immediate data')
      t.ok(rig.unit.content.subarray(0, 16 * KIB).equals(data))

      const tag = initiator.command({
        cdb: write10(100, 32),
        data,
        immediateBytes: 4 * KIB,
        final: false,
      })
      for (const [dataSn, offset] of [4 * KIB, 8 * KIB].entries()) {
        const piece = data.subarray(offset, offset + 4 * KIB)
        initiator.dataOut({ tag, data: piece, offset, dataSn, final: dataSn === 1 })
      }
      const r2t = await initiator.nextR2t()
      t.equal(r2t.bufferOffset, 12 * KIB, 'asks for what is missing')
      t.equal(r2t.desiredDataTransferLength, 4 * KIB)
      initiator.answerR2t(r2t, data)
      t.equal((await initiator.end(tag)).status, 0, 'immediate, unsolicited, solicited data')
      t.ok(rig.unit.content.subarray(100 * 512, 100 * 512 + 16 * KIB).equals(data))

      const read = await initiator.run({ cdb: read10(100, 32), readBytes: 16 * KIB })
      t.equal(read.status, 0)
      t.ok(read.data.equals(data), 'over several Data-In PDUs')
    })
  }
}

t.test('large writes come in bursts, one R2T at a time', async (t) => {
  const rig = await rigFor(t, { policy: { maxBurstBytes: 64 * KIB } })
  const initiator = await rig.login({ keys: { InitialR2T: 'Yes', MaxBurstLength: '65536' } })
  const data = pattern(160 * KIB)
  const tag = initiator.command({ cdb: write10(7, 320), data })
  for (const [r2tSn, bytes] of [64, 64, 32].entries()) {
    const r2t = await initiator.nextR2t()
    t.equal(r2t.r2tSn, r2tSn)
    t.equal(r2t.desiredDataTransferLength, bytes * KIB)
    t.equal(initiator.received.length, 0)
    initiator.answerR2t(r2t, data)
  }
  t.equal((await initiator.end(tag)).status, 0)
  t.ok(rig.unit.content.subarray(7 * 512, 7 * 512 + 160 * KIB).equals(data))
})

t.test('a write begins only when all its data have come', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  const data = pattern(2 * KIB)
  const tag = initiator.command({ cdb: write10(0, 4), data })
  const r2t = await initiator.nextR2t()
  const { targetTransferTag: transferTag } = r2t
  initiator.dataOut({ tag, transferTag, offset: 0, data: data.subarray(0, KIB), final: false })
  t.equal((await initiator.run({ cdb: read10(0, 1), readBytes: 512 })).status, 0)
  t.same(rig.unit.calls, ['read 0+1'])
  const rest = data.subarray(KIB)
  initiator.dataOut({ tag, transferTag, offset: KIB, dataSn: 1, data: rest })
  t.equal((await initiator.end(tag)).status, 0)
  t.same(rig.unit.calls, ['read 0+1', 'write 0+4'])
})

t.test('faults of data leave the blocks alone', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  const data = pattern(2 * KIB)
  const faults = {
    'wrong DataSN': { offset: 0, dataSn: 1, data },
    'wrong offset': { offset: 512, dataSn: 0, data: data.subarray(512) },
    'F too early': { offset: 0, dataSn: 0, data: data.subarray(0, 512) },
    'too much data': { offset: 0, dataSn: 0, data: pattern(4 * KIB) },
  }
  for (const [name, fault] of Object.entries(faults)) {
    const tag = initiator.command({ cdb: write10(0, 4), data })
    const r2t = await initiator.nextR2t()
    initiator.dataOut({ tag, transferTag: r2t.targetTransferTag, ...fault })
    const { status, sense } = await initiator.end(tag)
    t.equal(status, 2, name)
    t.equal(sense.readUInt8(2) & 0x0f, 0x0b, `${name}: ABORTED COMMAND`)
    t.equal(sense.readUInt16BE(12), 0x0c0d, `${name}: incorrect amount of data`)
  }
  t.same(rig.unit.calls, [], 'nothing was written')
})

t.test('what a command itself may not bring', async (t) => {
  const rig = await rigFor(t)
  const strict = await rig.login({ keys: { ImmediateData: 'No', InitialR2T: 'Yes' } })
  const data = pattern(1024)
  const rejected = async (what: string): Promise<void> => {
    const frame = await strict.next(Opcode.REJECT)
    t.equal(frame.header[2], 0x04, what)
  }
  strict.command({ cdb: write10(0, 2), data, immediateBytes: 512 })
  await rejected('immediate data while ImmediateData is No')
  strict.command({ cdb: write10(0, 2), data, final: false })
  await rejected('unsolicited data while InitialR2T is Yes')
  strict.command({ cdb: write10(0, 2), data, readBytes: 1 })
  t.equal((await strict.next(Opcode.REJECT)).header[2], 0x09, 'both directions')
  strict.command({ cdb: read10(0, 2), readBytes: 1024, tag: RESERVED_TAG })
  t.equal((await strict.next(Opcode.REJECT)).header[2], 0x09, 'the reserved tag')
  rig.unit.shut()
  strict.command({ cdb: read10(0, 2), readBytes: 1024, tag: 500 })
  strict.command({ cdb: read10(0, 2), readBytes: 1024, tag: 500 })
  t.equal((await strict.next(Opcode.REJECT)).header[2], 0x07, 'a tag in use')
  rig.unit.open()
  t.equal((await strict.end(500)).status, 0)
  t.equal(strict.maxCmdSn - strict.expCmdSn, 127, 'every place in the window is free again')
})

t.test('the fence of data is that of their command', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  const data = pattern(1024)
  const cases = {
    'another generation': generationAhs(8),
    'other flags': generationAhs(7, 1),
    'no header': undefined,
    'a malformed one': Buffer.from([0, 1, 0x3f, 0]),
  }
  for (const [name, ahs] of Object.entries(cases)) {
    const tag = initiator.command({ cdb: write10(0, 2), data, ahs: generationAhs(7) })
    initiator.answerR2t(await initiator.nextR2t(), data, ahs)
    const { status, sense } = await initiator.end(tag)
    t.equal(status, 2, name)
    t.same(decodeRefusal(sense), { reason: Reason.HEADER, generation: 0 }, name)
  }
  t.same(rig.unit.calls, [], 'nothing was written')
  const tag = initiator.command({ cdb: write10(0, 2), data, ahs: generationAhs(7) })
  initiator.answerR2t(await initiator.nextR2t(), data, generationAhs(7))
  t.equal((await initiator.end(tag)).status, 0, 'the same one is fine')

  initiator.command({ cdb: read10(0, 1), readBytes: 512, ahs: Buffer.from([0xff, 0xff, 0x3f, 0]) })
  t.equal((await initiator.next(Opcode.REJECT)).header[2], 0x04)
  await initiator.closed
  t.pass('a broken chain ends the connection')
})

t.test('what is dropped frees its place, and the window says so', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  const before = initiator.maxCmdSn
  rig.unit.arriveWith = 'drop'
  const tag = initiator.command({
    cdb: write10(0, 2),
    data: pattern(1024),
    immediateBytes: 512,
    final: false,
  })
  initiator.dataOut({ tag, data: pattern(512), offset: 512 })
  const told = nopIn.decode((await initiator.next(Opcode.NOP_IN)).header)
  t.equal(told.targetTransferTag, RESERVED_TAG, 'no answer wanted')
  t.equal(told.initiatorTaskTag, RESERVED_TAG)
  t.equal(told.maxCmdSn, before + 1)
  t.equal(initiator.received.length, 0, 'and no other answer')
  rig.unit.arriveWith = undefined
  t.equal((await initiator.run({ cdb: read10(0, 1), readBytes: 512 })).status, 0)
  t.same(rig.unit.calls, ['read 0+1'])
})

t.test('order and window', async (t) => {
  const rig = await rigFor(t, { policy: { windowCommands: 4 } })
  const initiator = await rig.login()
  const first = initiator.cmdSn
  const read = { cdb: read10(0, 1), readBytes: 512 }
  // The second before the first: both are begun, in order, when the first comes.
  const second = initiator.command({ ...read, cdb: read10(2, 1), cmdSn: first + 1 })
  const missing = initiator.command({ ...read, cdb: read10(1, 1), cmdSn: first })
  t.equal((await initiator.end(missing)).status, 0)
  t.equal((await initiator.end(second)).status, 0)
  t.same(rig.unit.calls, ['read 1+1', 'read 2+1'])
  initiator.cmdSn = first + 2

  initiator.command({ ...read, cmdSn: first, tag: 90 })
  initiator.command({ ...read, cmdSn: first + 6, tag: 91 })
  t.equal((await initiator.run(read)).status, 0)
  t.equal(initiator.received.length, 0, 'numbers outside the window are ignored')

  rig.unit.shut()
  const tags = [1, 2, 3, 4].map(() => initiator.command(read))
  await until(() => rig.unit.held.length === 4, 'four have begun')
  initiator.command({ ...read, tag: 95 })
  const urgent = initiator.command({ cdb: Buffer.alloc(6), immediate: true })
  t.equal((await initiator.end(urgent)).status, 0, 'an immediate command needs no place')
  t.equal(rig.unit.held.length, 4, 'a fifth is not taken')
  rig.unit.open()
  for (const tag of tags) t.equal((await initiator.end(tag)).status, 0)
})

t.test('data that never come', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  const tag = initiator.command({ cdb: write10(0, 2), data: pattern(1024) })
  await initiator.nextR2t()
  // Something else is heard now and then, so that the session itself is alive.
  for (let second = 0; second <= limits.dataDeadlineMs / 1000 + 1; second += 5) {
    await rig.clock.advance(5000)
    t.equal((await initiator.run({ cdb: read10(0, 1), readBytes: 512 })).status, 0)
  }
  t.equal((await initiator.end(tag)).status, 2, 'the command ends')
  t.notOk(rig.unit.calls.includes('write 0+2'))
})

t.test('write data have a limit in memory', async (t) => {
  const blocks = 16384
  const rig = await rigFor(t, { unitBlocks: blocks })
  const initiator = await rig.login({ keys: { MaxBurstLength: '16777215' } })
  const bytes = blocks * 512
  const fit = limits.sessionWriteBytes / bytes
  const data = Buffer.alloc(bytes, 0x55)
  const tags = Array.from({ length: fit + 2 }, () => {
    return initiator.command({ cdb: write10(0, blocks), data })
  })
  t.equal((await initiator.run({ cdb: Buffer.alloc(6) })).status, 0)
  const asked = initiator.received.filter(({ opcode }) => opcode === Opcode.READY_TO_TRANSFER)
  t.equal(asked.length, fit, 'no more is asked for than there is room for')
  for (const _ of tags) initiator.answerR2t(await initiator.nextR2t(), data)
  for (const tag of tags) t.equal((await initiator.end(tag)).status, 0, 'each gets its turn')
})

t.test('residuals', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  const short = await initiator.run({ cdb: read10(0, 2), readBytes: 700 })
  t.match(short, { status: 0, overflow: true, underflow: false, residualCount: 324 })
  t.equal(short.data.length, 700)
  const long = await initiator.run({ cdb: read10(0, 2), readBytes: 5000 })
  t.match(long, { status: 0, overflow: false, underflow: true, residualCount: 3976 })
  t.equal(long.data.length, 1024)
  const none = await initiator.run({ cdb: read10(0, 2), readBytes: 0 })
  t.match(none, { status: 0, overflow: true, residualCount: 1024 })
  const failed = await initiator.run({ cdb: read10(0xffffff00, 2), readBytes: 1024 })
  t.match(failed, { status: 2, underflow: true, residualCount: 1024 })
})

t.test('sessions that never send their data do not keep others from writing', async (t) => {
  const rig = await rigFor(t, { unitBlocks: 16_384 })
  const hoarders = limits.programWriteBytes / limits.sessionWriteBytes
  const data = Buffer.alloc(8 * 1024 * KIB)
  for (let i = 0; i < hoarders; i++) {
    const initiator = await rig.login({ isid: Buffer.from([0x80, 0, 0, 0, 1, i]) })
    for (let n = 0; n < limits.sessionWriteBytes / data.length; n++) {
      initiator.command({ cdb: write10(0, 16_384), data, immediateBytes: 0 })
      await initiator.nextR2t()
    }
  }
  const honest = await rig.login({ isid: Buffer.from([0x80, 0, 0, 0, 2, 0]) })
  const some = pattern(16 * KIB)
  const tag = honest.command({ cdb: write10(0, 32), data: some, immediateBytes: 0 })
  honest.answerR2t(await honest.nextR2t(), some)
  t.equal((await honest.end(tag)).status, 0)
  t.ok(rig.unit.content.subarray(0, some.length).equals(some))
})

/** Time passes while the initiator shows that it lives. */
async function passes(rig: PortalRig, initiator: RawInitiator, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 10_000) {
    await rig.clock.advance(Math.min(left, 10_000))
    await initiator.run({ cdb: Buffer.alloc(6) })
  }
}

t.test('a unit that takes too long is told to stop, and its command is answered', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  rig.unit.shut()
  const stopped = initiator.command({ cdb: read10(0, 1), readBytes: 512 })
  const done = initiator.command({ cdb: read10(1, 1), readBytes: 512 })
  await until(() => rig.unit.held.length === 2, 'both have begun')
  await passes(rig, initiator, limits.taskDeadlineMs - 10_000)
  t.equal(
    rig.unit.held.some(({ aborted }) => aborted),
    false,
  )
  await passes(rig, initiator, 10_000 + limits.sweepMs)
  t.equal(
    rig.unit.held.every(({ aborted }) => aborted),
    true,
    'told',
  )
  t.equal(initiator.received.length, 0, 'no answer while it may touch the store')
  rig.unit.failNext = 'drop'
  rig.unit.open()
  const { status, sense } = await initiator.end(stopped)
  t.same([status, sense.readUInt16BE(12)], [2, 0x2e02], 'command timeout during processing')
  t.equal((await initiator.end(done)).status, 0, 'what is done all the same is done')
})

t.test('a command that never ends ends its session', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  rig.unit.shut()
  initiator.command({ cdb: read10(0, 1), readBytes: 512 })
  await until(() => rig.unit.held.length === 1, 'it has begun')
  const session = rig.portal.sessions[0]!
  await passes(rig, initiator, limits.taskDeadlineMs)
  t.equal(initiator.ended, false)
  await rig.clock.advance(limits.taskManagementDeadlineMs + limits.sweepMs)
  await initiator.closed
  t.equal(rig.portal.sessions.length, 1, 'it is not over while something may touch the store')
  rig.unit.open()
  await session.ended
})

t.test('requests for what was sent already do not pile up', async (t) => {
  const blocks = 2048
  const rig = await rigFor(t, { unitBlocks: blocks })
  const keys = { ErrorRecoveryLevel: '1' }
  const deaf = await rig.login({ keys })
  deaf.acknowledges = false
  const tag = deaf.command({ cdb: read10(0, blocks), readBytes: blocks * 512 })
  t.equal((await deaf.end(tag)).status, 0)
  deaf.stream.pause()
  for (let left = 200; left > 0; left--) deaf.snack({ type: SnackType.DATA_OR_R2T, tag })
  const other = await rig.login({ isid: Buffer.from('400001370009', 'hex') })
  t.equal((await other.run({ cdb: read10(0, 1), readBytes: 512 })).status, 0, 'others are served')
  if (!(deaf.stream instanceof MemoryStream)) throw new Error('not a stream in memory')
  const queued = deaf.stream.peer!.queuedBytes
  t.ok(queued <= limits.sessionReadBytes + 2 * blocks * 512, `${queued} bytes are queued`)
  deaf.stream.resume()
  for (let left = 200; left > 0; left--) t.equal((await deaf.end(tag)).status, 0)
})

t.test('who sends more unasked for than there is memory is not read', async (t) => {
  const writeBytes = 1024 * KIB
  const rig = await rigFor(t, { writeBytes, unitBlocks: 16_384 })
  const bold = await rig.login()
  const data = pattern(64 * KIB)
  rig.unit.shut()
  const tags = Array.from({ length: 100 }, () =>
    bold.command({ cdb: write10(0, 128), data, immediateBytes: data.length }),
  )
  const modest = await rig.login({ isid: Buffer.from('400001370009', 'hex') })
  const small = pattern(512)
  const tag = modest.command({ cdb: write10(0, 1), data: small, immediateBytes: 512 })
  await until(() => rig.unit.held.some((task) => task.nexus.initiatorPort.endsWith('9')), 'begun')
  const begun = rig.unit.held.length - 1
  t.equal(begun, writeBytes / data.length + 1, 'one beyond the limit, no more')
  rig.unit.open()
  t.equal((await modest.end(tag)).status, 0)
  for (const each of tags) t.equal((await bold.end(each)).status, 0)
})

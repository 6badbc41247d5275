/** Recovery inside a session: SNACK, recovery R2T, digests (level 1), reassignment (level 2). */
import t, { type Test } from 'tap'
import { portal as limits } from '../../../src/base/limits.ts'
import type { Frame } from '../../../src/iscsi/framer.ts'
import { AsyncEvent, asyncMessage } from '../../../src/iscsi/pdu/async-message.ts'
import { dataIn } from '../../../src/iscsi/pdu/data-in.ts'
import { LogoutReason } from '../../../src/iscsi/pdu/logout-request.ts'
import { nopOut } from '../../../src/iscsi/pdu/nop-out.ts'
import { Opcode, RESERVED_TAG } from '../../../src/iscsi/pdu/opcode.ts'
import { RejectReason } from '../../../src/iscsi/pdu/reject.ts'
import { scsiResponse } from '../../../src/iscsi/pdu/scsi-response.ts'
import { SnackType } from '../../../src/iscsi/pdu/snack-request.ts'
import { TaskManagementFunction as Manage } from '../../../src/iscsi/pdu/task-management-request.ts'
import { textRequest } from '../../../src/iscsi/pdu/text-request.ts'
import { encodeText } from '../../../src/iscsi/text.ts'
import { type PortalRig, rigTarget, until } from '../../support/portal-rig.ts'
import { type RawInitiator, read10, write10 } from '../../support/raw-initiator.ts'
import { rigFor } from './rig-for.ts'

const level1 = { ErrorRecoveryLevel: '1', MaxRecvDataSegmentLength: '512' }
const read = { cdb: read10(0, 1), readBytes: 512 }
const pattern = Buffer.from(
  Array.from({ length: 4096 }, (_, index) => (index * 7 + (index >> 8)) & 0xff),
)

/** Blocks 0 to 7 hold the pattern. */
async function fill(initiator: RawInitiator): Promise<void> {
  const tag = initiator.command({ cdb: write10(0, 8), data: pattern })
  initiator.answerR2t(await initiator.nextR2t(), pattern)
  const { status } = await initiator.end(tag)
  if (status !== 0) throw new Error('the pattern was not written')
}

/** Everything that comes up to and with the status of the command. */
async function answerOf(initiator: RawInitiator, tag: number): Promise<Frame[]> {
  const frames: Frame[] = []
  for (;;) {
    const frame = await initiator.next(undefined, ({ opcode, header }) => {
      const isAnswer = opcode === Opcode.DATA_IN || opcode === Opcode.SCSI_RESPONSE
      return isAnswer && header.readUInt32BE(16) === tag
    })
    frames.push(frame)
    if (frame.opcode === Opcode.SCSI_RESPONSE || dataIn.decode(frame.header).hasStatus)
      return frames
  }
}

const reason = async (initiator: RawInitiator): Promise<number> =>
  (await initiator.next(Opcode.REJECT)).header[2]!

t.test('data of a read once more', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login({ keys: level1 })
  await fill(initiator)
  initiator.acknowledges = false
  const tag = initiator.command({ cdb: read10(0, 8), readBytes: 4096 })
  const frames = await answerOf(initiator, tag)
  t.equal(frames.length, 8)
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag, begRun: 2, runLength: 3 })
  for (const dataSn of [2, 3, 4]) {
    const again = await initiator.next(Opcode.DATA_IN)
    t.ok(again.header.equals(frames[dataSn]!.header), `DataSN ${dataSn} is an exact replica`)
    t.ok(Buffer.concat(again.data).equals(pattern.subarray(dataSn * 512, dataSn * 512 + 512)))
  }
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag, begRun: 6, runLength: 0 })
  const rest = await answerOf(initiator, tag)
  t.equal(rest.length, 2, 'from there on')
  t.ok(rest[1]!.header.equals(frames[7]!.header), 'the status with the last')
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag })
  t.equal((await answerOf(initiator, tag)).length, 8, 'two zeros ask for all')
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag, begRun: 7, runLength: 2 })
  t.equal(await reason(initiator), RejectReason.PROTOCOL_ERROR, 'one of them was never sent')
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag: 0x999, begRun: 0, runLength: 1 })
  t.equal(await reason(initiator), RejectReason.PROTOCOL_ERROR, 'no such task')

  initiator.expStatSn = dataIn.decode(frames[7]!.header).statSn + 1
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag, begRun: 0, runLength: 1 })
  t.equal(await reason(initiator), RejectReason.PROTOCOL_ERROR, 'it was acknowledged')
  initiator.snack({ type: 9 })
  t.equal(await reason(initiator), RejectReason.INVALID_PDU_FIELD)
})

t.test('statuses once more', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login({ keys: level1 })
  initiator.acknowledges = false
  const first = initiator.expStatSn
  const bad = initiator.command({ cdb: Buffer.from([0xff, 0, 0, 0, 0, 0]) })
  const [refused] = await answerOf(initiator, bad)
  const echo = nopOut.build({
    lun: Buffer.alloc(8),
    initiatorTaskTag: 0x42,
    targetTransferTag: RESERVED_TAG,
    cmdSn: initiator.cmdSn++,
    expStatSn: initiator.expStatSn,
  })
  initiator.send(echo, { data: [Buffer.from('echo')] })
  const pong = await initiator.next(Opcode.NOP_IN)
  const ask = textRequest.build({
    final: true,
    continues: false,
    lun: Buffer.alloc(8),
    initiatorTaskTag: 0x43,
    targetTransferTag: RESERVED_TAG,
    cmdSn: initiator.cmdSn++,
    expStatSn: initiator.expStatSn,
  })
  initiator.send(ask, { data: [encodeText([['SendTargets', '']])] })
  const text = await initiator.next(Opcode.TEXT_RESPONSE)
  initiator.manage({ function: Manage.ABORT_TASK, referencedTag: 0x999 })
  const managed = await initiator.next(Opcode.TASK_MANAGEMENT_RESPONSE)

  const sent = [refused!, pong, text, managed]
  initiator.snack({ type: SnackType.STATUS, begRun: first, runLength: 4 })
  for (const frame of sent) {
    const again = await initiator.next(frame.opcode)
    t.equal(again.header.readUInt32BE(24), frame.header.readUInt32BE(24), 'the same StatSN')
    t.ok(again.header.subarray(0, 24).equals(frame.header.subarray(0, 24)))
    t.equal(again.header.readUInt32BE(32), managed.header.readUInt32BE(32), 'the newest window')
    t.ok(Buffer.concat(again.data).equals(Buffer.concat(frame.data)))
  }
  initiator.snack({ type: SnackType.STATUS, begRun: first + 3 })
  await initiator.next(Opcode.TASK_MANAGEMENT_RESPONSE)
  initiator.snack({ type: SnackType.STATUS, begRun: first + 3, runLength: 2 })
  t.equal(await reason(initiator), RejectReason.PROTOCOL_ERROR, 'never sent')
  initiator.expStatSn = first + 1
  initiator.snack({ type: SnackType.STATUS, begRun: first, runLength: 1 })
  t.equal(await reason(initiator), RejectReason.PROTOCOL_ERROR, 'acknowledged')
  initiator.expStatSn = first + 1_000_000
  initiator.snack({ type: SnackType.STATUS, begRun: first + 1, runLength: 1 })
  await initiator.next(Opcode.NOP_IN)
  t.pass('a number that was never sent acknowledges nothing')
})

t.test('what is kept is bounded', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login({ keys: level1 })
  initiator.acknowledges = false
  const first = initiator.expStatSn
  const tags: number[] = []
  for (let left = limits.keptResponses + 1; left > 0; left--) {
    const tag = initiator.command(read)
    tags.push(tag)
    await initiator.end(tag)
  }
  initiator.snack({ type: SnackType.STATUS, begRun: first, runLength: 1 })
  t.equal(await reason(initiator), RejectReason.SNACK_REJECT, 'the oldest is forgotten')
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag: tags[0]!, begRun: 0, runLength: 1 })
  t.equal(await reason(initiator), RejectReason.SNACK_REJECT)
  initiator.snack({ type: SnackType.R_DATA, tag: tags[0]!, transferTag: 5 })
  t.equal(await reason(initiator), RejectReason.SNACK_REJECT)
  initiator.snack({ type: SnackType.STATUS, begRun: first + limits.keptResponses, runLength: 1 })
  t.equal((await answerOf(initiator, tags.at(-1)!)).length, 1)
})

const isidOf = (number: number) => Buffer.from([0x80, 0, 0, 0, 0, number])

t.test('what all keep together is bounded, and who keeps most forgets first', async (t) => {
  const keptBytes = 16 * 1024
  const rig = await rigFor(t, { keptBytes })
  const modest = await rig.login({ keys: level1, isid: isidOf(1) })
  modest.acknowledges = false
  const first = modest.expStatSn
  const tag = modest.command(read)
  await modest.end(tag)
  const greedy: RawInitiator[] = []
  for (const number of [2, 3, 4]) {
    const initiator = await rig.login({ keys: level1, isid: isidOf(number) })
    greedy.push(initiator)
    initiator.acknowledges = false
    for (let left = 12; left > 0; left--) {
      await initiator.end(initiator.command(read))
      t.ok(rig.portal.keptBytes <= keptBytes, `${rig.portal.keptBytes} bytes`)
    }
  }
  t.ok(rig.portal.keptBytes > keptBytes / 2, 'and it is made use of')
  modest.snack({ type: SnackType.STATUS, begRun: first, runLength: 1 })
  t.equal((await answerOf(modest, tag)).length, 1, 'who keeps little has it still')
  greedy[0]?.snack({ type: SnackType.STATUS, begRun: first, runLength: 1 })
  t.equal(await reason(greedy[0]!), RejectReason.SNACK_REJECT)
  for (const initiator of [modest, ...greedy]) initiator.close()
  await until(() => rig.portal.sessions.length === 0, 'all sessions end')
  t.equal(rig.portal.keptBytes, 0, 'nothing is kept for those who are gone')
})

t.test('acknowledged data, and data cut anew', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login({
    keys: { ...level1, MaxBurstLength: '1024', FirstBurstLength: '512' },
  })
  const data = pattern
  for (const at of [0, 2, 4, 6]) {
    const part = data.subarray(at * 512, at * 512 + 1024)
    const tag = initiator.command({ cdb: write10(at, 2), data: part })
    initiator.answerR2t(await initiator.nextR2t(), part)
    t.equal((await initiator.end(tag)).status, 0)
  }
  initiator.acknowledges = false
  const tag = initiator.command({ cdb: read10(0, 8), readBytes: 4096 })
  const frames = (await answerOf(initiator, tag)).map((frame) => dataIn.decode(frame.header))
  const asking = frames.filter(({ acknowledge }) => acknowledge)
  t.same(
    asking.map(({ dataSn }) => dataSn),
    [1, 3, 5],
    'asked for once a burst; the status acknowledges the last',
  )
  const { targetTransferTag: transferTag, lun } = asking[0]!
  t.not(transferTag, RESERVED_TAG)
  initiator.snack({ type: SnackType.DATA_ACK, transferTag, lun: Buffer.from(lun), begRun: 4 })
  initiator.snack({ type: SnackType.DATA_ACK, transferTag, begRun: 2 })
  t.equal(await reason(initiator), RejectReason.INVALID_DATA_ACK, 'it goes forwards only')
  initiator.snack({ type: SnackType.DATA_ACK, transferTag: 0x999, begRun: 4 })
  t.equal(await reason(initiator), RejectReason.INVALID_DATA_ACK, 'no such tag')
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag, begRun: 3, runLength: 1 })
  t.equal(await reason(initiator), RejectReason.PROTOCOL_ERROR, 'it was acknowledged')

  // The initiator can take more now; what it has not acknowledged comes in larger pieces.
  const ask = textRequest.build({
    final: true,
    continues: false,
    lun: Buffer.alloc(8),
    initiatorTaskTag: 0x43,
    targetTransferTag: RESERVED_TAG,
    cmdSn: initiator.cmdSn++,
    expStatSn: initiator.expStatSn,
  })
  initiator.send(ask, { data: [encodeText([['MaxRecvDataSegmentLength', '1024']])] })
  await initiator.next(Opcode.TEXT_RESPONSE)
  initiator.snack({ type: SnackType.R_DATA, tag, transferTag: 0x77 })
  const anew: Frame[] = []
  for (let left = 2; left > 0; left--) anew.push(await initiator.next(Opcode.DATA_IN))
  const response = scsiResponse.decode((await initiator.next(Opcode.SCSI_RESPONSE)).header)
  t.same(
    anew.map(({ header }) => [dataIn.decode(header).dataSn, dataIn.decode(header).bufferOffset]),
    [
      [4, 2048],
      [5, 3072],
    ],
  )
  t.ok(Buffer.concat(anew.flatMap(({ data }) => data)).equals(pattern.subarray(2048)))
  t.equal(
    anew.every(({ header }) => !dataIn.decode(header).hasStatus),
    true,
  )
  t.same(
    [response.snackTag, response.expDataSn, response.status, response.statSn],
    [0x77, 6, 0, frames.at(-1)!.statSn],
  )
  initiator.snack({ type: SnackType.STATUS, begRun: response.statSn, runLength: 1 })
  const status = scsiResponse.decode((await initiator.next(Opcode.SCSI_RESPONSE)).header)
  t.equal(status.snackTag, 0x77, 'the newest status there is')
  initiator.snack({ type: SnackType.R_DATA, tag, transferTag: 0x78, begRun: 1 })
  t.equal(await reason(initiator), RejectReason.INVALID_PDU_FIELD)
})

t.test('a command whose immediate data were damaged is sent again', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login({ keys: { ...level1, DataDigest: 'CRC32C' } })
  const { cmdSn } = initiator
  const write = { cdb: write10(0, 1), data: pattern.subarray(0, 512), immediateBytes: 512, tag: 77 }
  initiator.damaged(60, () => initiator.command({ ...write, cmdSn }))
  t.equal(await reason(initiator), RejectReason.DATA_DIGEST_ERROR)
  t.equal(initiator.expCmdSn, cmdSn, 'its number is still awaited')
  t.equal((await initiator.run({ ...write, cmdSn })).status, 0)
  t.equal(rig.unit.calls.length, 1)
})

t.test('an R2T once more', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login({
    keys: { ...level1, MaxBurstLength: '2048', FirstBurstLength: '512' },
  })
  const tag = initiator.command({ cdb: write10(0, 8), data: pattern })
  const lost = await initiator.nextR2t()
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag, begRun: 0, runLength: 1 })
  t.same(await initiator.nextR2t(), lost)
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag, begRun: 1, runLength: 1 })
  t.equal(await reason(initiator), RejectReason.PROTOCOL_ERROR, 'never sent')
  initiator.answerR2t(lost, pattern)
  const second = await initiator.nextR2t()
  t.same([second.r2tSn, second.bufferOffset], [1, 2048])
  initiator.snack({ type: SnackType.DATA_OR_R2T, tag, begRun: 0, runLength: 1 })
  t.equal(await reason(initiator), RejectReason.PROTOCOL_ERROR, 'answered')
  initiator.answerR2t(second, pattern)
  t.equal((await initiator.end(tag)).status, 0)
})

/** A write of the pattern in four Data-Out PDUs, one of which suffers. */
async function sufferingWrite(
  t: Test,
  keys: Record<string, string>,
  suffer: (initiator: RawInitiator, send: () => void) => Promise<void> | void,
  which: number,
): Promise<{ readonly rig: PortalRig; readonly initiator: RawInitiator; readonly tag: number }> {
  const rig = await rigFor(t)
  const initiator = await rig.login({ keys: { ...level1, ...keys } })
  const tag = initiator.command({ cdb: write10(0, 8), data: pattern })
  const r2t = await initiator.nextR2t()
  for (let index = 0; index < 4; index++) {
    const offset = index * 1024
    const send = (): void =>
      initiator.dataOut({
        tag,
        transferTag: r2t.targetTransferTag,
        offset,
        dataSn: index,
        final: index === 3,
        data: pattern.subarray(offset, offset + 1024),
      })
    if (index === which) await suffer(initiator, send)
    else send()
  }
  return { rig, initiator, tag }
}

async function recovered(
  t: Test,
  { rig, initiator, tag }: Awaited<ReturnType<typeof sufferingWrite>>,
  offset: number,
): Promise<void> {
  const again = await initiator.nextR2t()
  t.same([again.r2tSn, again.bufferOffset], [1, offset])
  t.equal(again.desiredDataTransferLength, 4096 - offset)
  t.same(rig.unit.calls, [], 'the store is not touched by half a write')
  initiator.answerR2t(again, pattern)
  const response = await initiator.end(tag)
  t.equal(response.status, 0)
  const { data } = await initiator.run({ cdb: read10(0, 8), readBytes: 4096 })
  t.ok(data.equals(pattern))
}

t.test('data damaged on their way are asked for again', async (t) => {
  const keys = { DataDigest: 'CRC32C' }
  for (const which of [0, 1, 3]) {
    const damage = async (initiator: RawInitiator, send: () => void): Promise<void> => {
      initiator.damaged(48 + 100, send)
      t.equal(await reason(initiator), RejectReason.DATA_DIGEST_ERROR)
    }
    await recovered(t, await sufferingWrite(t, keys, damage, which), which * 1024)
  }
})

t.test('a PDU with a damaged header is passed over', async (t) => {
  const keys = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' }
  const damage = (initiator: RawInitiator, send: () => void): void => initiator.damaged(40, send)
  await recovered(t, await sufferingWrite(t, keys, damage, 1), 1024)

  const last = await sufferingWrite(t, keys, damage, 3)
  const heard = last.rig.portal.sessions[0]!.ping()
  await last.rig.clock.advance(limits.pingPutOffMs)
  await last.initiator.answerPing()
  t.equal(await heard, true)
  t.equal(last.initiator.received.length, 0, 'nothing says that the last was lost')
  await last.rig.clock.advance(limits.sequenceDeadlineMs + limits.sweepMs)
  await recovered(t, last, 3072)
})

t.test('a header that cannot be believed twice ends the connection', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login({ keys: { ...level1, HeaderDigest: 'CRC32C' } })
  initiator.damaged(20, () => initiator.command(read))
  initiator.damaged(20, () => initiator.command(read))
  await initiator.closed
  const other = await rig.login({ keys: { ...level1, HeaderDigest: 'CRC32C' } })
  // A length that was damaged leads nowhere: what follows is no header.
  other.damaged(6, () => other.command(read))
  other.command(read)
  for (let left = 64 * 1024; left > 0; left -= 1024) other.stream.write([Buffer.alloc(1024, 0xee)])
  await other.closed
  t.equal(rig.unit.calls.length, 0)
})

t.test('a PDU that never came shows by its number', async (t) => {
  await recovered(t, await sufferingWrite(t, {}, () => undefined, 2), 2048)
})

t.test('unsolicited data are recovered with an R2T', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login({ keys: { ...level1, DataDigest: 'CRC32C' } })
  const tag = initiator.command({ cdb: write10(0, 8), data: pattern, final: false })
  const piece = (index: number): void =>
    initiator.dataOut({
      tag,
      offset: index * 2048,
      dataSn: index,
      final: index === 1,
      data: pattern.subarray(index * 2048, index * 2048 + 2048),
    })
  initiator.damaged(60, () => piece(0))
  piece(1)
  t.equal(await reason(initiator), RejectReason.DATA_DIGEST_ERROR)
  const again = await initiator.nextR2t()
  t.same([again.r2tSn, again.bufferOffset, again.desiredDataTransferLength], [0, 0, 4096])
  initiator.answerR2t(again, pattern)
  t.equal((await initiator.end(tag)).status, 0)
})

t.test('data that are lost for ever end the command', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login({ keys: { ...level1, DataDigest: 'CRC32C' } })
  const tag = initiator.command({ cdb: write10(0, 8), data: pattern })
  for (let round = 0; round < 17; round++) {
    const r2t = await initiator.nextR2t()
    initiator.damaged(60, () => initiator.answerR2t(r2t, pattern))
  }
  const { status, sense } = await initiator.end(tag)
  t.equal(status, 2)
  t.equal(sense.readUInt16BE(12), 0x4705, 'protocol service CRC error')
  t.same(rig.unit.calls, [])
})

const level2 = { ...level1, ErrorRecoveryLevel: '2', MaxConnections: '2' }

interface Pair {
  readonly rig: PortalRig
  readonly tsih: number
  readonly first: RawInitiator
}

async function pairFor(t: Test, keys: Record<string, string> = {}): Promise<Pair> {
  const rig = await rigFor(t)
  const first = await rig.connect()
  const { status, tsih } = await first.login({
    targetName: rigTarget,
    keys: { ...level2, ...keys },
  })
  t.equal(status, 0)
  return { rig, tsih, first }
}

async function another({ rig, tsih, first }: Pair, cid: number): Promise<RawInitiator> {
  const second = await rig.connect()
  second.shareNumbers(first)
  const { status } = await second.login({ targetName: rigTarget, tsih, cid, keys: level1 })
  if (status !== 0) throw new Error(`not let in: ${status.toString(16)}h`)
  return second
}

t.test('tasks of a lost connection go on over another one', async (t) => {
  const pair = await pairFor(t)
  const { rig, first } = pair
  await fill(first)
  const second = await another(pair, 1)
  first.acknowledges = false
  const answered = first.command({ cdb: read10(0, 8), readBytes: 4096 })
  await answerOf(first, answered)
  const refused = first.command({ cdb: Buffer.from([0xff, 0, 0, 0, 0, 0]) })
  await answerOf(first, refused)
  const written = Buffer.alloc(2048, 0x77)
  const writing = first.command({ cdb: write10(16, 4), data: written })
  const r2t = await first.nextR2t()
  first.dataOut({
    tag: writing,
    transferTag: r2t.targetTransferTag,
    offset: 0,
    final: false,
    data: written.subarray(0, 512),
  })
  rig.unit.shut()
  const running = first.command({ cdb: read10(0, 2), readBytes: 1024 })
  const parked = first.command({ cdb: read10(2, 1), readBytes: 512 })
  await until(() => rig.unit.held.length === 2, 'both have begun')

  first.close()
  const { header } = await second.next(Opcode.ASYNC_MESSAGE)
  const message = asyncMessage.decode(header)
  t.equal(message.asyncEvent, AsyncEvent.CONNECTION_DROPPED)
  t.same(
    [message.parameter2, message.parameter3],
    [limits.time2WaitSeconds, limits.time2RetainSeconds],
  )
  t.equal(
    rig.unit.held.some(({ aborted }) => aborted),
    false,
    'nothing is aborted',
  )
  const reassign = (tag: number, expDataSn = 0): Promise<number> => {
    second.manage({ function: Manage.TASK_REASSIGN, referencedTag: tag, expDataSn })
    return second.managed()
  }
  t.equal(await reassign(answered), 3, 'still allegiant: nobody has logged the connection out')
  t.same(await second.logout(LogoutReason.REMOVE_FOR_RECOVERY, 0), [
    0,
    limits.time2WaitSeconds,
    limits.time2RetainSeconds,
  ])
  t.equal(await reassign(0x999), 1, 'no such task')

  t.equal(await reassign(answered, 6), 0)
  const rest = await answerOf(second, answered)
  t.same(
    rest.map(({ header }) => dataIn.decode(header).dataSn),
    [6, 7],
    'what ExpDataSN acknowledges does not come again',
  )
  t.ok(Buffer.concat(rest.flatMap(({ data }) => data)).equals(pattern.subarray(3072)))
  t.equal(await reassign(refused), 0)
  t.equal((await second.end(refused)).status, 2)

  t.equal(await reassign(writing), 0)
  const again = await second.nextR2t()
  t.same([again.r2tSn, again.bufferOffset, again.desiredDataTransferLength], [0, 0, 2048])
  second.answerR2t(again, written)
  t.equal(await reassign(running), 0, 'while it is running')
  rig.unit.open()
  t.equal((await second.end(running)).data.length, 1024)
  t.equal((await second.end(writing)).status, 0)
  t.equal(await reassign(parked), 0, 'after it has settled')
  t.ok((await second.end(parked)).data.equals(pattern.subarray(1024, 1536)))
  t.equal(second.maxCmdSn - second.expCmdSn, 127, 'all slots are free')
  t.ok((await second.run({ cdb: read10(16, 4), readBytes: 2048 })).data.equals(written))
  second.acknowledges = false
  const later = second.command(read)
  await second.end(later)
  t.equal(await reassign(later), 3, 'allegiant to this connection until it is acknowledged')
  second.acknowledges = true
})

t.test('a session that lost its only connection is continued', async (t) => {
  const pair = await pairFor(t)
  const { rig, first } = pair
  rig.unit.shut()
  const tag = first.command({ ...read, cdb: read10(3, 1) })
  await until(() => rig.unit.held.length === 1, 'it has begun')
  const session = rig.portal.sessions[0]!
  const alive = session.ping()
  first.close()
  await rig.clock.advance(1000)
  rig.unit.open()
  t.equal(rig.portal.sessions.length, 1, 'it waits')
  const again = await another(pair, 0)
  await again.answerPing()
  t.equal(await alive, true, 'a ping waits for the connection that comes')
  again.manage({ function: Manage.TASK_REASSIGN, referencedTag: tag })
  t.equal(await again.managed(), 0, 'the same CID logs the former one out')
  t.equal((await again.end(tag)).status, 0)
  await rig.clock.advance((limits.time2WaitSeconds + limits.time2RetainSeconds) * 1000)
  await again.answerPing()
  t.equal(rig.portal.sessions.length, 1, 'only what is left of the former connection expires')
  t.equal((await again.run(read)).status, 0)
})

t.test('nobody comes back in time', async (t) => {
  const pair = await pairFor(t)
  const { rig, first } = pair
  rig.unit.shut()
  first.command(read)
  first.command({ cdb: write10(0, 8), data: pattern })
  await first.nextR2t()
  await until(() => rig.unit.held.length === 1, 'it has begun')
  const session = rig.portal.sessions[0]!
  const alive = session.ping()
  first.close()
  const keptMs = (limits.time2WaitSeconds + limits.time2RetainSeconds) * 1000
  await rig.clock.advance(keptMs - 1000)
  t.equal(rig.unit.held[0]!.aborted, false)
  await rig.clock.advance(2000)
  t.equal(rig.unit.held[0]!.aborted, true)
  t.equal(await alive, false)
  rig.unit.open()
  await session.ended
  const late = await rig.connect()
  const { status } = await late.login({ targetName: rigTarget, tsih: pair.tsih })
  t.equal(status, 0x20a, 'the session does not exist any more')
})

t.test('nothing is kept where nothing is to be retained', async (t) => {
  const { rig, first } = await pairFor(t, { DefaultTime2Retain: '0' })
  first.close()
  await until(() => rig.portal.sessions.length === 0, 'the session ends with its connection')
})

t.test('tasks without a connection can be aborted', async (t) => {
  const pair = await pairFor(t)
  const { rig, first } = pair
  const second = await another(pair, 1)
  rig.unit.shut()
  const tag = first.command(read)
  const settled = first.command(read)
  await until(() => rig.unit.held.length === 2, 'both have begun')
  first.close()
  await second.next(Opcode.ASYNC_MESSAGE)
  second.manage({ function: Manage.ABORT_TASK, referencedTag: tag })
  await until(() => rig.unit.held[0]!.aborted, 'told')
  rig.unit.open()
  t.equal(await second.managed(), 0)
  second.manage({ function: Manage.ABORT_TASK, referencedTag: settled })
  t.equal(await second.managed(), 0, 'it had settled and was never answered')
  t.equal(second.maxCmdSn - second.expCmdSn, 127)
  t.same(
    (await second.logout(LogoutReason.CLOSE_CONNECTION, 0))[0],
    0,
    'nor is the rest of it kept',
  )
  t.equal((await second.logout(LogoutReason.REMOVE_FOR_RECOVERY, 0))[0], 1, 'CID not found')
  second.sendLogin()
  t.equal(await reason(second), RejectReason.PROTOCOL_ERROR)
})

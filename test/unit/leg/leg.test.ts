/**
 * The leg against a real portal over a network in memory, cut into chunks of all sizes, and against
 * targets that are silent, refuse, or break every rule: whatever they do costs the session only.
 */
import t, { type Test } from 'tap'
import { leg as limits } from '../../../src/base/limits.ts'
import { encodeFrame } from '../../../src/iscsi/encode-frame.ts'
import { type Frame, Framer } from '../../../src/iscsi/framer.ts'
import { fencedLoginPolicy } from '../../../src/iscsi/login-policy.ts'
import { asyncMessage } from '../../../src/iscsi/pdu/async-message.ts'
import { dataIn } from '../../../src/iscsi/pdu/data-in.ts'
import { loginResponse } from '../../../src/iscsi/pdu/login-response.ts'
import { nopIn } from '../../../src/iscsi/pdu/nop-in.ts'
import { Opcode, RESERVED_TAG } from '../../../src/iscsi/pdu/opcode.ts'
import { readyToTransfer } from '../../../src/iscsi/pdu/ready-to-transfer.ts'
import { reject } from '../../../src/iscsi/pdu/reject.ts'
import { scsiResponse } from '../../../src/iscsi/pdu/scsi-response.ts'
import { taskManagementResponse } from '../../../src/iscsi/pdu/task-management-response.ts'
import { encodeText, isTextFault, parseText } from '../../../src/iscsi/text.ts'
import type { Leg } from '../../../src/leg/leg.ts'
import type { LegAnswer } from '../../../src/leg/leg-command.ts'
import { type LegOptions, openLeg, probe } from '../../../src/leg/open-leg.ts'
import type { ByteStream } from '../../../src/ports/network.ts'
import { encodeGenerationHeader } from '../../../src/volume/generation-header.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { MemoryNetwork } from '../../support/memory-network.ts'
import { PortalRig, rigTarget, until } from '../../support/portal-rig.ts'
import { read10, write10 } from '../../support/raw-initiator.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const isid = Buffer.from('800000700001', 'hex')
const initiatorName = 'iqn.2026-11.example:leg'
const blockBytes = 512

function optionsFor(rig: PortalRig): LegOptions {
  const { network, clock, address } = rig
  return { network, clock, address, initiatorName, isid, targetName: rigTarget }
}

async function opened(options: LegOptions): Promise<Leg> {
  const opening = await openLeg(options)
  if (opening.kind !== 'open') throw new Error(opening.cause)
  return opening.leg
}

const sizes = [1, 15, 127, 128, 129, 512, 513, 2000]

t.test('writes and reads of all sizes, in chunks of all sizes', async (t) => {
  const random = seededRandom(3)
  for (const chunkBytes of [7, 48, 1000, 65_536]) {
    const rig = await PortalRig.start({ chunkBytes, policy: fencedLoginPolicy })
    const leg = await opened({ ...optionsFor(rig), fenced: { loginNumber: 1 } })
    t.ok(leg.parameters.headerDigest)
    const header = encodeGenerationHeader(5n, 0)
    for (const blocks of chunkBytes < 1000 ? sizes.slice(0, 5) : sizes) {
      const data = random.bytes(blocks * blockBytes)
      const dataOut = [data.subarray(0, 100), data.subarray(100)]
      const wrote = await leg.submit({ lun: 0, cdb: write10(8, blocks), header, dataOut }).answer
      t.match(wrote, { kind: 'status', status: 0 })
      const dataInBytes = data.length
      const read = leg.submit({ lun: 0, cdb: read10(8, blocks), header, dataInBytes })
      const answer = (await read.answer) as LegAnswer & { kind: 'status' }
      t.ok(Buffer.concat(answer.dataIn).equals(data), `${blocks} blocks in chunks of ${chunkBytes}`)
    }
    leg.close()
    t.equal(await leg.ended, 'closed')
    await rig.stop()
  }
})

t.test('sense data, and a session that goes on after it', async (t) => {
  const rig = await PortalRig.start()
  t.teardown(() => rig.stop())
  const leg = await opened(optionsFor(rig))
  const beyond = leg.submit({ lun: 0, cdb: read10(5000, 1), dataInBytes: blockBytes })
  const answer = (await beyond.answer) as LegAnswer & { kind: 'status' }
  t.equal(answer.status, 2)
  t.strictSame([answer.sense![2]! & 15, answer.sense![12]], [5, 0x21])
  t.match(await leg.submit({ lun: 0, cdb: Buffer.alloc(6) }).answer, { status: 0 })
})

t.test('more commands than the window lets through', async (t) => {
  const rig = await PortalRig.start()
  t.teardown(() => rig.stop())
  const leg = await opened(optionsFor(rig))
  rig.unit.shut()
  const read = (lba: number) => leg.submit({ lun: 0, cdb: read10(lba, 1), dataInBytes: blockBytes })
  const tasks = Array.from({ length: 300 }, (_, i) => read(i))
  await until(() => rig.unit.held.length === limits.windowCommands, 'a full window')
  t.equal(leg.commandCount, 300)
  const queued = read(300)
  queued.abort()
  t.strictSame(await queued.answer, { kind: 'lost', sent: false }, 'taken back before it was sent')
  rig.unit.open()
  for (const { answer } of tasks) t.match(await answer, { kind: 'status', status: 0 })
  await leg.idle(1_000)
  t.equal(leg.commandCount, 0)
})

t.test('an immediate command waits for no window', async (t) => {
  const rig = await PortalRig.start()
  t.teardown(() => rig.stop())
  const leg = await opened(optionsFor(rig))
  rig.unit.shut()
  const read = (lba: number) => leg.submit({ lun: 0, cdb: read10(lba, 1), dataInBytes: blockBytes })
  const tasks = Array.from({ length: 200 }, (_, i) => read(i))
  await until(() => rig.unit.held.length === limits.windowCommands, 'a full window')
  const testUnitReady = { lun: 0, cdb: Buffer.alloc(6), immediate: true }
  t.match(await leg.submit(testUnitReady).answer, { kind: 'status', status: 0 })
  rig.unit.open()
  for (const { answer } of tasks) t.match(await answer, { status: 0 }, 'no number was used up')
})

t.test('an abort is answered when the target has ended the command', async (t) => {
  const rig = await PortalRig.start()
  t.teardown(() => rig.stop())
  const leg = await opened(optionsFor(rig))
  rig.unit.shut()
  const read = leg.submit({ lun: 0, cdb: read10(0, 1), dataInBytes: blockBytes })
  await until(() => rig.unit.held.length === 1, 'the read has begun')
  let ended = false
  const answer = read.answer.finally(() => {
    ended = true
  })
  read.abort()
  for (let i = 0; i < 50; i++) await rig.clock.advance(0)
  t.notOk(ended, 'it may still touch the store')
  rig.unit.open()
  t.strictSame(await answer, { kind: 'aborted' })
  t.match(await leg.submit({ lun: 0, cdb: Buffer.alloc(6) }).answer, { status: 0 })
})

t.test(
  'a command that is not answered, while pings are: given up after the deadline',
  async (t) => {
    const rig = await PortalRig.start()
    t.teardown(() => rig.stop())
    const leg = await opened(optionsFor(rig))
    rig.unit.shut()
    const read = leg.submit({ lun: 0, cdb: read10(0, 1), dataInBytes: blockBytes })
    for (let ms = 0; ms < limits.commandDeadlineMs - 250; ms += 50) await rig.clock.advance(50)
    t.ok(leg.open, 'before the deadline')
    for (let ms = 0; ms < 750; ms += 50) await rig.clock.advance(50)
    t.strictSame(await read.answer, { kind: 'lost', sent: true })
    t.match(await leg.ended, /not answered/)
    t.strictSame(await leg.submit({ lun: 0, cdb: read10(0, 1) }).answer, {
      kind: 'lost',
      sent: false,
    })
  },
)

t.test('a login that is refused says why', async (t) => {
  const known = { kind: 'refuse', status: 0x0200, keys: [['X-io.palisade.Login', '77']] } as const
  const rig = await PortalRig.start({ policy: fencedLoginPolicy, decide: () => known })
  t.teardown(() => rig.stop())
  const fenced = { loginNumber: 5 }
  const refused = await openLeg({ ...optionsFor(rig), fenced })
  t.match(refused, { kind: 'refused', status: 0x0200, knownLoginNumber: 77 })
  const elsewhere = await openLeg({ ...optionsFor(rig), targetName: `${rigTarget}:none` })
  t.match(elsewhere, { kind: 'refused', status: 0x0203 })
  const nobody = await openLeg({ ...optionsFor(rig), address: '127.0.0.1:1' })
  t.equal(nobody.kind, 'failed')
})

t.test('a target that does not speak the generation header is refused', async (t) => {
  const rig = await PortalRig.start()
  t.teardown(() => rig.stop())
  const opening = await openLeg({ ...optionsFor(rig), fenced: { loginNumber: 1 } })
  t.match(opening, { kind: 'failed', cause: /generation header/ })
  const portal = { ...optionsFor(rig), deadlineMs: 1_000 }
  t.equal(await probe(portal), true)
  t.equal(await probe({ ...portal, address: '127.0.0.1:1' }), false)
})

/** Speaks the login as it should, and afterwards sends what the test says. */
class ScriptedTarget {
  readonly clock = new ManualClock()
  readonly network = new MemoryNetwork()
  readonly received: Frame[] = []
  stream: ByteStream | undefined
  answersLogin = true

  async open(): Promise<LegOptions> {
    const { address } = await this.network.listen('127.0.0.1:0', (stream) => this.#accept(stream))
    const { network, clock } = this
    return { network, clock, address, initiatorName, isid, targetName: rigTarget }
  }

  send(header: Buffer, data?: readonly Buffer[]): void {
    this.stream!.write(encodeFrame(header, data === undefined ? {} : { data }))
  }

  #accept(stream: ByteStream): void {
    this.stream = stream
    const framer = new Framer({ maxDataSegmentBytes: () => 2 ** 24 - 1, maxAhsBytes: 1020 })
    stream.receive({
      data: (chunk) => {
        framer.push(chunk)
        for (let frame = framer.next(); frame !== undefined; frame = framer.next()) {
          if (frame.kind === 'frame') this.#take(frame)
        }
      },
      ended: () => undefined,
    })
  }

  #take(frame: Frame): void {
    if (frame.opcode !== Opcode.LOGIN_REQUEST) this.received.push(frame)
    else if (this.answersLogin) this.#answerLogin(frame)
  }

  #answerLogin(frame: Frame): void {
    const offered = parseText(Buffer.concat(frame.data))
    if (isTextFault(offered)) throw new Error(offered.why)
    const declared = /Name$|Type$|^MaxRecv/
    const answers = offered
      .filter(([key]) => !declared.test(key))
      .map(([key, value]): [string, string] => [key, key.endsWith('Digest') ? 'None' : value])
    answers.push(['MaxRecvDataSegmentLength', String(limits.maxRecvDataSegmentBytes)])
    const header = loginResponse.build({
      transit: true,
      continues: false,
      currentStage: 1,
      nextStage: 3,
      versionMax: 0,
      versionActive: 0,
      isid,
      tsih: 1,
      initiatorTaskTag: 0,
      statSn: 0,
      expCmdSn: 1,
      maxCmdSn: 32,
      statusClass: 0,
      statusDetail: 0,
    })
    this.send(header, [encodeText(answers)])
  }
}

t.test('a target that is silent: at the login, and after it', async (t) => {
  const mute = new ScriptedTarget()
  mute.answersLogin = false
  const opening = openLeg(await mute.open())
  await mute.clock.advance(limits.loginDeadlineMs + 1)
  t.match(await opening, { kind: 'failed', cause: /in time/ })
  t.equal(mute.clock.timers, 0)

  const target = new ScriptedTarget()
  const leg = await opened(await target.open())
  const read = leg.submit({ lun: 0, cdb: read10(0, 1), dataInBytes: blockBytes })
  const startMs = target.clock.nowMs()
  while (leg.open) await target.clock.advance(50)
  const silentMs = target.clock.nowMs() - startMs
  t.ok(silentMs >= limits.nopDeadlineMs && silentMs <= 2_000, `given up after ${silentMs} ms`)
  t.strictSame(await read.answer, { kind: 'lost', sent: true })
  t.match(await leg.ended, /silent/)
  t.equal(target.clock.timers, 0, 'no timer is left')
})

t.test('a window that never opens is given up', async (t) => {
  const target = new ScriptedTarget()
  const leg = await opened(await target.open())
  const tasks = Array.from({ length: 40 }, () => leg.submit({ lun: 0, cdb: Buffer.alloc(6) }))
  await until(() => target.received.length === 32, 'a full window')
  for (let i = 0; i < 32; i++) {
    const numbers = { statSn: 1 + i, expCmdSn: 33, maxCmdSn: 32 }
    target.send(scsiResponse.build({ ...response, ...numbers, initiatorTaskTag: tagOf(target, i) }))
  }
  for (const { answer } of tasks.slice(0, 32)) t.match(await answer, { status: 0 })
  let statSn = 33
  for (let ms = 0; leg.open && ms < 10_000; ms += 50) {
    await target.clock.advance(50)
    for (const ping of target.received.splice(0)) {
      if (ping.opcode !== Opcode.NOP_OUT) continue
      const initiatorTaskTag = ping.header.readUInt32BE(16)
      const numbers = { statSn: statSn++, expCmdSn: 33, maxCmdSn: 32 }
      target.send(nopIn.build({ ...nop, ...numbers, initiatorTaskTag }))
    }
  }
  t.notOk(leg.open)
  t.strictSame(await tasks[32]!.answer, { kind: 'lost', sent: false })
})

const tagOf = (target: ScriptedTarget, index: number) =>
  target.received[index]!.header.readUInt32BE(16)

const noLun = Buffer.alloc(8)
const numbers = { statSn: 1, expCmdSn: 2, maxCmdSn: 33 }
const response = {
  ...numbers,
  bidirectionalOverflow: false,
  bidirectionalUnderflow: false,
  overflow: false,
  underflow: false,
  response: 0,
  status: 0,
  initiatorTaskTag: 0,
  snackTag: 0,
  expDataSn: 0,
  bidirectionalReadResidualCount: 0,
  residualCount: 0,
}
const data = {
  ...numbers,
  final: true,
  acknowledge: false,
  overflow: false,
  underflow: false,
  hasStatus: true,
  status: 0,
  lun: noLun,
  initiatorTaskTag: 0,
  targetTransferTag: RESERVED_TAG,
  dataSn: 0,
  bufferOffset: 0,
  residualCount: 0,
}
const r2t = {
  ...numbers,
  lun: noLun,
  initiatorTaskTag: 0,
  targetTransferTag: 7,
  r2tSn: 0,
  bufferOffset: 0,
  desiredDataTransferLength: blockBytes,
}
const nop = { ...numbers, lun: noLun, initiatorTaskTag: RESERVED_TAG, targetTransferTag: 9 }

/** What a broken target may send while a read of one block (tag) is under way. */
const hostile: readonly (readonly [string, (tag: number) => Buffer, Buffer?])[] = [
  [
    'a response to no command',
    (tag) => scsiResponse.build({ ...response, initiatorTaskTag: tag + 9 }),
  ],
  [
    'a response out of turn',
    (tag) => scsiResponse.build({ ...response, initiatorTaskTag: tag, statSn: 3 }),
  ],
  [
    'a target failure',
    (tag) => scsiResponse.build({ ...response, initiatorTaskTag: tag, response: 1 }),
  ],
  ['data of no command', () => dataIn.build({ ...data, initiatorTaskTag: 999 }), Buffer.alloc(512)],
  [
    'more data than asked for',
    (tag) => dataIn.build({ ...data, initiatorTaskTag: tag }),
    Buffer.alloc(1024),
  ],
  [
    'data at another offset',
    (tag) => dataIn.build({ ...data, initiatorTaskTag: tag, bufferOffset: 4 }),
    Buffer.alloc(4),
  ],
  [
    'data out of order',
    (tag) => dataIn.build({ ...data, initiatorTaskTag: tag, dataSn: 1 }),
    Buffer.alloc(512),
  ],
  [
    'a longer data segment than we take',
    (tag) => dataIn.build({ ...data, initiatorTaskTag: tag }),
    Buffer.alloc(limits.maxRecvDataSegmentBytes + 4),
  ],
  ['an R2T for a read', (tag) => readyToTransfer.build({ ...r2t, initiatorTaskTag: tag })],
  ['an R2T for no command', () => readyToTransfer.build({ ...r2t, initiatorTaskTag: 999 })],
  ['a reject', () => reject.build({ ...numbers, reason: 4, dataSn: 0 }), Buffer.alloc(48)],
  [
    'an answer to no abort',
    () => taskManagementResponse.build({ ...numbers, response: 0, initiatorTaskTag: 999 }),
  ],
  [
    'a wish for logout',
    () =>
      asyncMessage.build({
        ...numbers,
        lun: noLun,
        asyncEvent: 1,
        asyncVCode: 0,
        parameter1: 0,
        parameter2: 0,
        parameter3: 3,
      }),
  ],
  ['a login response', () => Buffer.from(loginResponseHeader)],
  ['an opcode that is none', () => Buffer.concat([Buffer.from([0x3e]), Buffer.alloc(47)])],
  [
    'an AHS longer than any',
    () => Buffer.concat([Buffer.from([0x21, 0x80, 0, 0, 0xff]), Buffer.alloc(43)]),
  ],
]
const loginResponseHeader = Buffer.concat([Buffer.from([0x23, 0x87]), Buffer.alloc(46)])

t.test('what a hostile target sends ends the session, and nothing else', async (t) => {
  for (const [what, make, segment] of hostile) await session(t, what, make, segment)
})

async function session(
  t: Test,
  what: string,
  make: (tag: number) => Buffer,
  segment: Buffer | undefined,
): Promise<void> {
  const target = new ScriptedTarget()
  const leg = await opened(await target.open())
  const read = leg.submit({ lun: 0, cdb: read10(0, 1), dataInBytes: blockBytes })
  await until(() => target.received.length === 1, 'the read came')
  const header = make(tagOf(target, 0))
  if (header[4] === 0xff) target.stream!.write([header])
  else target.send(header, segment === undefined ? undefined : [segment])
  const cause = await leg.ended
  t.strictSame(await read.answer, { kind: 'lost', sent: true }, `${what}: ${cause}`)
}

t.test('random bytes after the login end the session', async (t) => {
  const random = seededRandom(11)
  for (let i = 0; i < 100; i++) {
    const target = new ScriptedTarget()
    const leg = await opened(await target.open())
    const read = leg.submit({ lun: 0, cdb: read10(0, 1), dataInBytes: blockBytes })
    await until(() => target.received.length === 1, 'the read came')
    for (let n = 0; n < 8; n++) target.stream!.write([random.bytes(1 + random.below(300))])
    target.stream!.close()
    await leg.ended
    t.match(await read.answer, { kind: 'lost', sent: true })
  }
})

t.test('pings of the target are answered, and R2Ts kept to', async (t) => {
  const target = new ScriptedTarget()
  const leg = await opened(await target.open())
  target.send(nopIn.build(nop))
  await until(() => target.received.some(({ opcode }) => opcode === Opcode.NOP_OUT), 'an answer')
  t.equal(target.received[0]!.header.readUInt32BE(20), 9)
  target.received.length = 0
  const blocks = 1024
  const write = { lun: 0, cdb: write10(0, blocks), dataOut: [Buffer.alloc(blocks * blockBytes, 1)] }
  const task = leg.submit(write)
  await until(() => target.received.length === 1, 'the command with immediate data')
  t.equal(target.received[0]!.dataBytes, limits.firstBurstBytes)
  const initiatorTaskTag = tagOf(target, 0)
  const asked = { bufferOffset: limits.firstBurstBytes, desiredDataTransferLength: 100_000 }
  target.send(readyToTransfer.build({ ...r2t, ...asked, initiatorTaskTag }))
  await until(() => target.received.length === 2, 'the data')
  t.equal(target.received[1]!.dataBytes, 100_000)
  target.send(readyToTransfer.build({ ...r2t, r2tSn: 1, initiatorTaskTag }))
  t.match(await leg.ended, /R2T/, 'data that were sent are not sent again')
  t.strictSame(await task.answer, { kind: 'lost', sent: true })
})

t.test('a target that pings and never reads is given up, not queued for', async (t) => {
  const target = new ScriptedTarget()
  const leg = await opened(await target.open())
  target.stream!.pause()
  const dataOut = [Buffer.alloc(limits.firstBurstBytes)]
  const writes = Array.from({ length: 32 }, () =>
    leg.submit({ lun: 0, cdb: write10(0, 128), dataOut }),
  )
  for (let i = 0; i < 10 * limits.pingsWhileFull && leg.open; i++) {
    target.send(nopIn.build(nop))
    await new Promise(setImmediate)
  }
  t.match(await leg.ended, /does not read/)
  for (const { answer } of writes) t.match(await answer, { kind: 'lost' })
})

t.test('a read that comes back in crumbs is given up', async (t) => {
  const target = new ScriptedTarget()
  const leg = await opened(await target.open())
  const read = leg.submit({ lun: 0, cdb: read10(0, 8), dataInBytes: 8 * blockBytes })
  await until(() => target.received.length === 1, 'the read came')
  const initiatorTaskTag = tagOf(target, 0)
  for (let dataSn = 0; dataSn < 200 && leg.open; dataSn++) {
    const piece = { ...data, final: false, hasStatus: false, initiatorTaskTag }
    target.send(dataIn.build({ ...piece, dataSn, bufferOffset: dataSn }), [Buffer.alloc(1)])
    await new Promise(setImmediate)
  }
  t.match(await leg.ended, /crumbs/)
  t.strictSame(await read.answer, { kind: 'lost', sent: true })
})

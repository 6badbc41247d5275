/**
 * A real target over TCP, and initiators that lose what a bad network loses: several connections in
 * one session, PDUs damaged on their way, connections cut in the middle of reads and writes. What
 * was written is read back by a session that lost nothing.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { dataIn } from '../../src/iscsi/pdu/data-in.ts'
import { LogoutReason } from '../../src/iscsi/pdu/logout-request.ts'
import { Opcode } from '../../src/iscsi/pdu/opcode.ts'
import { readyToTransfer } from '../../src/iscsi/pdu/ready-to-transfer.ts'
import { SnackType } from '../../src/iscsi/pdu/snack-request.ts'
import { TaskManagementFunction as Manage } from '../../src/iscsi/pdu/task-management-request.ts'
import type { Random } from '../../src/ports/random.ts'
import { Capture } from '../support/capture.ts'
import { PalisadeProcess } from '../support/palisade-process.ts'
import { quietLog } from '../support/quiet-log.ts'
import { type LoginOptions, RawInitiator, read10, write10 } from '../support/raw-initiator.ts'
import { seededRandom } from '../support/seeded-random.ts'

const MIB = 1024 * 1024
const blockBytes = 512
const pieceBytes = 64 * 1024
const pieceBlocks = pieceBytes / blockBytes
const digests = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' }

t.setTimeout(120_000)

const network = new NodeNetwork(quietLog)

class Target {
  readonly process: PalisadeProcess
  readonly portal: string
  readonly iqn: string
  readonly #initiators: RawInitiator[] = []
  readonly #capture: Capture

  private constructor(
    process: PalisadeProcess,
    ready: { portals: string[]; iqn: string },
    capture: Capture,
  ) {
    this.process = process
    this.#capture = capture
    this.portal = ready.portals[0]!
    this.iqn = ready.iqn
  }

  static async start(t: Test): Promise<Target> {
    const directory = await mkdtemp(join(tmpdir(), 'palisade-recovery-'))
    const lun = `${join(directory, 'disk')}=16MiB,thin`
    const args = ['target', '--standalone', '--json', '--portal', '127.0.0.1:0', '--lun', lun]
    const process = new PalisadeProcess(args)
    t.teardown(async () => {
      process.kill()
      await rm(directory, { recursive: true, force: true })
    })
    const [line] = await process.output(/^\{"ready":true.*\}$/m)
    const ready = JSON.parse(line) as { portals: string[]; iqn: string }
    const capture = await Capture.start(ready.portals)
    t.teardown(() => capture.discard())
    return new Target(process, ready, capture)
  }

  async login(options: LoginOptions): Promise<{ initiator: RawInitiator; tsih: number }> {
    const initiator = await RawInitiator.connect(network, this.portal)
    this.#initiators.push(initiator)
    const { status, tsih } = await initiator.login({ targetName: this.iqn, ...options })
    if (status !== 0) throw new Error(`login refused with ${status.toString(16)}h`)
    return { initiator, tsih }
  }

  /** One more connection of the session of `first`. */
  async join(
    first: RawInitiator,
    options: LoginOptions & { readonly tsih: number; readonly cid: number },
  ): Promise<RawInitiator> {
    const initiator = await RawInitiator.connect(network, this.portal)
    this.#initiators.push(initiator)
    initiator.shareNumbers(first)
    const { status } = await initiator.login({ targetName: this.iqn, ...options })
    if (status !== 0) throw new Error(`not let in: ${status.toString(16)}h`)
    return initiator
  }

  /** Reads everything over a session of its own, and compares. */
  async holds(t: Test, expected: Buffer, what: string): Promise<void> {
    const { initiator } = await this.login({ isid: Buffer.from('400001370077', 'hex') })
    const found: Buffer[] = []
    for (let lba = 0; lba < expected.length / blockBytes; lba += 2048) {
      const { status, data } = await initiator.run({ cdb: read10(lba, 2048), readBytes: MIB })
      if (status !== 0) throw new Error('the data cannot be read back')
      found.push(data)
    }
    await initiator.logout(LogoutReason.CLOSE_SESSION)
    t.ok(Buffer.concat(found).equals(expected), what)
  }

  async stop(t: Test): Promise<void> {
    for (const initiator of this.#initiators) initiator.close()
    // The requests are damaged on purpose.
    await this.#capture.check(t, { wrongRequests: true })
    t.equal(await this.process.stop(), 0, 'it ends well')
  }
}

/** A write up to the answer of its R2Ts; the end is for the caller to wait for. */
async function answerRequests(initiator: RawInitiator, tag: number, data: Buffer): Promise<void> {
  for (let asked = 0; asked < data.length; ) {
    const frame = await initiator.next(Opcode.READY_TO_TRANSFER, ({ header }) => {
      return header.readUInt32BE(16) === tag
    })
    const r2t = readyToTransfer.decode(frame.header)
    initiator.answerR2t(r2t, data)
    asked = r2t.bufferOffset + r2t.desiredDataTransferLength
  }
}

async function writeWhole(initiator: RawInitiator, lba: number, data: Buffer): Promise<void> {
  const tag = initiator.command({ cdb: write10(lba, data.length / blockBytes), data })
  await answerRequests(initiator, tag, data)
  const { status } = await initiator.end(tag)
  if (status !== 0) throw new Error(`a write ended with ${status}`)
}

t.test('four connections of one session', async (t) => {
  const target = await Target.start(t)
  const random = seededRandom(1)
  const first = await target.login({ keys: { MaxConnections: '8' } })
  const members = [first.initiator]
  for (const cid of [1, 2, 3]) {
    // Each with digests of its own.
    const keys = cid === 2 ? digests : {}
    members.push(await target.join(first.initiator, { tsih: first.tsih, cid, keys }))
  }
  const data = random.bytes(4 * MIB)
  const lanes = members.map(async (member, lane) => {
    for (let at = lane * pieceBytes; at < data.length; at += members.length * pieceBytes) {
      await writeWhole(member, at / blockBytes, data.subarray(at, at + pieceBytes))
    }
  })
  await Promise.all(lanes)
  const { data: seen } = await members[3]!.run({ cdb: read10(0, 2048), readBytes: MIB })
  t.ok(seen.equals(data.subarray(0, MIB)), 'one disk behind all of them')
  members[1]!.close()
  await first.initiator.next(Opcode.ASYNC_MESSAGE)
  t.equal((await members[3]!.logout(LogoutReason.CLOSE_CONNECTION, 2))[0], 0)
  await members[2]!.closed
  await writeWhole(members[3]!, 0, data.subarray(0, pieceBytes))
  t.equal((await members[3]!.logout(LogoutReason.CLOSE_SESSION))[0], 0)
  await members[0]!.closed
  await target.holds(t, data, 'all that was written is there')
  await target.stop(t)
})

/** A write whose Data-Out PDUs are damaged here and there, until all are through. */
async function damagedWrite(
  initiator: RawInitiator,
  lba: number,
  data: Buffer,
  random: Random,
): Promise<number> {
  let damages = 0
  let wasHeader = false
  const tag = initiator.command({ cdb: write10(lba, data.length / blockBytes), data })
  const size = data.length / 8
  const isEnd = (opcode: number): boolean => opcode === Opcode.SCSI_RESPONSE
  for (;;) {
    const frame = await initiator.next(undefined, ({ opcode, header }) => {
      const isMine = opcode === Opcode.READY_TO_TRANSFER || isEnd(opcode)
      return isMine && header.readUInt32BE(16) === tag
    })
    if (isEnd(frame.opcode)) {
      if (frame.header[3] !== 0) throw new Error(`a write ended with ${frame.header[3]}`)
      return damages
    }
    const { bufferOffset, desiredDataTransferLength, targetTransferTag } = readyToTransfer.decode(
      frame.header,
    )
    const end = bufferOffset + desiredDataTransferLength
    for (let offset = bufferOffset, dataSn = 0; offset < end; offset += size, dataSn++) {
      const next = Math.min(offset + size, end)
      const final = next === end
      const send = (): void =>
        initiator.dataOut({
          tag,
          transferTag: targetTransferTag,
          offset,
          dataSn,
          final,
          data: data.subarray(offset, next),
        })
      const draw = random.below(12)
      // A last PDU of which nothing is left is only missed after seconds: rarely.
      // Two damaged headers in a row end the connection.
      const isHeader: boolean = draw === 0 && !wasHeader && (!final || random.below(8) === 0)
      wasHeader = isHeader
      if (draw < 3) damages++
      if (isHeader) initiator.damaged(20, send)
      else if (draw < 3) initiator.damaged(48 + 4 + random.below(size), send)
      else send()
    }
  }
}

t.test('PDUs damaged on their way, at recovery level 1', async (t) => {
  const target = await Target.start(t)
  const random = seededRandom(2)
  const keys = { ...digests, ErrorRecoveryLevel: '1', MaxRecvDataSegmentLength: '8192' }
  const { initiator } = await target.login({ keys })
  const data = random.bytes(2 * MIB)
  let damages = 0
  for (let at = 0; at < data.length; at += pieceBytes) {
    const piece = data.subarray(at, at + pieceBytes)
    damages += await damagedWrite(initiator, at / blockBytes, piece, random)
  }
  t.ok(damages > 10, `${damages} PDUs were damaged`)
  t.equal(initiator.ended, false, 'the connection lives')

  // Now what comes is lost: some of the data, some of the statuses.
  initiator.acknowledges = false
  for (let at = 0; at < data.length; at += pieceBytes) {
    const tag = initiator.command({
      cdb: read10(at / blockBytes, pieceBlocks),
      readBytes: pieceBytes,
    })
    const whole = await initiator.end(tag)
    if (!whole.data.equals(data.subarray(at, at + pieceBytes))) t.fail('wrong data')
    const begRun = random.below(7)
    initiator.snack({ type: SnackType.DATA_OR_R2T, tag, begRun, runLength: 2 })
    for (const dataSn of [begRun, begRun + 1]) {
      const again = await initiator.next(Opcode.DATA_IN)
      const { bufferOffset, ...header } = dataIn.decode(again.header)
      const from = at + bufferOffset
      const right = Buffer.concat(again.data).equals(data.subarray(from, from + 8192))
      if (header.dataSn !== dataSn || !right) t.fail('not what was lost')
    }
    initiator.snack({ type: SnackType.STATUS, begRun: whole.statSn, runLength: 1 })
    const status = dataIn.decode((await initiator.next(Opcode.DATA_IN)).header)
    if (status.statSn !== whole.statSn) t.fail('another status')
    initiator.expStatSn = (whole.statSn + 1) >>> 0
  }
  await target.holds(t, data, 'all that was written is there')
  await target.stop(t)
})

/** A write that was taken over: what it is still asked for, and its end. */
async function finish(initiator: RawInitiator, tag: number, data: Buffer): Promise<void> {
  for (;;) {
    const { opcode, header } = await initiator.next(undefined, (frame) => {
      const { opcode } = frame
      const isMine = opcode === Opcode.READY_TO_TRANSFER || opcode === Opcode.SCSI_RESPONSE
      return isMine && frame.header.readUInt32BE(16) === tag
    })
    if (opcode === Opcode.READY_TO_TRANSFER) {
      initiator.answerR2t(readyToTransfer.decode(header), data)
      continue
    }
    if (header[3] !== 0) throw new Error(`a write ended with ${header[3]}`)
    return
  }
}

async function takeOver(initiator: RawInitiator, tag: number): Promise<void> {
  initiator.manage({ function: Manage.TASK_REASSIGN, referencedTag: tag })
  const outcome = await initiator.managed()
  if (outcome !== 0) throw new Error(`task ${tag} is not reassigned: ${outcome}`)
}

t.test('connections cut in the middle, at recovery level 2', async (t) => {
  const target = await Target.start(t)
  const random = seededRandom(3)
  const leading = await target.login({ keys: { ErrorRecoveryLevel: '2', MaxConnections: '2' } })
  const data = random.bytes(3 * MIB)
  let { initiator } = leading
  let cid = 0
  for (let round = 0; round < 12; round++) {
    initiator.acknowledges = false
    const read = initiator.command({ cdb: read10(0, pieceBlocks), readBytes: pieceBytes })
    const writes = [0, 1, 2, 3].map((index) => {
      const at = (round * 4 + index) * pieceBytes
      const piece = data.subarray(at, at + pieceBytes)
      const cdb = write10(at / blockBytes, pieceBlocks)
      return { piece, tag: initiator.command({ cdb, data: piece }) }
    })
    // Once all are asked for their data the target has seen all of them.
    const requests = []
    for (const _ of writes) requests.push(await initiator.nextR2t())
    // Some get all their data, one may get a part of them, others none; then the cut.
    for (const r2t of requests.slice(0, random.below(4))) {
      const { piece } = writes.find(({ tag }) => tag === r2t.initiatorTaskTag)!
      if (random.below(3) > 0) initiator.answerR2t(r2t, piece)
      else {
        const { initiatorTaskTag: tag, targetTransferTag: transferTag } = r2t
        const half = piece.subarray(0, pieceBytes / 2)
        initiator.dataOut({ tag, transferTag, offset: 0, final: false, data: half })
      }
    }
    if (random.below(2) === 1) await initiator.end(read)
    initiator.close()

    const former = cid
    // The same CID logs the former connection out by itself.
    if (random.below(3) > 0) cid++
    const next = await target.join(initiator, { tsih: leading.tsih, cid })
    if (cid !== former) {
      const [response] = await next.logout(LogoutReason.REMOVE_FOR_RECOVERY, former)
      t.equal(response, 0, 'the former connection is removed')
    }
    for (const { tag, piece } of writes) {
      await takeOver(next, tag)
      await finish(next, tag, piece)
    }
    await takeOver(next, read)
    const seen = await next.end(read)
    if (seen.data.length !== pieceBytes) t.fail('half a read')
    initiator = next
  }
  t.equal((await initiator.logout(LogoutReason.CLOSE_SESSION))[0], 0)
  await target.holds(t, data, 'all that was written is there')
  await target.stop(t)
})

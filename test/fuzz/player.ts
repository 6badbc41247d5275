/**
 * Plays a case on any Network and writes down what the target does, one word for each answer. It
 * answers what is asked for as far as the case wants it, and believes nothing: whatever comes.
 */
import { encodeFrame, type FrameParts } from '../../src/iscsi/encode-frame.ts'
import { type Frame, Framer } from '../../src/iscsi/framer.ts'
import { encodeLun } from '../../src/iscsi/lun-field.ts'
import { dataOut } from '../../src/iscsi/pdu/data-out.ts'
import { loginRequest, Stage } from '../../src/iscsi/pdu/login-request.ts'
import { loginResponse } from '../../src/iscsi/pdu/login-response.ts'
import { Opcode, RESERVED_TAG } from '../../src/iscsi/pdu/opcode.ts'
import { readyToTransfer } from '../../src/iscsi/pdu/ready-to-transfer.ts'
import { scsiCommand } from '../../src/iscsi/pdu/scsi-command.ts'
import { taskManagementRequest } from '../../src/iscsi/pdu/task-management-request.ts'
import type { ByteStream, Network } from '../../src/ports/network.ts'
import { decodeSense } from '../../src/scsi/sense-format.ts'
import { senseText } from '../support/scsi-rig.ts'
import {
  bytesOf,
  type CommandStep,
  type DataStep,
  type FuzzCase,
  type LoginStep,
  login,
  type ManageStep,
  type PduStep,
  type Step,
} from './fuzz-case.ts'

const dialMs = 10_000
/** Answers to one R2T are no longer than this. */
const pieceBytes = 64 * 1024
const isid = Buffer.from('400001f00001', 'hex')

export interface PlayerOptions {
  readonly network: Network
  readonly address: string
  /** Waits until nothing comes any more, for now. */
  readonly settle: (player: Player) => Promise<void>
}

export class Player {
  /** What came, in order. */
  readonly said: string[] = []
  readonly #options: PlayerOptions
  readonly #streams = new Set<ByteStream>()
  #stream: ByteStream | undefined
  #framer = makeFramer()
  #open = false
  #expStatSn = 0
  #cmdSn = 1
  #nextTag = 1
  #tsih = 0
  #cid = 0
  #transferTag = RESERVED_TAG
  #challenge = ''
  /** As the target agreed to them. */
  #digests = { header: false, data: false }
  #agreed = { header: false, data: false }
  /** Of commands that answer R2Ts. */
  readonly #data = new Map<number, Buffer>()

  constructor(options: PlayerOptions) {
    this.#options = options
  }

  /** Connections that the target has not ended. */
  get streams(): number {
    return this.#streams.size
  }

  get open(): boolean {
    return this.#open
  }

  async play(played: FuzzCase): Promise<void> {
    await this.#connect()
    for (const step of played.steps) await this.#take(step)
    await this.#options.settle(this)
  }

  cut(): void {
    for (const stream of this.#streams) stream.destroy()
  }

  async #take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'login':
        this.#login(step)
        return this.#options.settle(this)
      case 'command':
        return this.#command(step)
      case 'pdu':
        return this.#pdu(step)
      case 'data':
        return this.#sendData(step)
      case 'manage':
        return this.#manage(step)
      case 'raw':
        return this.#write([bytesOf(step.bytes)])
      case 'connect':
        if (step.former === 'cut') this.#stream?.destroy()
        if (step.former === 'ended') this.#stream?.close()
        return this.#connectAgain(step.joins === true)
      case 'deaf':
        return this.#stream?.pause()
      case 'settle':
        return this.#options.settle(this)
    }
  }

  async #connectAgain(joins: boolean): Promise<void> {
    const cmdSn = this.#cmdSn
    await this.#connect()
    if (!joins) return
    this.#cmdSn = cmdSn
    this.#cid += 1
    this.#login({ ...login(), tsih: this.#tsih })
    await this.#options.settle(this)
  }

  async #connect(): Promise<void> {
    const stream = await this.#options.network.dial(this.#options.address, dialMs)
    this.#stream = stream
    this.#framer = makeFramer()
    this.#digests = { header: false, data: false }
    this.#agreed = { header: false, data: false }
    this.#open = true
    this.#cmdSn = 1
    this.#expStatSn = 0
    this.#streams.add(stream)
    const framer = this.#framer
    stream.receive({
      data: (chunk) => this.#received(framer, chunk),
      ended: () => {
        this.#streams.delete(stream)
        if (stream !== this.#stream) return
        this.#open = false
        this.said.push('closed')
      },
    })
  }

  #send(header: Buffer, parts: FrameParts): void {
    this.#write(encodeFrame(header, { ...parts, digests: this.#digests }))
  }

  #write(buffers: readonly Uint8Array[]): void {
    if (this.#open) this.#stream?.write(buffers)
  }

  #login(step: LoginStep): void {
    const [currentStage, nextStage] = step.stages ?? [1, 3]
    const text = step.text.replaceAll('{C}', this.#challenge).replaceAll('~', '\0')
    const header = loginRequest.build({
      transit: step.transit ?? true,
      continues: step.continues ?? false,
      currentStage,
      nextStage,
      versionMax: 0,
      versionMin: 0,
      isid,
      tsih: step.tsih ?? 0,
      initiatorTaskTag: 0x7000_0001,
      cid: this.#cid,
      cmdSn: this.#cmdSn,
      expStatSn: this.#expStatSn,
    })
    const data = step.data === undefined ? Buffer.from(text, 'latin1') : bytesOf(step.data)
    this.#write(encodeFrame(header, { immediate: true, data: [data] }))
  }

  #command(step: CommandStep): void {
    const data = step.data === undefined ? undefined : bytesOf(step.data)
    const tag = step.tag ?? this.#nextTag++
    const { immediate = false, cmdSnOff = 0, readBytes } = step
    const immediateBytes = Math.min(step.immediateBytes ?? 0, data?.length ?? 0)
    const cdb = Buffer.alloc(16)
    Buffer.from(step.cdb, 'hex').copy(cdb)
    const header = scsiCommand.build({
      final: step.final ?? true,
      read: readBytes !== undefined,
      write: data !== undefined,
      attribute: 1,
      lun: encodeLun(step.lun ?? 0),
      initiatorTaskTag: tag,
      expectedDataTransferLength: step.expectedBytes ?? data?.length ?? readBytes ?? 0,
      cmdSn: (this.#cmdSn + cmdSnOff) >>> 0,
      expStatSn: this.#expStatSn,
      cdb,
    })
    if (!immediate && cmdSnOff === 0) this.#cmdSn = (this.#cmdSn + 1) >>> 0
    if (data !== undefined && step.answers !== false) this.#data.set(tag, data)
    const first = data === undefined ? [] : [data.subarray(0, immediateBytes)]
    const ahs = step.ahs === undefined ? {} : { ahs: Buffer.from(step.ahs, 'hex') }
    this.#send(header, { immediate, data: first, ...ahs })
  }

  #pdu(step: PduStep): void {
    const header = Buffer.alloc(48)
    Buffer.from(step.header, 'hex').copy(header)
    if (step.inSequence) {
      header.writeUInt32BE(this.#cmdSn, 24)
      header.writeUInt32BE(this.#expStatSn, 28)
      if ((header[0]! & 0x40) === 0) this.#cmdSn = (this.#cmdSn + 1) >>> 0
    }
    const ahs = step.ahs === undefined ? {} : { ahs: Buffer.from(step.ahs, 'hex') }
    const data = step.data === undefined ? [] : [bytesOf(step.data)]
    const frame = encodeFrame(header, { ...ahs, data, digests: this.#digests })
    if (step.dataSegmentLength !== undefined) header.writeUIntBE(step.dataSegmentLength, 5, 3)
    if (step.totalAhsLength !== undefined) header[4] = step.totalAhsLength
    this.#write(frame)
  }

  #sendData(step: DataStep): void {
    const header = dataOut.build({
      final: step.final,
      lun: encodeLun(0),
      initiatorTaskTag: step.tag ?? this.#nextTag - 1,
      targetTransferTag: step.transferTag ?? this.#transferTag,
      expStatSn: this.#expStatSn,
      dataSn: step.dataSn,
      bufferOffset: step.offset,
    })
    this.#send(header, { data: [bytesOf(step.data)] })
  }

  #manage(step: ManageStep): void {
    const header = taskManagementRequest.build({
      function: step.function,
      lun: encodeLun(step.lun ?? 0),
      initiatorTaskTag: this.#nextTag++,
      referencedTaskTag: step.tag ?? this.#nextTag - 2,
      cmdSn: this.#cmdSn,
      expStatSn: this.#expStatSn,
      refCmdSn: this.#cmdSn - 1,
      expDataSn: 0,
    })
    this.#send(header, { immediate: true })
  }

  #received(framer: Framer, chunk: Buffer): void {
    framer.push(chunk)
    for (let frame = framer.next(); frame !== undefined; frame = framer.next()) {
      if (frame.kind !== 'frame') {
        this.said.push(`broken: ${frame.kind}`)
        return
      }
      this.#note(frame)
    }
  }

  #note(frame: Frame): void {
    const { header } = frame
    if (frame.opcode !== Opcode.DATA_IN || (header[1]! & 1) !== 0) {
      this.#expStatSn = (header.readUInt32BE(24) + 1) >>> 0
    }
    if (frame.opcode === Opcode.READY_TO_TRANSFER) this.#answer(header)
    const data = Buffer.concat(frame.data)
    if (frame.opcode === Opcode.LOGIN_RESPONSE) this.#noteLogin(header, data.toString('latin1'))
    this.said.push(describe(frame, data))
  }

  #noteLogin(header: Buffer, text: string): void {
    const challenge = /CHAP_C=([^\0]*)/.exec(text)?.[1]
    if (challenge !== undefined) this.said.push(`challenge ${challenge}`)
    this.#challenge = challenge ?? this.#challenge
    this.#agreed.header ||= text.includes('HeaderDigest=CRC32C')
    this.#agreed.data ||= text.includes('DataDigest=CRC32C')
    const { transit, nextStage, statusClass, tsih } = loginResponse.decode(header)
    if (statusClass !== 0 || !transit || nextStage !== Stage.FULL_FEATURE) return
    this.#tsih = tsih
    this.#digests = { ...this.#agreed }
    this.#framer.setDigests(this.#digests)
  }

  /** As much as was asked for, as far as the case has data. */
  #answer(header: Buffer): void {
    const r2t = readyToTransfer.decode(header)
    this.#transferTag = r2t.targetTransferTag
    const data = this.#data.get(r2t.initiatorTaskTag)
    if (data === undefined) return
    const end = Math.min(r2t.bufferOffset + r2t.desiredDataTransferLength, data.length)
    for (let offset = r2t.bufferOffset, dataSn = 0; offset < end; dataSn++) {
      const next = Math.min(offset + pieceBytes, end)
      const { initiatorTaskTag: tag, targetTransferTag: transferTag } = r2t
      const piece = data.subarray(offset, next).toString('hex')
      this.#sendData({
        kind: 'data',
        data: piece,
        offset,
        dataSn,
        tag,
        transferTag,
        final: next === end,
      })
      offset = next
    }
  }
}

function makeFramer(): Framer {
  return new Framer({ maxDataSegmentBytes: () => 2 ** 24 - 1, maxAhsBytes: 1020 })
}

const hex = (value: number, digits = 2): string => value.toString(16).padStart(digits, '0')

/** `login 0000`, `good`, `sense 05/24/00`, `reject 09`, `tmf 00`, `r2t`, … */
function describe({ opcode, header }: Frame, data: Buffer): string {
  switch (opcode) {
    case Opcode.LOGIN_RESPONSE: {
      const { statusClass, statusDetail, transit } = loginResponse.decode(header)
      const more = statusClass === 0 && !transit ? ' more' : ''
      return `login ${hex(statusClass)}${hex(statusDetail)}${more}`
    }
    case Opcode.SCSI_RESPONSE: {
      if (header[2] !== 0) return `response ${hex(header[2]!)}`
      if (header[3] === 0) return 'good'
      const sense = header[3] === 2 ? decodeSense(data.subarray(2)) : undefined
      return sense === undefined ? `status ${hex(header[3]!)}` : `sense ${senseText(sense)}`
    }
    case Opcode.DATA_IN: {
      const what = data.every((byte) => byte === 0) ? 'zeros' : 'data'
      return (header[1]! & 1) === 0 ? what : `${what} ${header[3] === 0 ? 'good' : hex(header[3]!)}`
    }
    case Opcode.REJECT:
      return `reject ${hex(header[2]!)}`
    case Opcode.TASK_MANAGEMENT_RESPONSE:
      return `tmf ${hex(header[2]!)}`
    case Opcode.LOGOUT_RESPONSE:
      return `logout ${hex(header[2]!)}`
    case Opcode.READY_TO_TRANSFER:
      return 'r2t'
    case Opcode.NOP_IN:
      return header.readUInt32BE(16) === RESERVED_TAG ? 'ping' : 'nop'
    case Opcode.TEXT_RESPONSE:
      return 'text'
    case Opcode.ASYNC_MESSAGE:
      return `async ${hex(header[36]!)}`
    default:
      return `opcode ${hex(opcode)}`
  }
}

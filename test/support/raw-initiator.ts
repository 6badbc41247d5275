/**
 * An initiator that does exactly what a test says, right or wrong: it logs in with chosen keys,
 * sends any PDU with any AHS, and hands out what comes back in order. It answers pings only when
 * told to. Built from the codecs of src/iscsi; works on any Network.
 */

import { encodeFrame, type FrameParts } from '../../src/iscsi/encode-frame.ts'
import { type Frame, type FrameFault, Framer } from '../../src/iscsi/framer.ts'
import { encodeLun } from '../../src/iscsi/lun-field.ts'
import { dataIn } from '../../src/iscsi/pdu/data-in.ts'
import { dataOut } from '../../src/iscsi/pdu/data-out.ts'
import { loginRequest, Stage } from '../../src/iscsi/pdu/login-request.ts'
import { loginResponse } from '../../src/iscsi/pdu/login-response.ts'
import { logoutRequest } from '../../src/iscsi/pdu/logout-request.ts'
import { logoutResponse } from '../../src/iscsi/pdu/logout-response.ts'
import { nopIn } from '../../src/iscsi/pdu/nop-in.ts'
import { nopOut } from '../../src/iscsi/pdu/nop-out.ts'
import { Opcode, RESERVED_TAG } from '../../src/iscsi/pdu/opcode.ts'
import { type ReadyToTransfer, readyToTransfer } from '../../src/iscsi/pdu/ready-to-transfer.ts'
import { scsiCommand } from '../../src/iscsi/pdu/scsi-command.ts'
import { scsiResponse } from '../../src/iscsi/pdu/scsi-response.ts'
import { snackRequest } from '../../src/iscsi/pdu/snack-request.ts'
import { taskManagementRequest } from '../../src/iscsi/pdu/task-management-request.ts'
import { taskManagementResponse } from '../../src/iscsi/pdu/task-management-response.ts'
import { encodeText, isTextFault, parseText } from '../../src/iscsi/text.ts'
import type { ByteStream, Network } from '../../src/ports/network.ts'
import { encodeGenerationHeader } from '../../src/volume/generation-header.ts'

export interface LoginOptions {
  readonly initiatorName?: string
  readonly targetName?: string
  readonly isid?: Buffer
  /** Of a session that exists: the connection is to join it. */
  readonly tsih?: number
  readonly cid?: number
  /** Added to, or in place of, the usual keys. */
  readonly keys?: Readonly<Record<string, string>>
}

export interface LoginOutcome {
  /** Class and detail; 0 is success. */
  readonly status: number
  readonly tsih: number
  readonly keys: ReadonlyMap<string, string>
}

export interface CommandOptions {
  readonly cdb: Buffer
  readonly lun?: number
  /** Room for data from the target; sets the R bit. */
  readonly readBytes?: number
  /** Data of a write; sets the W bit. Goes out as far as `immediateBytes`. */
  readonly data?: Buffer
  readonly immediateBytes?: number
  /** F bit; false announces unsolicited Data-Out. */
  readonly final?: boolean
  readonly expectedBytes?: number
  readonly immediate?: boolean
  readonly ahs?: Buffer
  readonly tag?: number
  readonly cmdSn?: number
}

export interface DataOutOptions {
  readonly tag: number
  readonly data: Buffer
  readonly offset: number
  readonly dataSn?: number
  readonly transferTag?: number
  readonly final?: boolean
  readonly lun?: number
  readonly ahs?: Buffer
}

/** The end of a command as its initiator sees it. */
export interface CommandEnd {
  readonly statSn: number
  readonly status: number
  readonly data: Buffer
  readonly sense: Buffer
  readonly overflow: boolean
  readonly underflow: boolean
  readonly residualCount: number
}

const patienceMs = 10_000
const segmentBytes = 256 * 1024

export class RawInitiator {
  /** Frames that nobody has taken yet, oldest first. */
  readonly received: Frame[] = []
  readonly faults: FrameFault[] = []
  /** Resolves when the connection has ended. */
  readonly closed: Promise<void>
  expCmdSn = 0
  maxCmdSn = 0
  expStatSn = 0
  /** Responses that come move ExpStatSN; a test that plays a loss has it stand still. */
  acknowledges = true
  readonly stream: ByteStream
  readonly #framer = new Framer({ maxDataSegmentBytes: () => 2 ** 24 - 1, maxAhsBytes: 1020 })
  readonly #waiting = new Set<() => void>()
  #digests = { header: false, data: false }
  #ended = false
  /** Shared by the connections of one session. */
  #counters = { cmdSn: 1, nextTag: 1 }

  private constructor(stream: ByteStream) {
    this.stream = stream
    this.closed = new Promise((resolve) => {
      stream.receive({
        data: (chunk) => this.#data(chunk),
        ended: () => {
          this.#ended = true
          this.#wake()
          resolve()
        },
      })
    })
  }

  static async connect(network: Network, address: string): Promise<RawInitiator> {
    return new RawInitiator(await network.dial(address, patienceMs))
  }

  get ended(): boolean {
    return this.#ended
  }

  get cmdSn(): number {
    return this.#counters.cmdSn
  }

  set cmdSn(cmdSn: number) {
    this.#counters.cmdSn = cmdSn
  }

  /** This connection numbers its commands with those of the other: both are one session's. */
  shareNumbers(other: RawInitiator): void {
    this.#counters = other.#counters
  }

  /** One login request straight to full-feature phase; takes over what was agreed. */
  async login(options: LoginOptions = {}): Promise<LoginOutcome> {
    this.sendLogin(options)
    const frame = await this.next(Opcode.LOGIN_RESPONSE)
    const response = loginResponse.decode(frame.header)
    const status = (response.statusClass << 8) | response.statusDetail
    const pairs = parseText(Buffer.concat(frame.data))
    const keys = new Map(isTextFault(pairs) ? [] : pairs)
    if (status === 0 && response.transit) {
      const on = (key: string): boolean => keys.get(key) === 'CRC32C'
      this.#digests = { header: on('HeaderDigest'), data: on('DataDigest') }
      this.#framer.setDigests(this.#digests)
    }
    return { status, tsih: response.tsih, keys }
  }

  /** The request alone, for logins that are not answered at once. */
  sendLogin(options: LoginOptions = {}): void {
    const { initiatorName = 'iqn.2026-11.example:raw', targetName } = options
    const names = targetName === undefined ? discovery : { TargetName: targetName }
    const pairs = { InitiatorName: initiatorName, ...names, ...usualKeys, ...options.keys }
    const header = loginRequest.build({
      transit: true,
      continues: false,
      currentStage: Stage.OPERATIONAL,
      nextStage: Stage.FULL_FEATURE,
      versionMax: 0,
      versionMin: 0,
      isid: options.isid ?? Buffer.from('400001370000', 'hex'),
      tsih: options.tsih ?? 0,
      initiatorTaskTag: 0x7000_0001,
      cid: options.cid ?? 0,
      cmdSn: this.cmdSn,
      expStatSn: 0,
    })
    this.send(header, { immediate: true, data: [encodeText(Object.entries(pairs))] })
  }

  /** Any PDU: `header` of 48 bytes; lengths, padding and digests are added. */
  send(header: Buffer, parts: Omit<FrameParts, 'digests'> = {}): void {
    this.stream.write(encodeFrame(header, { ...parts, digests: this.#digests }))
  }

  /** Sends a SCSI Command and answers its task tag. */
  command(options: CommandOptions): number {
    const { cdb, data, immediate = false, readBytes } = options
    const immediateBytes = options.immediateBytes ?? 0
    const tag = options.tag ?? this.#counters.nextTag++
    const header = scsiCommand.build({
      final: options.final ?? true,
      read: readBytes !== undefined,
      write: data !== undefined,
      attribute: 1,
      lun: encodeLun(options.lun ?? 0),
      initiatorTaskTag: tag,
      expectedDataTransferLength: options.expectedBytes ?? data?.length ?? readBytes ?? 0,
      cmdSn: options.cmdSn ?? this.cmdSn,
      expStatSn: this.expStatSn,
      cdb: Buffer.concat([cdb, Buffer.alloc(16 - cdb.length)]),
    })
    if (!immediate && options.cmdSn === undefined) this.cmdSn = (this.cmdSn + 1) >>> 0
    this.send(header, {
      immediate,
      ...(options.ahs === undefined ? {} : { ahs: options.ahs }),
      ...(immediateBytes > 0 ? { data: [data!.subarray(0, immediateBytes)] } : {}),
    })
    return tag
  }

  dataOut(options: DataOutOptions): void {
    const header = dataOut.build({
      final: options.final ?? true,
      lun: encodeLun(options.lun ?? 0),
      initiatorTaskTag: options.tag,
      targetTransferTag: options.transferTag ?? RESERVED_TAG,
      expStatSn: this.expStatSn,
      dataSn: options.dataSn ?? 0,
      bufferOffset: options.offset,
    })
    const ahs = options.ahs === undefined ? {} : { ahs: options.ahs }
    this.send(header, { data: [options.data], ...ahs })
  }

  /** Answers one R2T, with as many Data-Out PDUs as the usual limit of a data segment asks for. */
  answerR2t(r2t: ReadyToTransfer, data: Buffer, ahs?: Buffer): void {
    const { bufferOffset, desiredDataTransferLength: length } = r2t
    const end = bufferOffset + length
    for (let offset = bufferOffset, dataSn = 0; offset < end; offset += segmentBytes, dataSn++) {
      const next = Math.min(offset + segmentBytes, end)
      this.dataOut({
        tag: r2t.initiatorTaskTag,
        transferTag: r2t.targetTransferTag,
        offset,
        dataSn,
        final: next === end,
        data: data.subarray(offset, next),
        ...(ahs === undefined ? {} : { ahs }),
      })
    }
  }

  async nextR2t(): Promise<ReadyToTransfer> {
    return readyToTransfer.decode((await this.next(Opcode.READY_TO_TRANSFER)).header)
  }

  /** A task management function; answers its own task tag. */
  manage(options: {
    readonly function: number
    readonly referencedTag?: number
    readonly lun?: number
    readonly immediate?: boolean
    readonly cmdSn?: number
    readonly refCmdSn?: number
    readonly expDataSn?: number
  }): number {
    const tag = this.#counters.nextTag++
    const { immediate = true } = options
    const header = taskManagementRequest.build({
      function: options.function,
      lun: encodeLun(options.lun ?? 0),
      initiatorTaskTag: tag,
      referencedTaskTag: options.referencedTag ?? RESERVED_TAG,
      cmdSn: options.cmdSn ?? this.cmdSn,
      expStatSn: this.expStatSn,
      refCmdSn: options.refCmdSn ?? 0,
      expDataSn: options.expDataSn ?? 0,
    })
    if (!immediate && options.cmdSn === undefined) this.cmdSn = (this.cmdSn + 1) >>> 0
    this.send(header, { immediate })
    return tag
  }

  async managed(): Promise<number> {
    const { header } = await this.next(Opcode.TASK_MANAGEMENT_RESPONSE)
    return taskManagementResponse.decode(header).response
  }

  /** Asks for something once more, or acknowledges data. */
  snack(options: {
    readonly type: number
    readonly tag?: number
    readonly transferTag?: number
    readonly lun?: Buffer
    readonly begRun?: number
    readonly runLength?: number
  }): void {
    const header = snackRequest.build({
      type: options.type,
      lun: options.lun ?? encodeLun(0),
      initiatorTaskTag: options.tag ?? RESERVED_TAG,
      targetTransferTag: options.transferTag ?? RESERVED_TAG,
      expStatSn: this.expStatSn,
      begRun: options.begRun ?? 0,
      runLength: options.runLength ?? 0,
    })
    this.send(header)
  }

  /** Logs out; answers the response code, Time2Wait and Time2Retain. */
  async logout(reason: number, cid = 0): Promise<readonly [number, number, number]> {
    const header = logoutRequest.build({
      reason,
      initiatorTaskTag: this.#counters.nextTag++,
      cid,
      cmdSn: this.cmdSn++,
      expStatSn: this.expStatSn,
    })
    this.send(header)
    const { header: answer } = await this.next(Opcode.LOGOUT_RESPONSE)
    const { response, time2Wait, time2Retain } = logoutResponse.decode(answer)
    return [response, time2Wait, time2Retain]
  }

  /** Sends what `send` sends with one bit flipped, at this byte of the PDU. */
  damaged(byte: number, send: () => void): void {
    const { write } = this.stream
    this.stream.write = (buffers) => {
      const bytes = Buffer.concat(buffers)
      bytes[byte]! ^= 1
      return write.call(this.stream, [bytes])
    }
    send()
    this.stream.write = write
  }

  /** Takes the next ping of the target and answers it. */
  async answerPing(): Promise<void> {
    const ping = await this.next(Opcode.NOP_IN, (frame) => {
      return nopIn.decode(frame.header).targetTransferTag !== RESERVED_TAG
    })
    const { targetTransferTag, lun } = nopIn.decode(ping.header)
    const header = nopOut.build({
      lun,
      initiatorTaskTag: RESERVED_TAG,
      targetTransferTag,
      cmdSn: this.cmdSn,
      expStatSn: this.expStatSn,
    })
    this.send(header, { immediate: true })
  }

  /** Collects Data-In up to the status of the command. */
  async end(tag: number): Promise<CommandEnd> {
    const data: Buffer[] = []
    for (;;) {
      const frame = await this.next(undefined, (each) => {
        const isAnswer = each.opcode === Opcode.DATA_IN || each.opcode === Opcode.SCSI_RESPONSE
        return isAnswer && each.header.readUInt32BE(16) === tag
      })
      if (frame.opcode === Opcode.SCSI_RESPONSE) {
        const response = scsiResponse.decode(frame.header)
        const segment = Buffer.concat(frame.data)
        return { ...response, data: Buffer.concat(data), sense: segment.subarray(2) }
      }
      const piece = dataIn.decode(frame.header)
      data.push(...frame.data)
      if (piece.hasStatus) return { ...piece, data: Buffer.concat(data), sense: Buffer.alloc(0) }
    }
  }

  /** Sends a command and waits for its end. */
  run(options: CommandOptions): Promise<CommandEnd> {
    return this.end(this.command(options))
  }

  /** The next frame, or the next that fits; frames that do not fit stay where they are. */
  async next(opcode?: number, fits: (frame: Frame) => boolean = () => true): Promise<Frame> {
    const deadline = Date.now() + patienceMs
    for (;;) {
      const index = this.received.findIndex((frame) => {
        return (opcode === undefined || frame.opcode === opcode) && fits(frame)
      })
      if (index >= 0) return this.received.splice(index, 1)[0]!
      if (this.#ended) throw new Error('the target has ended the connection')
      const leftMs = deadline - Date.now()
      if (leftMs <= 0) throw new Error(`nothing came; left over: ${this.describe()}`)
      await this.#changed(leftMs)
    }
  }

  /** Opcodes of what was received and not taken. */
  describe(): string {
    return this.received.map((frame) => `${frame.opcode.toString(16)}h`).join(' ')
  }

  close(): void {
    this.stream.destroy()
  }

  #data(chunk: Buffer): void {
    this.#framer.push(chunk)
    for (let frame = this.#framer.next(); frame !== undefined; frame = this.#framer.next()) {
      if (frame.kind !== 'frame') {
        this.faults.push(frame)
        break
      }
      this.#note(frame)
      this.received.push(frame)
    }
    this.#wake()
  }

  #note(frame: Frame): void {
    this.expCmdSn = frame.header.readUInt32BE(28)
    this.maxCmdSn = frame.header.readUInt32BE(32)
    const counts =
      frame.opcode !== Opcode.READY_TO_TRANSFER &&
      (frame.opcode !== Opcode.DATA_IN || dataIn.decode(frame.header).hasStatus) &&
      (frame.opcode !== Opcode.NOP_IN || frame.header.readUInt32BE(16) !== RESERVED_TAG)
    if (counts && this.acknowledges) this.expStatSn = (frame.header.readUInt32BE(24) + 1) >>> 0
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }

  #changed(leftMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(done)
        resolve()
      }
      const timer = setTimeout(done, leftMs)
      this.#waiting.add(done)
    })
  }
}

const discovery = { SessionType: 'Discovery' } as const
const usualKeys = {
  HeaderDigest: 'None',
  DataDigest: 'None',
  InitialR2T: 'No',
  ImmediateData: 'Yes',
  MaxRecvDataSegmentLength: '65536',
} as const

/** The AHS of a command or Data-Out with this generation. */
export function generationAhs(generation: bigint | number, flags = 0): Buffer {
  return encodeGenerationHeader(BigInt(generation), flags)
}

export function read10(lba: number, blocks: number): Buffer {
  return cdb10(0x28, lba, blocks)
}

export function write10(lba: number, blocks: number): Buffer {
  return cdb10(0x2a, lba, blocks)
}

function cdb10(opcode: number, lba: number, blocks: number): Buffer {
  const cdb = Buffer.alloc(10)
  cdb[0] = opcode
  cdb.writeUInt32BE(lba, 2)
  cdb.writeUInt16BE(blocks, 7)
  return cdb
}

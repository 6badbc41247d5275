/**
 * One session in full-feature phase, with its one connection (MaxConnections 1, ErrorRecoveryLevel
 * 0): takes frames in CmdSN order and hands each to the part that knows it. It owns the command
 * window and the life of the session; SCSI commands belong to `TaskSet`. RFC 7143 6, 8.1, 11.
 */

import { portal } from '../base/limits.ts'
import { CommandWindow } from '../iscsi/command-window.ts'
import type { Frame } from '../iscsi/framer.ts'
import type { LoginFacts } from '../iscsi/login-state.ts'
import { AsyncEvent, asyncMessage } from '../iscsi/pdu/async-message.ts'
import { LogoutReason, logoutRequest } from '../iscsi/pdu/logout-request.ts'
import { LogoutOutcome, logoutResponse } from '../iscsi/pdu/logout-response.ts'
import { nopIn } from '../iscsi/pdu/nop-in.ts'
import { nopOut } from '../iscsi/pdu/nop-out.ts'
import { Opcode, RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { RejectReason } from '../iscsi/pdu/reject.ts'
import type { SendTargetsRecord } from '../iscsi/send-targets.ts'
import { type SessionParameters, sessionNames } from '../iscsi/session-parameters.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { ByteStream } from '../ports/network.ts'
import type { Nexus } from '../scsi/logical-unit.ts'
import type { ScsiTarget } from '../scsi/scsi-target.ts'
import { ByteBudget } from './byte-budget.ts'
import { Pinger } from './pinger.ts'
import type { FrontSession, PortalTask } from './portal-host.ts'
import { Sender } from './sender.ts'
import { manageTasks, whenAllEnded } from './task-management.ts'
import { TaskSet } from './task-set.ts'
import { TextExchange } from './text-exchange.ts'

export interface SessionOptions {
  readonly handle: number
  readonly login: LoginFacts
  readonly portalGroupTag: number
  readonly windowCommands: number
  readonly stream: ByteStream
  /** Absent in a discovery session. */
  readonly target?: ScsiTarget<PortalTask>
  readonly discover: () => readonly SendTargetsRecord[]
  /** The output is full: read no more until it has drained. */
  readonly full: () => void
  /** Write data of all sessions of the program. */
  readonly writeBudget: ByteBudget
  readonly clock: Clock
  readonly log: Log
  /** Called once when the session has ended altogether. */
  readonly gone: (session: Session) => void
}

/** Byte of CmdSN in every request that has one. RFC 7143 11.3.2. */
const cmdSnByte = 24
/** Byte of ExpStatSN in every request that can come in a session. */
const expStatSnByte = 28
const noLunField = Buffer.alloc(8)

export class Session implements FrontSession {
  readonly nexus: Nexus
  readonly handle: number
  readonly generationVersion: number
  readonly portalGroupTag: number
  readonly parameters: SessionParameters
  readonly ended: Promise<void>
  readonly #options: SessionOptions
  readonly #window: CommandWindow<Frame>
  readonly #sender: Sender
  readonly #pinger: Pinger
  readonly #text: TextExchange
  /** The initiator may change what it can receive at any time. RFC 7143 13.12. */
  readonly #sendLimits: { maxSegmentBytes: number; readonly maxBurstBytes: number }
  readonly #tasks: TaskSet | undefined
  #managing = 0
  #phase: 'open' | 'loggingOut' | 'ending' | 'ended' = 'open'
  #resolveEnded!: () => void

  constructor(options: SessionOptions) {
    const { login, stream, target, clock } = options
    const { parameters } = login
    this.#options = options
    this.handle = options.handle
    this.portalGroupTag = options.portalGroupTag
    this.parameters = parameters
    this.generationVersion = parameters.generationVersion
    this.nexus = sessionNames(parameters)
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.#window = new CommandWindow({
      expCmdSn: login.expCmdSn,
      windowCommands: options.windowCommands,
    })
    this.#sender = new Sender({
      stream,
      digests: { header: parameters.headerDigest, data: parameters.dataDigest },
      window: this.#window,
      statSn: login.statSn,
      full: options.full,
    })
    this.#pinger = new Pinger({
      clock,
      send: (tag) => this.#sender.nopIn(tag),
      soliciting: () => this.#tasks?.soliciting === true,
    })
    this.#sendLimits = {
      maxSegmentBytes: parameters.initiatorMaxRecvDataSegmentBytes,
      maxBurstBytes: parameters.maxBurstBytes,
    }
    this.#text = new TextExchange({
      sender: this.#sender,
      limits: this.#sendLimits,
      targetName: parameters.sessionType === 'Discovery' ? undefined : parameters.targetName,
      discover: options.discover,
    })
    this.#tasks = target === undefined ? undefined : this.#makeTasks(target)
    target?.nexusGained(this.nexus)
    if (target !== undefined) options.log.info('session opened', this.#name())
  }

  get provenAtMs(): number {
    return this.#pinger.provenAtMs
  }

  ping(): Promise<boolean> {
    return this.#pinger.ping()
  }

  /** Takes one frame from the connection. */
  receive(frame: Frame): void {
    if (this.#phase !== 'open') return
    this.#pinger.received(frame.header.readUInt32BE(expStatSnByte), this.#sender.statSn)
    switch (frame.opcode) {
      case Opcode.DATA_OUT:
        if (this.#tasks?.dataOut(frame) === false) this.#breakOff(frame, 'broken AHS chain')
        return
      case Opcode.SCSI_COMMAND:
      case Opcode.NOP_OUT:
      case Opcode.TASK_MANAGEMENT_REQUEST:
      case Opcode.TEXT_REQUEST:
      case Opcode.LOGOUT_REQUEST:
        this.#inOrder(frame)
        return
      case Opcode.SNACK_REQUEST:
        // ErrorRecoveryLevel 0: nothing is sent twice. RFC 7143 11.16.
        this.#sender.reject(RejectReason.SNACK_REJECT, frame.header)
        return
      case Opcode.LOGIN_REQUEST:
        this.#sender.reject(RejectReason.PROTOCOL_ERROR, frame.header)
        return
      default:
        this.#sender.reject(RejectReason.COMMAND_NOT_SUPPORTED, frame.header)
    }
  }

  /** A frame whose data digest was wrong: it is discarded, and its sender told. RFC 7143 7.8. */
  dataDigestError(header: Buffer): void {
    if (this.#phase !== 'open') return
    this.#sender.reject(RejectReason.DATA_DIGEST_ERROR, header)
    if ((header[0]! & 0x3f) === Opcode.DATA_OUT) this.#tasks?.dataOutDigestError(header)
  }

  /** A frame that makes it impossible to go on: told to the peer, then the connection ends. */
  protocolError(header: Buffer, cause: string): void {
    this.#sender.reject(RejectReason.PROTOCOL_ERROR, header)
    this.#close(cause)
  }

  /** The output has drained: the peer is alive, and reads that waited may begin. */
  drained(): void {
    this.#pinger.heard()
    this.#tasks?.pump()
  }

  /** Looked at now and then: silent peers, overdue data. */
  sweep(): void {
    if (this.#phase !== 'open') return
    // A discovery session carries nothing but Text and Logout (RFC 7143 13.21); open-iscsi ends it
    // over a NOP-In.
    const mayPing = this.parameters.sessionType !== 'Discovery'
    if (this.#pinger.sweep({ mayPing })) this.#tasks?.sweep()
    else this.end('no sign of life from the initiator')
  }

  /** Tells the initiator that the target goes away. RFC 7143 11.9.1. */
  requestLogout(withinMs: number): void {
    if (this.#phase !== 'open') return
    const header = asyncMessage.build({
      lun: noLunField,
      statSn: this.#sender.takeStatSn(),
      expCmdSn: this.#window.expCmdSn,
      maxCmdSn: this.#window.maxCmdSn,
      asyncEvent: AsyncEvent.LOGOUT_REQUESTED,
      asyncVCode: 0,
      parameter1: 0,
      parameter2: 0,
      parameter3: Math.ceil(withinMs / 1000),
    })
    this.#sender.send(header)
  }

  end(cause: string): void {
    this.#finish(cause, () => this.#options.stream.destroy())
  }

  /** The connection is gone, by itself or by `end`. */
  connectionLost(cause: string): void {
    this.#finish(cause, () => undefined)
  }

  /** For the log. */
  #name(): Readonly<Record<string, unknown>> {
    const { initiatorPort, targetName } = this.nexus
    return { initiatorPort, targetName, handle: this.handle }
  }

  #makeTasks(target: ScsiTarget<PortalTask>): TaskSet {
    const { stream, writeBudget, clock, log } = this.#options
    return new TaskSet({
      session: this,
      parameters: this.parameters,
      sendLimits: this.#sendLimits,
      stream,
      sender: this.#sender,
      pinger: this.#pinger,
      target,
      writeBudget: new ByteBudget(portal.sessionWriteBytes, writeBudget),
      clock,
      log,
    })
  }

  /** RFC 7143 4.2.2.1: immediate requests at once, the others in the order of their CmdSN. */
  #inOrder(frame: Frame): void {
    if (frame.immediate) {
      this.#process(frame)
      return
    }
    const arrival = this.#window.arrive(frame.header.readUInt32BE(cmdSnByte), frame)
    if (arrival === 'ignored') return
    for (const next of arrival) {
      if (this.#phase === 'open') this.#process(next)
    }
  }

  #process(frame: Frame): void {
    switch (frame.opcode) {
      case Opcode.SCSI_COMMAND:
        this.#command(frame)
        return
      case Opcode.NOP_OUT:
        this.#release(frame)
        this.#nopOut(frame)
        return
      case Opcode.TASK_MANAGEMENT_REQUEST:
        this.#manage(frame)
        return
      case Opcode.TEXT_REQUEST:
        this.#release(frame)
        this.#text.request(frame)
        return
      default:
        this.#release(frame)
        this.#logout(frame)
    }
  }

  /** These requests need their place in the window no longer than this turn. */
  #release(frame: Frame): void {
    if (!frame.immediate) this.#window.end()
  }

  #command(frame: Frame): void {
    if (this.#tasks === undefined) {
      // RFC 7143 4.3: a discovery session carries text and logout only.
      this.#release(frame)
      this.#sender.reject(RejectReason.COMMAND_NOT_SUPPORTED, frame.header)
      return
    }
    if (!this.#tasks.command(frame)) this.#close('broken AHS chain')
  }

  #nopOut(frame: Frame): void {
    const ping = nopOut.decode(frame.header)
    if (ping.targetTransferTag !== RESERVED_TAG) this.#pinger.answered(ping.targetTransferTag)
    if (ping.initiatorTaskTag === RESERVED_TAG) return
    const header = nopIn.build({
      lun: noLunField,
      initiatorTaskTag: ping.initiatorTaskTag,
      targetTransferTag: RESERVED_TAG,
      statSn: this.#sender.takeStatSn(),
      expCmdSn: this.#window.expCmdSn,
      maxCmdSn: this.#window.maxCmdSn,
    })
    // RFC 7143 11.19: as much of the ping data comes back as the initiator can take.
    const fits = frame.dataBytes <= this.#sendLimits.maxSegmentBytes
    this.#sender.send(header, fits ? frame.data : undefined)
  }

  #manage(frame: Frame): void {
    const tooMany = this.#managing >= portal.immediateCommands
    if (this.#tasks === undefined || tooMany) {
      const { TOO_MANY_IMMEDIATE_COMMANDS, COMMAND_NOT_SUPPORTED } = RejectReason
      this.#release(frame)
      const reason = tooMany ? TOO_MANY_IMMEDIATE_COMMANDS : COMMAND_NOT_SUPPORTED
      this.#sender.reject(reason, frame.header)
      return
    }
    this.#managing++
    const { clock, target } = this.#options
    const close = (cause: string): void => this.#close(cause)
    const hasUnit = (lun: number): boolean => target?.hasUnit(lun) === true
    const options = { tasks: this.#tasks, hasUnit, sender: this.#sender, clock, close }
    manageTasks(frame.header, options, () => {
      this.#managing--
      this.#release(frame)
    })
  }

  /** RFC 7143 11.14: what was begun ends before the answer; what was not is discarded. */
  #logout(frame: Frame): void {
    const request = logoutRequest.decode(frame.header)
    const { reason, cid, initiatorTaskTag } = request
    if (reason === LogoutReason.CLOSE_CONNECTION && cid !== this.parameters.cid) {
      this.#answerLogout(initiatorTaskTag, LogoutOutcome.CID_NOT_FOUND)
    } else if (reason === LogoutReason.REMOVE_FOR_RECOVERY) {
      this.#answerLogout(initiatorTaskTag, LogoutOutcome.RECOVERY_NOT_SUPPORTED)
    } else if (reason > LogoutReason.REMOVE_FOR_RECOVERY) {
      this.#sender.reject(RejectReason.INVALID_PDU_FIELD, frame.header)
    } else {
      this.#phase = 'loggingOut'
      const tasks = this.#tasks?.all() ?? []
      for (const task of tasks) this.#tasks?.abort(task)
      whenAllEnded(tasks, this.#options.clock, (all) => {
        if (this.#phase !== 'loggingOut') return
        const outcome = all ? LogoutOutcome.SUCCESS : LogoutOutcome.CLEANUP_FAILED
        this.#answerLogout(initiatorTaskTag, outcome)
        this.#close('logout')
      })
    }
  }

  #answerLogout(initiatorTaskTag: number, response: number): void {
    const header = logoutResponse.build({
      response,
      initiatorTaskTag,
      statSn: this.#sender.takeStatSn(),
      expCmdSn: this.#window.expCmdSn,
      maxCmdSn: this.#window.maxCmdSn,
      time2Wait: this.parameters.defaultTime2Wait,
      time2Retain: 0,
    })
    this.#sender.send(header)
  }

  #breakOff(frame: Frame, cause: string): void {
    this.protocolError(frame.header, cause)
  }

  /** Sends what is queued, then ends. */
  #close(cause: string): void {
    this.#finish(cause, () => this.#options.stream.close())
  }

  #finish(cause: string, endStream: () => void): void {
    if (this.#phase === 'ending' || this.#phase === 'ended') return
    this.#phase = 'ending'
    const { log, target } = this.#options
    if (target !== undefined) log.info('session ends', { ...this.#name(), cause })
    endStream()
    this.#pinger.end()
    const done = (): void => {
      this.#phase = 'ended'
      target?.nexusLost(this.nexus)
      this.#options.gone(this)
      this.#resolveEnded()
    }
    if (this.#tasks === undefined) done()
    else this.#tasks.stop(done)
  }
}

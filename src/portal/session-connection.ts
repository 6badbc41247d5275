/**
 * One connection of a session in full-feature phase: what is its own (StatSN, pings, text, the tasks
 * that are allegiant to it) and the first look at each frame. What has a place in the session's
 * order of commands goes through the session and comes back in its turn. RFC 7143 4.2.2, 4.2.5.1.
 */
import { portal } from '../base/limits.ts'
import type { CommandWindow } from '../iscsi/command-window.ts'
import type { Frame } from '../iscsi/framer.ts'
import { AsyncEvent, asyncMessage } from '../iscsi/pdu/async-message.ts'
import { nopIn } from '../iscsi/pdu/nop-in.ts'
import { nopOut } from '../iscsi/pdu/nop-out.ts'
import { Opcode, RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { RejectReason } from '../iscsi/pdu/reject.ts'
import type { SendTargetsRecord } from '../iscsi/send-targets.ts'
import type { SessionParameters } from '../iscsi/session-parameters.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { ByteStream } from '../ports/network.ts'
import type { ScsiTarget } from '../scsi/scsi-target.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { KeptBudget } from './kept-budget.ts'
import { Pinger } from './pinger.ts'
import type { FrontSession, PortalTask } from './portal-host.ts'
import { Sender } from './sender.ts'
import { answerSnack } from './snack.ts'
import { TaskSet } from './task-set.ts'
import { TextExchange } from './text-exchange.ts'

/** What a connection asks of its session. */
export interface SessionDuties {
  /** A request that takes its turn in the order of CmdSN; it comes back to `process`. */
  inOrder(frame: Frame, from: SessionConnection): void
  manage(frame: Frame, from: SessionConnection): void
  logout(frame: Frame, from: SessionConnection): void
  /** The connection cannot go on: its stream has ended, or is to be ended by `endStream`. */
  lost(connection: SessionConnection, cause: string): void
  inUse(initiatorTaskTag: number, except: SessionConnection): boolean
}

/** The bytes below a connection. */
export interface Link {
  readonly stream: ByteStream
  /** The output is full: read no more until it has drained. */
  readonly full: () => void
}

export interface SessionConnectionOptions {
  readonly duties: SessionDuties
  readonly session: FrontSession
  /** Of the session, with what is this connection's own. */
  readonly parameters: SessionParameters
  readonly statSn: number
  readonly link: Link
  readonly window: CommandWindow<Frame>
  /** Absent in a discovery session. */
  readonly target: ScsiTarget<PortalTask> | undefined
  readonly discover: () => readonly SendTargetsRecord[]
  /** Read data that the session may have under way. */
  readonly shareBytes: () => number
  readonly keptBudget: KeptBudget
  /** Write data of the session. */
  readonly writeBudget: ByteBudget
  readonly clock: Clock
  readonly log: Log
}

/** Byte of ExpStatSN in every request that can come in a session. */
const expStatSnByte = 28
const noLunField = Buffer.alloc(8)

export class SessionConnection {
  readonly cid: number
  readonly remoteAddress: string
  readonly localAddress: string
  readonly parameters: SessionParameters
  readonly sender: Sender
  readonly pinger: Pinger
  readonly tasks: TaskSet | undefined
  /**
   * `leaving`: it takes no more requests, its answers still go out. `lost`: the stream is gone, its
   * tasks may be reassigned. `ended`: nothing is left of it.
   */
  phase: 'open' | 'leaving' | 'lost' | 'ended' = 'open'
  /** Of a lost one: removed for recovery by a logout, so that its tasks have no allegiance. */
  recovered = false
  /** The initiator may change what it can receive at any time. RFC 7143 13.12. */
  readonly sendLimits: { maxSegmentBytes: number; readonly maxBurstBytes: number }
  readonly #options: SessionConnectionOptions
  readonly #text: TextExchange
  readonly #whenStopped: (() => void)[] = []
  #stopped = false

  constructor(options: SessionConnectionOptions) {
    const { parameters, link, clock, window, statSn, target } = options
    this.#options = options
    this.cid = parameters.cid
    this.remoteAddress = link.stream.remoteAddress
    this.localAddress = link.stream.localAddress
    this.parameters = parameters
    this.sender = new Sender({
      stream: link.stream,
      digests: { header: parameters.headerDigest, data: parameters.dataDigest },
      window,
      statSn,
      recovery: parameters.errorRecoveryLevel > 0,
      kept: { shareBytes: options.shareBytes, budget: options.keptBudget },
      full: link.full,
    })
    this.pinger = new Pinger({
      clock,
      send: (tag) => this.sender.nopIn(tag),
      soliciting: () => this.tasks?.soliciting === true,
    })
    this.sendLimits = {
      maxSegmentBytes: parameters.initiatorMaxRecvDataSegmentBytes,
      maxBurstBytes: parameters.maxBurstBytes,
    }
    this.#text = new TextExchange({
      sender: this.sender,
      limits: this.sendLimits,
      targetName: parameters.sessionType === 'Discovery' ? undefined : parameters.targetName,
      discover: options.discover,
    })
    this.tasks = target === undefined ? undefined : this.#makeTasks(target)
  }

  /** Takes one frame from the stream. */
  receive(frame: Frame): void {
    if (this.phase !== 'open') return
    const { duties } = this.#options
    const expStatSn = frame.header.readUInt32BE(expStatSnByte)
    this.pinger.received(expStatSn, this.sender.statSn)
    this.sender.sent?.acknowledged(expStatSn)
    switch (frame.opcode) {
      case Opcode.DATA_OUT:
        if (this.tasks?.dataOut(frame) === false) this.protocolError(frame.header, brokenAhs)
        return
      case Opcode.SCSI_COMMAND:
      case Opcode.NOP_OUT:
      case Opcode.TASK_MANAGEMENT_REQUEST:
      case Opcode.TEXT_REQUEST:
      case Opcode.LOGOUT_REQUEST:
        duties.inOrder(frame, this)
        return
      case Opcode.SNACK_REQUEST:
        answerSnack(frame.header, {
          sender: this.sender,
          limits: this.sendLimits,
          tasks: this.tasks,
        })
        return
      case Opcode.LOGIN_REQUEST:
        this.sender.reject(RejectReason.PROTOCOL_ERROR, frame.header)
        return
      default:
        this.sender.reject(RejectReason.COMMAND_NOT_SUPPORTED, frame.header)
    }
  }

  /** A request of this connection whose turn has come. */
  process(frame: Frame): void {
    switch (frame.opcode) {
      case Opcode.SCSI_COMMAND:
        this.#command(frame)
        return
      case Opcode.NOP_OUT:
        this.freeSlot(frame)
        this.#nopOut(frame)
        return
      case Opcode.TASK_MANAGEMENT_REQUEST:
        this.#options.duties.manage(frame, this)
        return
      case Opcode.TEXT_REQUEST:
        this.freeSlot(frame)
        this.#text.request(frame)
        return
      default:
        this.freeSlot(frame)
        this.#options.duties.logout(frame, this)
    }
  }

  /** A frame whose data digest was wrong: it is discarded, and its sender told. RFC 7143 7.8. */
  dataDigestError(header: Buffer): void {
    if (this.phase !== 'open') return
    this.sender.reject(RejectReason.DATA_DIGEST_ERROR, header)
    if ((header[0]! & 0x3f) === Opcode.DATA_OUT) this.tasks?.dataOutDigestError(header)
  }

  /** A frame that makes it impossible to go on: told to the peer, then the connection ends. */
  protocolError(header: Buffer, cause: string): void {
    if (this.phase === 'lost' || this.phase === 'ended') return
    this.sender.reject(RejectReason.PROTOCOL_ERROR, header)
    this.#options.link.stream.close()
    this.#options.duties.lost(this, cause)
  }

  /** The stream has ended. */
  streamEnded(cause: string): void {
    this.#options.duties.lost(this, cause)
  }

  /** The output has drained: the peer is alive, and reads that waited may begin. */
  drained(): void {
    this.pinger.heard()
    this.tasks?.pump()
  }

  /** Looked at now and then: silent peers, overdue data. Answers why the connection cannot go on. */
  sweep(): string | undefined {
    // A discovery session carries nothing but Text and Logout (RFC 7143 13.21); open-iscsi ends it
    // over a NOP-In.
    const mayPing = this.parameters.sessionType !== 'Discovery'
    if (this.phase !== 'lost' && !this.pinger.sweep({ mayPing })) {
      return 'no sign of life from the initiator'
    }
    return this.tasks?.sweep() === false ? 'a command does not end' : undefined
  }

  /** RFC 7143 11.9. The parameters mean what the event says. */
  notify(event: number, parameters: readonly [number, number, number]): void {
    const header = asyncMessage.build({
      lun: noLunField,
      statSn: this.sender.takeStatSn(),
      expCmdSn: this.sender.window.expCmdSn,
      maxCmdSn: this.sender.window.maxCmdSn,
      asyncEvent: event,
      asyncVCode: 0,
      parameter1: parameters[0],
      parameter2: parameters[1],
      parameter3: parameters[2],
    })
    this.sender.respond(header)
  }

  /** Its session sends more unasked for than there is memory: it is to be read no further now. */
  get isFlooding(): boolean {
    const { writeBudget } = this.#options
    return writeBudget.isCrowded && writeBudget.unaskedBytes > portal.unaskedFloorBytes
  }

  /** Tells the initiator that the target goes away. RFC 7143 11.9.1. */
  requestLogout(withinMs: number): void {
    if (this.phase === 'open')
      this.notify(AsyncEvent.LOGOUT_REQUESTED, [0, 0, Math.ceil(withinMs / 1000)])
  }

  /** A request that needs its place in the window no longer. */
  freeSlot(frame: Frame): void {
    if (!frame.immediate) this.sender.window.end()
  }

  /** Sends what is queued, then ends the stream. */
  closeStream(): void {
    this.#options.link.stream.close()
  }

  destroyStream(): void {
    this.#options.link.stream.destroy()
  }

  /** The tasks stay, for another connection to take over. */
  detach(): void {
    this.phase = 'lost'
    this.pinger.end()
    this.tasks?.detach()
  }

  /** Aborts its tasks; `done` when what has begun has settled. May be called again. */
  stop(done: () => void): void {
    if (this.#stopped) {
      done()
      return
    }
    this.#whenStopped.push(done)
    if (this.#whenStopped.length > 1) return
    this.phase = 'ended'
    this.pinger.end()
    if (this.tasks === undefined) this.#allStopped()
    else this.tasks.stop(() => this.#allStopped())
  }

  #allStopped(): void {
    this.#stopped = true
    this.sender.sent?.close()
    for (const done of this.#whenStopped.splice(0)) done()
  }

  #makeTasks(target: ScsiTarget<PortalTask>): TaskSet {
    const { session, duties, parameters, link, writeBudget, shareBytes, clock, log } = this.#options
    return new TaskSet({
      session,
      inUse: (tag) => duties.inUse(tag, this),
      parameters,
      sendLimits: this.sendLimits,
      stream: link.stream,
      sender: this.sender,
      pinger: this.pinger,
      target,
      writeBudget,
      shareBytes,
      clock,
      log,
    })
  }

  #command(frame: Frame): void {
    if (this.tasks === undefined) {
      // RFC 7143 4.3: a discovery session carries text and logout only.
      this.freeSlot(frame)
      this.sender.reject(RejectReason.COMMAND_NOT_SUPPORTED, frame.header)
      return
    }
    if (this.tasks.command(frame)) return
    this.#options.link.stream.close()
    this.#options.duties.lost(this, brokenAhs)
  }

  #nopOut(frame: Frame): void {
    const ping = nopOut.decode(frame.header)
    if (ping.targetTransferTag !== RESERVED_TAG) this.pinger.answered(ping.targetTransferTag)
    if (ping.initiatorTaskTag === RESERVED_TAG) return
    const header = nopIn.build({
      lun: noLunField,
      initiatorTaskTag: ping.initiatorTaskTag,
      targetTransferTag: RESERVED_TAG,
      statSn: this.sender.takeStatSn(),
      expCmdSn: this.sender.window.expCmdSn,
      maxCmdSn: this.sender.window.maxCmdSn,
    })
    // RFC 7143 11.19: as much of the ping data comes back as the initiator can take.
    const fits = frame.dataBytes <= this.sendLimits.maxSegmentBytes
    this.sender.respond(header, fits ? frame.data : undefined)
  }
}

const brokenAhs = 'broken AHS chain'

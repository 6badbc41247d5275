/**
 * A leg: one session, initiator role, from one of our programs to a storage server (any iSCSI
 * target will do). One connection, ErrorRecoveryLevel 0: whatever goes wrong ends the session,
 * never the process, and every command then is `lost`; sending again is the caller's affair.
 * This file numbers, sends and ends commands; what comes back is read in `leg-receiver.ts`.
 * RFC 7143 4.2.2 (numbering), 11.3 to 11.8 (commands and data).
 */
import { assert } from '../base/assert.ts'
import { leg as limits } from '../base/limits.ts'
import { CommandCredit } from '../iscsi/command-window.ts'
import type { DataOutPart } from '../iscsi/data-out-source.ts'
import type { EstablishedSession } from '../iscsi/login-initiator.ts'
import { encodeLun } from '../iscsi/lun-field.ts'
import { dataOut } from '../iscsi/pdu/data-out.ts'
import { LogoutReason, logoutRequest } from '../iscsi/pdu/logout-request.ts'
import { nopOut } from '../iscsi/pdu/nop-out.ts'
import { RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { scsiCommand, TaskAttribute } from '../iscsi/pdu/scsi-command.ts'
import {
  TaskManagementFunction,
  taskManagementRequest,
} from '../iscsi/pdu/task-management-request.ts'
import type { SessionParameters } from '../iscsi/session-parameters.ts'
import type { Clock } from '../ports/clock.ts'
import type { LegAnswer, LegCommand, LegTask } from './leg-command.ts'
import type { LegConnection } from './leg-connection.ts'
import { LegReceiver } from './leg-receiver.ts'
import { OpenCommand } from './open-command.ts'
import { Pulse } from './pulse.ts'

export interface EstablishedLeg {
  readonly connection: LegConnection
  readonly clock: Clock
  readonly session: EstablishedSession
}

const cdbBytes = 16
const noLunField = Buffer.alloc(8)

export class Leg {
  readonly parameters: SessionParameters
  /** Resolves with the cause when the session is over. */
  readonly ended: Promise<string>
  readonly #connection: LegConnection
  readonly #clock: Clock
  readonly #credit: CommandCredit
  readonly #receiver: LegReceiver
  readonly #pulse: Pulse
  /** Sent and unanswered, by InitiatorTaskTag, in the order of sending. */
  readonly #sent = new Map<number, OpenCommand>()
  /** ABORT TASK requests under way, by their own tag. */
  readonly #aborts = new Map<number, OpenCommand>()
  #queue: OpenCommand[] = []
  #lastTag = 0
  #draining = false
  #pingsWhileFull = 0
  #idle: (() => void)[] = []

  constructor({ connection, clock, session }: EstablishedLeg) {
    const { parameters } = session
    this.parameters = parameters
    this.#connection = connection
    this.#clock = clock
    this.#credit = new CommandCredit(session.cmdSn)
    this.#credit.update(session.expCmdSn, session.maxCmdSn)
    this.#receiver = new LegReceiver(session.expStatSn, {
      find: (tag) => this.#sent.get(tag),
      window: (expCmdSn, maxCmdSn) => this.#credit.update(expCmdSn, maxCmdSn),
      answered: (open, answer) => this.#answered(open, answer),
      solicited: (open, parts) => this.#sendParts(open, parts),
      pinged: (targetTransferTag, lun) => this.#answerPing(targetTransferTag, lun),
      pingAnswered: () => this.#pulse.answered(),
      aborted: (tag, complete) => this.#abortAnswered(tag, complete),
      fail: (cause) => connection.fail(cause),
    })
    this.#pulse = new Pulse({
      clock,
      ping: () => this.#sendNop(this.#takeTag(), RESERVED_TAG, noLunField),
      oldestAtMs: () => this.#oldestAtMs(),
      fail: (cause) => connection.fail(cause),
    })
    let end: (cause: string) => void
    this.ended = new Promise((resolve) => {
      end = resolve
    })
    const handler = {
      frame: (frame: Parameters<LegReceiver['receive']>[0]) => {
        this.#pulse.heard()
        this.#receiver.receive(frame)
        if (this.#queue.length > 0) this.#pump()
      },
      closed: (cause: string) => {
        this.#loseAll()
        end(cause)
      },
    }
    const { headerDigest, dataDigest } = parameters
    connection.enterFullFeature(handler, { header: headerDigest, data: dataDigest })
  }

  get open(): boolean {
    return !this.#connection.ended
  }

  /** Commands sent and not yet answered, or waiting for the window. */
  get commandCount(): number {
    return this.#sent.size + this.#queue.length
  }

  /** Sends the command as soon as the window lets it. Every command is answered, in one way. */
  submit(command: LegCommand): LegTask {
    assert(command.cdb.length <= cdbBytes, 'a CDB of at most 16 bytes')
    const open = new OpenCommand(command, this.parameters, (which) => this.#abort(which))
    open.submittedAtMs = this.#clock.nowMs()
    if (!this.open) {
      open.lose()
      return open
    }
    if (command.immediate === true) {
      this.#sendCommand(open)
      return open
    }
    this.#queue.push(open)
    this.#pump()
    return open
  }

  /** Resolves when nothing is in flight, or the session or the time is over. */
  idle(timeoutMs: number): Promise<void> {
    if (this.commandCount === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.#clock.after(timeoutMs, resolve)
      this.#idle.push(() => {
        cancel()
        resolve()
      })
    })
  }

  /** Ends the session; what is still in flight is lost. */
  close(): void {
    if (this.commandCount > 0) {
      this.#connection.fail('closed')
      return
    }
    const header = logoutRequest.build({
      reason: LogoutReason.CLOSE_SESSION,
      initiatorTaskTag: this.#takeTag(),
      cid: 0,
      ...this.#numbers(),
    })
    this.#connection.send(header, { immediate: true })
    this.#connection.close('closed')
  }

  /** Ends the session if a command that was submitted until then has no answer yet. */
  endIfOwed(submittedAtMs: number, cause: string): void {
    const oldestAtMs = this.#oldestAtMs()
    if (oldestAtMs !== undefined && oldestAtMs <= submittedAtMs) this.#connection.fail(cause)
  }

  /** Since when the oldest command waits: for its answer, or in vain for a window that opens. */
  #oldestAtMs(): number | undefined {
    for (const open of this.#sent.values()) return open.sentAtMs
    return this.#queue[0]?.submittedAtMs
  }

  /** What every request of ours shows; immediate ones use no CmdSN up. */
  #numbers(): { readonly cmdSn: number; readonly expStatSn: number } {
    return { cmdSn: this.#credit.cmdSn, expStatSn: this.#receiver.expStatSn }
  }

  #takeTag(): number {
    do {
      this.#lastTag = (this.#lastTag + 1) % RESERVED_TAG
    } while (this.#sent.has(this.#lastTag) || this.#aborts.has(this.#lastTag))
    return this.#lastTag
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#credit.available > 0 && !this.#draining && this.open) {
      this.#sendCommand(this.#queue.shift()!)
    }
  }

  #sendCommand(open: OpenCommand): void {
    const { command } = open
    open.initiatorTaskTag = this.#takeTag()
    const immediate = command.immediate === true
    open.cmdSn = immediate ? this.#credit.cmdSn : this.#credit.take()
    open.sentAtMs = this.#clock.nowMs()
    this.#sent.set(open.initiatorTaskTag, open)
    const write = command.dataOut !== undefined
    const { data, final } = write ? open.dataOut.immediate() : { data: undefined, final: true }
    const header = scsiCommand.build({
      final,
      read: (command.dataInBytes ?? 0) > 0,
      write,
      attribute: TaskAttribute.SIMPLE,
      lun: encodeLun(command.lun),
      initiatorTaskTag: open.initiatorTaskTag,
      expectedDataTransferLength: write ? open.dataOut.bytes : (command.dataInBytes ?? 0),
      cmdSn: open.cmdSn,
      expStatSn: this.#receiver.expStatSn,
      cdb: padded(command.cdb),
    })
    this.#send(header, { ahs: command.header, data, immediate })
    if (!final) this.#sendParts(open, open.dataOut.unsolicited())
  }

  /** Every Data-Out carries the generation header of its command. */
  #sendParts(open: OpenCommand, parts: readonly DataOutPart<Buffer>[]): void {
    for (const { final, targetTransferTag, dataSn, bufferOffset, data } of parts) {
      const header = dataOut.build({
        final,
        targetTransferTag,
        dataSn,
        bufferOffset,
        lun: encodeLun(open.command.lun),
        initiatorTaskTag: open.initiatorTaskTag,
        expStatSn: this.#receiver.expStatSn,
      })
      this.#send(header, { ahs: open.command.header, data })
    }
  }

  #send(header: Buffer, parts: Parameters<LegConnection['send']>[1]): void {
    if (this.#connection.send(header, parts) || this.#draining) return
    this.#draining = true
    void this.#connection.stream.drained().then(() => {
      this.#draining = false
      this.#pingsWhileFull = 0
      this.#pump()
    })
  }

  /** A target that pings and does not read must not cost us a queue of answers. */
  #answerPing(targetTransferTag: number, lun: Buffer): void {
    if (this.#draining && ++this.#pingsWhileFull > limits.pingsWhileFull) {
      this.#connection.fail('the target pings and does not read the answers')
      return
    }
    this.#sendNop(RESERVED_TAG, targetTransferTag, lun)
  }

  #sendNop(initiatorTaskTag: number, targetTransferTag: number, lun: Buffer): void {
    const header = nopOut.build({ lun, initiatorTaskTag, targetTransferTag, ...this.#numbers() })
    this.#send(header, { immediate: true })
  }

  #answered(open: OpenCommand, answer: LegAnswer): void {
    this.#sent.delete(open.initiatorTaskTag)
    open.settle(answer)
    if (this.commandCount === 0) this.#tellIdle()
  }

  #abort(open: OpenCommand): void {
    if (open.sentAtMs === undefined) {
      this.#queue = this.#queue.filter((each) => each !== open)
      open.lose()
      return
    }
    if (open.abortSent) return
    open.abortSent = true
    const tag = this.#takeTag()
    this.#aborts.set(tag, open)
    const header = taskManagementRequest.build({
      function: TaskManagementFunction.ABORT_TASK,
      lun: encodeLun(open.command.lun),
      initiatorTaskTag: tag,
      referencedTaskTag: open.initiatorTaskTag,
      refCmdSn: open.cmdSn,
      expDataSn: 0,
      ...this.#numbers(),
    })
    this.#send(header, { immediate: true })
  }

  /** A rejected abort leaves the command as it is: its answer or the end of the session decides. */
  #abortAnswered(tag: number, complete: boolean): boolean {
    const open = this.#aborts.get(tag)
    if (open === undefined) return false
    this.#aborts.delete(tag)
    const unanswered = this.#sent.get(open.initiatorTaskTag) === open
    if (unanswered && complete) this.#answered(open, { kind: 'aborted' })
    return true
  }

  #loseAll(): void {
    this.#pulse.stop()
    const open = [...this.#sent.values(), ...this.#queue]
    this.#sent.clear()
    this.#aborts.clear()
    this.#queue = []
    for (const each of open) each.lose()
    this.#tellIdle()
  }

  #tellIdle(): void {
    for (const run of this.#idle.splice(0)) run()
  }
}

function padded(cdb: Buffer): Buffer {
  if (cdb.length === cdbBytes) return cdb
  const whole = Buffer.alloc(cdbBytes)
  cdb.copy(whole)
  return whole
}

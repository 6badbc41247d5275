/**
 * The SCSI commands of one session: they begin in the order in which they came (RFC 7143 4.2.2.1),
 * run side by side, and are answered as they end. It owns every task from arrival to end, and the
 * bytes of reads under way. What the commands do is the ScsiTarget's affair.
 */
import { StorageError } from '../base/errors.ts'
import { largestCommandBytes, portal } from '../base/limits.ts'
import { parseAhs } from '../iscsi/ahs.ts'
import type { DataInLimits } from '../iscsi/data-in-sequence.ts'
import type { Frame } from '../iscsi/framer.ts'
import { decodeLun } from '../iscsi/lun-field.ts'
import { RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { RejectReason } from '../iscsi/pdu/reject.ts'
import { type ScsiCommand, scsiCommand } from '../iscsi/pdu/scsi-command.ts'
import type { SessionParameters } from '../iscsi/session-parameters.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { ByteStream } from '../ports/network.ts'
import type { Silence } from '../scsi/logical-unit.ts'
import { checkCondition, type ScsiResult } from '../scsi/result.ts'
import type { ScsiTarget } from '../scsi/scsi-target.ts'
import { INTERNAL_TARGET_FAILURE } from '../scsi/sense.ts'
import { decodeFence } from '../volume/generation-header.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { Pinger } from './pinger.ts'
import type { FrontSession, PortalTask } from './portal-host.ts'
import type { Sender } from './sender.ts'
import { CommandTask } from './task.ts'
import { sendAnswer } from './task-answer.ts'
import { WriteData } from './write-data.ts'

/** HARDWARE ERROR, internal target failure: for a unit that failed in a way it did not foresee. */
const internalTargetFailure = checkCondition(INTERNAL_TARGET_FAILURE)
const noDataOut: readonly Buffer[] = []

export interface TaskSetOptions {
  readonly session: FrontSession
  readonly parameters: SessionParameters
  /** Changes when the initiator says so. */
  readonly sendLimits: DataInLimits
  readonly stream: ByteStream
  readonly sender: Sender
  readonly pinger: Pinger
  readonly target: ScsiTarget<PortalTask>
  readonly writeBudget: ByteBudget
  readonly clock: Clock
  readonly log: Log
}

export class TaskSet {
  readonly #options: TaskSetOptions
  readonly #sender: Sender
  readonly #target: ScsiTarget<PortalTask>
  readonly #writes: WriteData
  readonly #tasks = new Map<number, CommandTask>()
  /** All data are here, but what went before has not begun yet. */
  #ready: CommandTask[] = []
  #running = 0
  #readBytes = 0
  #immediate = 0
  #stopped: (() => void) | undefined

  constructor(options: TaskSetOptions) {
    const { parameters, sender, pinger, clock, writeBudget } = options
    this.#options = options
    this.#sender = sender
    this.#target = options.target
    this.#writes = new WriteData({
      parameters,
      sender,
      pinger,
      budget: writeBudget,
      clock,
      collected: (task) => this.#collected(task),
      find: (tag) => this.#tasks.get(tag),
    })
  }

  /** Data for an R2T are still to come. */
  get soliciting(): boolean {
    for (const { phase, writeData } of this.#tasks.values()) {
      if (phase === 'collecting' && writeData !== undefined && writeData.r2tCount > 0) return true
    }
    return false
  }

  /** Tasks that have not ended. */
  all(): CommandTask[] {
    return [...this.#tasks.values()]
  }

  find(initiatorTaskTag: number): CommandTask | undefined {
    return this.#tasks.get(initiatorTaskTag)
  }

  /** A SCSI Command in its turn. False when its AHS chain is broken: the connection must end. */
  command(frame: Frame): boolean {
    const command = scsiCommand.decode(frame.header)
    const segments = parseAhs(frame.ahs)
    const fault = segments === undefined ? RejectReason.PROTOCOL_ERROR : this.#fault(command, frame)
    if (segments === undefined || fault !== undefined) {
      this.#reject(frame, fault ?? RejectReason.PROTOCOL_ERROR)
      return segments !== undefined
    }
    const { immediate } = frame
    const { session } = this.#options
    const transfer = this.#target.transfer(command.cdb, decodeLun(command.lun))
    const fence = decodeFence(segments)
    const task = new CommandTask({ session, command, immediate, fence, transfer })
    if (command.write && !this.#writes.accept(task, frame)) {
      this.#reject(frame, RejectReason.PROTOCOL_ERROR)
      return true
    }
    this.#tasks.set(command.initiatorTaskTag, task)
    if (immediate) this.#immediate++
    const verdict = this.#target.arrive(task)
    if (command.write) {
      task.verdict = verdict
      this.#writes.begin(task, frame.dataBytes)
    } else if (verdict !== undefined) {
      this.#finish(task, verdict)
    } else {
      this.#enqueue(task)
    }
    return true
  }

  /** False when its AHS chain is broken. */
  dataOut(frame: Frame): boolean {
    return this.#writes.dataOut(frame)
  }

  dataOutDigestError(header: Buffer): void {
    this.#writes.digestError(header)
  }

  /** Begins what waited for room in the output. */
  pump(): void {
    while (this.#ready.length > 0) {
      const task = this.#ready[0]!
      if (task.phase === 'ready' && !this.#hasRoom(task)) return
      this.#ready.shift()
      if (task.phase === 'ready') this.#begin(task)
    }
  }

  /** Marks the task aborted; what has not begun ends at once and is never answered. */
  abort(task: CommandTask): void {
    task.abort()
    if (task.phase === 'collecting' || task.phase === 'ready') this.#end(task)
  }

  /** Ends writes whose data did not come in time. */
  sweep(): void {
    const nowMs = this.#options.clock.nowMs()
    for (const task of this.#tasks.values()) {
      const overdue = this.#writes.overdue(task, nowMs)
      if (overdue !== undefined) this.#finish(task, overdue)
    }
  }

  /** Aborts everything; calls `done` when what has begun has settled. */
  stop(done: () => void): void {
    this.#stopped = done
    this.#writes.stop()
    for (const task of this.all()) this.abort(task)
    this.#ready = []
    this.#checkStopped()
  }

  /** What makes a command one that cannot be taken. RFC 7143 11.3. */
  #fault(command: ScsiCommand, frame: Frame): RejectReason | undefined {
    const { initiatorTaskTag } = command
    if (initiatorTaskTag === RESERVED_TAG) return RejectReason.INVALID_PDU_FIELD
    if (this.#tasks.has(initiatorTaskTag)) return RejectReason.TASK_IN_PROGRESS
    if (frame.immediate && this.#immediate >= portal.immediateCommands) {
      return RejectReason.TOO_MANY_IMMEDIATE_COMMANDS
    }
    // Bidirectional commands would need a second length in the AHS; no command here is one.
    if (command.read && command.write) return RejectReason.INVALID_PDU_FIELD
    if (command.write) return undefined
    return frame.dataBytes > 0 || !command.final ? RejectReason.PROTOCOL_ERROR : undefined
  }

  #reject(frame: Frame, reason: RejectReason): void {
    if (!frame.immediate) this.#sender.window.end()
    this.#sender.reject(reason, frame.header)
  }

  #collected(task: CommandTask): void {
    if (task.verdict !== undefined) this.#finish(task, task.verdict)
    else this.#enqueue(task)
  }

  #enqueue(task: CommandTask): void {
    task.phase = 'ready'
    if (this.#ready.length === 0 && this.#hasRoom(task)) this.#begin(task)
    else this.#ready.push(task)
  }

  /** Reads are begun only as fast as the peer takes their data. */
  #hasRoom(task: CommandTask): boolean {
    const bytes = this.#readLength(task)
    if (bytes === 0) return true
    const held = this.#readBytes + this.#options.stream.queuedBytes
    return held === 0 || held + bytes <= portal.sessionReadBytes
  }

  /** A CDB may allow more than there can be: REPORT LUNS names up to 4 GiB. */
  #readLength(task: CommandTask): number {
    return task.transfer.direction === 'in' ? Math.min(task.transfer.bytes, largestCommandBytes) : 0
  }

  #begin(task: CommandTask): void {
    task.phase = 'running'
    this.#running++
    this.#readBytes += this.#readLength(task)
    this.#target.execute(task, task.writeData?.data ?? noDataOut).then(
      (result) => this.#settled(task, result),
      (thrown: unknown) => {
        if (!(thrown instanceof StorageError)) throw thrown
        const error = thrown
        this.#options.log.error('command failed', { lun: task.lun, opcode: task.cdb[0], error })
        this.#settled(task, internalTargetFailure)
      },
    )
  }

  #settled(task: CommandTask, result: ScsiResult | Silence): void {
    this.#running--
    this.#readBytes -= this.#readLength(task)
    this.#finish(task, result)
    if (this.#ready.length > 0) this.pump()
    if (this.#stopped !== undefined) this.#checkStopped()
  }

  /** Answers and ends. The place in the window is free before the answer is numbered. */
  #finish(task: CommandTask, result: ScsiResult | Silence): void {
    const answered = !task.aborted
    this.#end(task)
    if (!answered) return
    if (result === 'drop') {
      this.#sender.tellWindow()
      return
    }
    const sense = result.status === 2 ? this.#target.encodeSense(task, result) : undefined
    sendAnswer(this.#sender, this.#options.sendLimits, task, { result, sense })
  }

  #end(task: CommandTask): void {
    this.#tasks.delete(task.command.initiatorTaskTag)
    if (task.heldBytes > 0) this.#writes.release(task)
    if (task.immediate) this.#immediate--
    else this.#sender.window.end()
    task.end()
  }

  #checkStopped(): void {
    if (this.#running > 0) return
    const done = this.#stopped
    this.#stopped = undefined
    done?.()
  }
}

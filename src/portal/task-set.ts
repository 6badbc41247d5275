/**
 * The SCSI commands that are allegiant to one connection (RFC 7143 4.2.5.1): they begin in the order
 * in which they came (4.2.2.1), run side by side, and are answered as they end. It owns every task
 * from arrival to end, and the bytes of reads under way. What the commands do is the ScsiTarget's
 * affair. When the connection is lost at ErrorRecoveryLevel 2 it keeps them until they are
 * reassigned.
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
import { checkCondition, isGood, type ScsiResult } from '../scsi/result.ts'
import type { ScsiTarget } from '../scsi/scsi-target.ts'
import { COMMAND_TIMEOUT_DURING_PROCESSING, INTERNAL_TARGET_FAILURE } from '../scsi/sense.ts'
import { decodeFence } from '../volume/generation-header.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { Pinger } from './pinger.ts'
import type { FrontSession, PortalTask } from './portal-host.ts'
import type { Sender } from './sender.ts'
import { CommandTask, type TaskHome } from './task.ts'
import { sendAnswer } from './task-answer.ts'
import { WriteData } from './write-data.ts'

/** HARDWARE ERROR, internal target failure: for a unit that failed in a way it did not foresee. */
const internalTargetFailure = checkCondition(INTERNAL_TARGET_FAILURE)
const commandTimeout = checkCondition(COMMAND_TIMEOUT_DURING_PROCESSING)
const noDataOut: readonly Buffer[] = []

export interface TaskSetOptions {
  readonly session: FrontSession
  /** Is this initiator task tag that of a task of another connection of the session? */
  readonly inUse: (initiatorTaskTag: number) => boolean
  readonly parameters: SessionParameters
  /** Changes when the initiator says so. */
  readonly sendLimits: DataInLimits
  readonly stream: ByteStream
  readonly sender: Sender
  readonly pinger: Pinger
  readonly target: ScsiTarget<PortalTask>
  readonly writeBudget: ByteBudget
  /** How much read data the session may have under way now. */
  readonly shareBytes: () => number
  readonly clock: Clock
  readonly log: Log
}

export class TaskSet implements TaskHome {
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
  /** The connection is lost: nothing is begun and nothing is sent. */
  #detached = false
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
    const task = new CommandTask({ home: this, session, command, immediate, fence, transfer })
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

  /** See `WriteData.requestAgain`. */
  requestAgain(task: CommandTask, r2tSn: number, count: number): boolean {
    return this.#writes.requestAgain(task, r2tSn, count)
  }

  /** Begins what waited for room in the output. */
  pump(): void {
    while (!this.#detached && this.#ready.length > 0) {
      const task = this.#ready[0]!
      if (task.phase === 'ready' && !this.#hasRoom(task)) return
      this.#ready.shift()
      if (task.phase === 'ready') this.#begin(task)
    }
  }

  abort(task: CommandTask): void {
    task.abort()
    task.overdue = false
    if (task.phase !== 'running' && task.phase !== 'ended') this.#end(task)
  }

  /**
   * Ends writes whose data did not come in time, and commands whose unit takes too long. False: one
   * does not end even though its unit was told to.
   */
  sweep(): boolean {
    const nowMs = this.#options.clock.nowMs()
    for (const task of this.#tasks.values()) {
      const overdue = this.#detached ? undefined : this.#writes.overdue(task, nowMs)
      if (overdue !== undefined) this.#finish(task, overdue)
      else if (task.phase === 'running' && !this.#mayGoOn(task)) return false
    }
    return true
  }

  /** The connection is lost, and its tasks may be taken over by another. RFC 7143 7.2.2. */
  detach(): void {
    this.#detached = true
  }

  /** Gives the task away, for `adopt` of another set. */
  release(task: CommandTask): void {
    this.#count(task, -1)
    this.#writes.forget(task)
    this.#ready = this.#ready.filter((each) => each !== task)
  }

  /** Takes over a task of a lost connection: it goes on from where it is. */
  adopt(task: CommandTask, expDataSn: number): void {
    task.home = this
    this.#count(task, 1)
    if (task.phase === 'parked') this.#finish(task, task.verdict!)
    else if (task.phase === 'ready') this.#enqueue(task)
    else if (task.phase === 'collecting') this.#writes.reassign(task, expDataSn)
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
    if (this.#tasks.has(initiatorTaskTag) || this.#options.inUse(initiatorTaskTag)) {
      return RejectReason.TASK_IN_PROGRESS
    }
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
    if (this.#ready.length === 0 && !this.#detached && this.#hasRoom(task)) this.#begin(task)
    else this.#ready.push(task)
  }

  /** Reads are begun only as fast as the peer takes their data. */
  #hasRoom(task: CommandTask): boolean {
    const bytes = this.#readLength(task)
    if (bytes === 0) return true
    const held = this.#readBytes + this.#options.stream.queuedBytes
    return held === 0 || held + bytes <= this.#options.shareBytes()
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
      (result) => task.home.settled(task, result),
      (thrown: unknown) => {
        if (!(thrown instanceof StorageError)) throw thrown
        const error = thrown
        this.#options.log.error('command failed', { lun: task.lun, opcode: task.cdb[0], error })
        task.home.settled(task, internalTargetFailure)
      },
    )
  }

  /** The unit is done with it. */
  settled(task: CommandTask, result: ScsiResult | Silence): void {
    this.#running--
    this.#readBytes -= this.#readLength(task)
    task.phase = 'parked'
    this.#finish(task, task.overdue && !isGood(result) ? commandTimeout : result)
    if (this.#ready.length > 0) this.pump()
    if (this.#stopped !== undefined) this.#checkStopped()
  }

  /** Told to stop after a generous time; then it has as long as an abort has. */
  #mayGoOn(task: CommandTask): boolean {
    const ranMs = ++task.sweeps * portal.sweepMs
    if (ranMs < portal.taskDeadlineMs) return true
    if (ranMs >= portal.taskDeadlineMs + portal.taskManagementDeadlineMs) return false
    if (!task.aborted) {
      task.overdue = true
      task.abort()
    }
    return true
  }

  /** Answers and ends. The place in the window is free before the answer is numbered. */
  #finish(task: CommandTask, result: ScsiResult | Silence): void {
    const answered = !task.aborted || task.overdue
    if (this.#detached && answered && result !== 'drop') {
      task.phase = 'parked'
      task.verdict = result
      return
    }
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

  #count(task: CommandTask, by: 1 | -1): void {
    const { initiatorTaskTag } = task.command
    if (by > 0) this.#tasks.set(initiatorTaskTag, task)
    else this.#tasks.delete(initiatorTaskTag)
    if (task.immediate) this.#immediate += by
    if (task.phase !== 'running') return
    this.#running += by
    this.#readBytes += by * this.#readLength(task)
  }

  #checkStopped(): void {
    if (this.#running > 0) return
    const done = this.#stopped
    this.#stopped = undefined
    done?.()
  }
}

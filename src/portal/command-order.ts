/**
 * Requests of one session in the order of their CmdSN, over all its connections (RFC 7143 4.2.2.1):
 * what came too early waits here for what is missing, and task management may take numbers out of
 * the order. It owns the window and what waits, within limits.
 */
import { portal } from '../base/limits.ts'
import { serialDistance } from '../base/serial.ts'
import { CommandWindow } from '../iscsi/command-window.ts'
import type { Frame } from '../iscsi/framer.ts'
import { Opcode } from '../iscsi/pdu/opcode.ts'
import type { TaskManagementRequest } from '../iscsi/pdu/task-management-request.ts'
import type { SessionConnection } from './session-connection.ts'
import type { CommandTask } from './task.ts'

/** Bytes of the initiator task tag and of CmdSN in every request that has one. RFC 7143 11.3. */
const taskTagByte = 16
const cmdSnByte = 24

/** Waits until all commands before a number have come. */
interface Watch {
  readonly cmdSn: number
  readonly each: (task: CommandTask) => void
  readonly done: () => void
}

export interface CommandOrderOptions {
  readonly expCmdSn: number
  readonly windowCommands: number
}

export class CommandOrder {
  readonly window: CommandWindow<Frame>
  readonly #windowCommands: number
  /** Whose connection the frames are that wait in the window. */
  readonly #early = new Map<Frame, SessionConnection>()
  #earlyBytes = 0
  readonly #watches = new Set<Watch>()

  constructor(options: CommandOrderOptions) {
    this.window = new CommandWindow(options)
    this.#windowCommands = options.windowCommands
  }

  /** Takes a request that is not immediate; whatever may go on now goes on. */
  arrive(frame: Frame, from: SessionConnection): void {
    const cmdSn = frame.header.readUInt32BE(cmdSnByte)
    if (cmdSn !== this.window.expCmdSn) {
      this.#tooEarly(cmdSn, frame, from)
      return
    }
    const arrival = this.window.arrive(cmdSn, frame)
    if (arrival === 'ignored') return
    for (const next of arrival) this.#deliver(next, next === frame ? from : this.#takeEarly(next))
    if (this.#watches.size > 0) this.#checkWatches()
  }

  /** What waits of this connection has not come; its sender may send it again elsewhere. */
  forget(connection: SessionConnection): void {
    for (const [cmdSn, frame] of this.window.early()) {
      if (this.#early.get(frame) !== connection) continue
      this.window.forget(cmdSn)
      this.#takeEarly(frame)
    }
  }

  /**
   * Takes the command that an ABORT TASK names, and that has not had its turn, out of the order.
   * False: there is none. RFC 7143 11.6.1 (b).
   */
  cancelAwaited(request: TaskManagementRequest): boolean {
    for (const [cmdSn, frame] of this.window.early()) {
      if (frame.opcode !== Opcode.SCSI_COMMAND) continue
      if (frame.header.readUInt32BE(taskTagByte) !== request.referencedTaskTag) continue
      this.#takeEarly(frame)
      this.#skip(cmdSn)
      return true
    }
    const { refCmdSn } = request
    if (serialDistance(refCmdSn, request.cmdSn) <= 0 || !this.window.awaits(refCmdSn)) return false
    this.#skip(refCmdSn)
    return true
  }

  /** Takes all numbers before this one out of the order that have not had their turn. */
  plug(cmdSn: number): void {
    const first = this.window.expCmdSn
    const count = Math.min(serialDistance(first, cmdSn), this.#windowCommands)
    for (const [early, frame] of this.window.early()) {
      if (serialDistance(early, cmdSn) > 0) this.#takeEarly(frame)
    }
    for (let ahead = count - 1; ahead >= 0; ahead--) this.#skip((first + ahead) >>> 0)
  }

  /**
   * Calls `each` for commands of earlier numbers that come yet, and `done` once when all have come.
   * Answers a function that ends the waiting.
   */
  catchEarlier(cmdSn: number, each: (task: CommandTask) => void, done: () => void): () => void {
    const watch: Watch = { cmdSn, each, done }
    this.#watches.add(watch)
    this.#checkWatches()
    return () => this.#watches.delete(watch)
  }

  #tooEarly(cmdSn: number, frame: Frame, from: SessionConnection): void {
    if (!this.window.awaits(cmdSn)) return
    if (this.#earlyBytes + frame.dataBytes > portal.earlyBytes) return
    const copy = ownCopy(frame)
    if (this.window.arrive(cmdSn, copy) === 'ignored') return
    this.#early.set(copy, from)
    this.#earlyBytes += copy.dataBytes
  }

  #takeEarly(frame: Frame): SessionConnection {
    const from = this.#early.get(frame)!
    this.#early.delete(frame)
    this.#earlyBytes -= frame.dataBytes
    return from
  }

  #skip(cmdSn: number): void {
    for (const next of this.window.skip(cmdSn)) this.#deliver(next, this.#takeEarly(next))
    this.#checkWatches()
  }

  #deliver(frame: Frame, from: SessionConnection): void {
    if (from.phase !== 'open') {
      from.freeSlot(frame)
      return
    }
    from.process(frame)
    if (this.#watches.size === 0 || frame.opcode !== Opcode.SCSI_COMMAND) return
    const task = from.tasks?.find(frame.header.readUInt32BE(taskTagByte))
    if (task === undefined) return
    for (const { cmdSn, each } of this.#watches) {
      if (serialDistance(task.command.cmdSn, cmdSn) > 0) each(task)
    }
  }

  #checkWatches(): void {
    for (const watch of this.#watches) {
      if (serialDistance(this.window.expCmdSn, watch.cmdSn) > 0) continue
      this.#watches.delete(watch)
      watch.done()
    }
  }
}

/** What waits must not hold the buffers in which it was received. */
function ownCopy(frame: Frame): Frame {
  return {
    ...frame,
    header: Buffer.from(frame.header),
    ahs: Buffer.from(frame.ahs),
    data: frame.dataBytes === 0 ? [] : [Buffer.concat(frame.data)],
  }
}

/**
 * Collects the data of a session's writes: takes Data-Out PDUs, compares their fence with their
 * command's, asks for more with R2Ts when there is room for it. A task leaves here when all its
 * data have come, or when it has failed and the peer has sent what it announced. RFC 7143 11.7,
 * 11.8. It owns the queue for room and the target transfer tags.
 */
import { portal } from '../base/limits.ts'
import { parseAhs } from '../iscsi/ahs.ts'
import {
  beginDataOut,
  type DataOutSequence,
  type TransferRequest,
} from '../iscsi/data-out-sequence.ts'
import type { Frame } from '../iscsi/framer.ts'
import { type DataOut, dataOut } from '../iscsi/pdu/data-out.ts'
import { RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { readyToTransfer } from '../iscsi/pdu/ready-to-transfer.ts'
import type { SessionParameters } from '../iscsi/session-parameters.ts'
import type { Clock } from '../ports/clock.ts'
import { checkCondition, type ScsiResult } from '../scsi/result.ts'
import { INCORRECT_AMOUNT_OF_DATA, PROTOCOL_SERVICE_CRC_ERROR } from '../scsi/sense.ts'
import { decodeFence, sameFence } from '../volume/generation-header.ts'
import { Reason, refusalResult } from '../volume/refusal.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { Pinger } from './pinger.ts'
import type { Sender } from './sender.ts'
import type { CommandTask } from './task.ts'

/** RFC 7143 11.4.7.2: sense for iSCSI conditions. */
const incorrectAmountOfData = checkCondition(INCORRECT_AMOUNT_OF_DATA)
const serviceCrcError = checkCondition(PROTOCOL_SERVICE_CRC_ERROR)

export interface WriteDataOptions {
  readonly parameters: SessionParameters
  readonly sender: Sender
  readonly pinger: Pinger
  readonly budget: ByteBudget
  readonly clock: Clock
  /** Everything has come, or `verdict` is set: the task leaves. */
  readonly collected: (task: CommandTask) => void
  /** What may be waiting for Data-Out, by initiator task tag. */
  readonly find: (initiatorTaskTag: number) => CommandTask | undefined
}

export class WriteData {
  readonly #options: WriteDataOptions
  /** ErrorRecoveryLevel 1 and up: lost data are asked for again. */
  readonly #recovery: boolean
  /** Writes for whose data there was no room yet, oldest first. */
  #waiting: CommandTask[] = []
  readonly #roomAgain = (): void => this.#solicitWaiting()

  constructor(options: WriteDataOptions) {
    this.#options = options
    this.#recovery = options.parameters.errorRecoveryLevel > 0
  }

  /** Checks the part of a write's data that the command itself brought or announced. */
  accept(task: CommandTask, immediate: Frame): boolean {
    const { command, transfer } = task
    const expectedBytes = command.expectedDataTransferLength
    const asked = transfer.direction === 'out' ? transfer.bytes : 0
    const sequence = beginDataOut({
      rules: this.#options.parameters,
      expectedBytes,
      wantedBytes: Math.min(asked, expectedBytes),
      final: command.final,
      immediate: immediate.data,
      immediateBytes: immediate.dataBytes,
      recovery: this.#recovery,
    })
    if (sequence.kind === 'data-fault') return false
    task.writeData = sequence
    return true
  }

  /** Begins what was accepted; `task.verdict` may already be known. */
  begin(task: CommandTask, immediateBytes: number): void {
    const { budget, clock } = this.#options
    task.dataAtMs = clock.nowMs()
    task.dueAtMs = task.dataAtMs + portal.dataDeadlineMs
    task.heldBytes = immediateBytes
    budget.take(immediateBytes)
    this.#advance(task, task.writeData!)
  }

  /** False when the AHS chain is broken: the connection cannot go on. */
  dataOut(frame: Frame): boolean {
    const pdu = dataOut.decode(frame.header)
    const segments = parseAhs(frame.ahs)
    if (segments === undefined) return false
    this.#options.pinger.delivered(pdu.targetTransferTag)
    const task = this.#options.find(pdu.initiatorTaskTag)
    const sequence = task?.writeData
    // Of a task that has been answered or aborted meanwhile: to be discarded.
    if (task === undefined || sequence === undefined || task.phase !== 'collecting') return true
    if (!sameFence(task.fence, decodeFence(segments))) {
      task.verdict ??= refusalResult({ reason: Reason.HEADER, generation: 0 })
    }
    this.#take(task, pdu, frame)
    return true
  }

  /** A Data-Out whose digest was wrong: only its header can be believed. RFC 7143 7.8. */
  digestError(header: Buffer): void {
    const pdu = dataOut.decode(header)
    const task = this.#options.find(pdu.initiatorTaskTag)
    const sequence = task?.writeData
    if (task === undefined || sequence === undefined || task.phase !== 'collecting') return
    if (!this.#recovery) task.verdict ??= serviceCrcError
    if (task.verdict !== undefined) sequence.skip(pdu)
    else if (sequence.damaged(pdu) !== undefined) task.verdict = serviceCrcError
    this.#advance(task, sequence)
  }

  /**
   * R2Ts of this task from that number on, sent again (RFC 7143 11.16). False: none such is
   * unanswered.
   */
  requestAgain(task: CommandTask, r2tSn: number, count: number): boolean {
    const sequence = task.writeData
    if (sequence === undefined) return false
    const requests = sequence.unanswered(r2tSn, count)
    for (const request of requests) this.#sendRequest(task, request)
    return requests.length > 0
  }

  /** The task has come here from a connection that was lost: its data go on here. */
  reassign(task: CommandTask, expDataSn: number): void {
    const sequence = task.writeData!
    sequence.reassign(expDataSn)
    task.dataAtMs = this.#options.clock.nowMs()
    task.dueAtMs = task.dataAtMs + portal.dataDeadlineMs
    this.#advance(task, sequence)
  }

  /** The task goes on elsewhere. */
  forget(task: CommandTask): void {
    this.#waiting = this.#waiting.filter((each) => each !== task)
  }

  /** Its data are needed no longer. */
  release(task: CommandTask): void {
    this.#options.budget.give(task.heldBytes, task.grantedBytes)
    task.heldBytes = 0
    task.grantedBytes = 0
  }

  /** Ends what has waited too long for its data, even though the peer may still send them. */
  overdue(task: CommandTask, nowMs: number): ScsiResult | undefined {
    if (task.phase !== 'collecting') return undefined
    if (task.dueAtMs <= nowMs) return incorrectAmountOfData
    if (this.#recovery) this.#noticeSilence(task, nowMs)
    return undefined
  }

  /** The session is over: nothing is asked for any more. */
  stop(): void {
    this.#waiting = []
    this.#options.budget.forget(this.#roomAgain)
  }

  /** RFC 7143 7.1.4.1: what was announced or asked for does not come. */
  #noticeSilence(task: CommandTask, nowMs: number): void {
    const sequence = task.writeData!
    if (!sequence.owed || task.verdict !== undefined) return
    if (nowMs - task.dataAtMs < portal.sequenceDeadlineMs) return
    if (sequence.timedOut() !== undefined) task.verdict = serviceCrcError
    task.dataAtMs = nowMs
    this.#advance(task, sequence)
  }

  #take(task: CommandTask, pdu: DataOut, frame: Frame): void {
    const sequence = task.writeData!
    if (task.verdict !== undefined) {
      sequence.skip(pdu)
    } else {
      const before = sequence.receivedBytes
      const fault = sequence.receive(pdu, frame.data, frame.dataBytes)
      const kept = sequence.receivedBytes - before
      if (fault !== undefined) {
        task.verdict = incorrectAmountOfData
        sequence.skip(pdu)
      } else if (pdu.targetTransferTag === RESERVED_TAG && kept > 0) {
        // Solicited data have their room since the R2T.
        task.heldBytes += kept
        this.#options.budget.take(kept)
      }
      if (this.#recovery) task.dataAtMs = this.#options.clock.nowMs()
    }
    this.#advance(task, sequence)
  }

  #advance(task: CommandTask, sequence: DataOutSequence): void {
    if (task.verdict !== undefined ? !sequence.owed : sequence.complete) {
      task.dueAtMs = Number.POSITIVE_INFINITY
      this.#options.collected(task)
      return
    }
    if (task.verdict !== undefined) return
    sequence.compact()
    if (task.grantedBytes > 0) {
      this.#solicit(task, sequence)
    } else if (!sequence.owed) {
      this.#waiting.push(task)
      this.#solicitWaiting()
    }
  }

  /** Room is taken for all that a write still needs, so that each that has begun can end. */
  #solicitWaiting(): void {
    const { budget, clock } = this.#options
    for (let task = this.#waiting[0]; task !== undefined; task = this.#waiting[0]) {
      const sequence = task.writeData!
      if (task.phase === 'collecting' && !task.aborted) {
        const missing = sequence.unrequestedBytes
        if (!budget.tryTake(missing)) {
          budget.whenGiven(this.#roomAgain)
          return
        }
        task.heldBytes += missing
        task.grantedBytes += missing
        task.dataAtMs = clock.nowMs()
        task.dueAtMs = task.dataAtMs + portal.dataDeadlineMs
        this.#solicit(task, sequence)
      }
      this.#waiting.shift()
    }
  }

  #solicit(task: CommandTask, sequence: DataOutSequence): void {
    const { sender, pinger } = this.#options
    while (sequence.mayRequest) {
      const wanted = sequence.nextRequest(sender.takeTag(), Number.POSITIVE_INFINITY)
      if (wanted === undefined) return
      this.#sendRequest(task, wanted)
      pinger.requested(wanted.targetTransferTag)
    }
  }

  #sendRequest(task: CommandTask, wanted: TransferRequest): void {
    const { sender } = this.#options
    const header = readyToTransfer.build({
      r2tSn: wanted.r2tSn,
      bufferOffset: wanted.bufferOffset,
      desiredDataTransferLength: wanted.desiredBytes,
      lun: task.command.lun,
      initiatorTaskTag: task.command.initiatorTaskTag,
      targetTransferTag: wanted.targetTransferTag,
      statSn: sender.statSn,
      expCmdSn: sender.window.expCmdSn,
      maxCmdSn: sender.window.maxCmdSn,
    })
    sender.send(header)
  }
}

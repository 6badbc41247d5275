/**
 * The answer to one command, sent and not yet acknowledged, in a session that recovers from losses
 * (ErrorRecoveryLevel 1 and up): all of it can go out again, whole or in part, cut anew, or over
 * another connection. RFC 7143 7.2.2, 11.16. It holds the data of a read until it is dropped.
 *
 * The data are never handed back for use by others: what was sent a second time may still be on its
 * way when the first is acknowledged.
 */
import { type DataInLimits, type DataInPart, splitDataIn } from '../iscsi/data-in-sequence.ts'
import { totalBytes } from '../iscsi/data-slices.ts'
import type { Residual } from '../iscsi/residual.ts'
import { Status } from '../scsi/result.ts'
import {
  type Answer,
  dataInHeader,
  residualFor,
  responseHeader,
  senseSegment,
  sentBytesOf,
} from './answer-pdus.ts'
import type { Outgoing } from './outgoing.ts'
import type { CommandTask } from './task.ts'

/** What one entry costs beside its data. */
const overheadBytes = 512

export interface SentAnswerOptions {
  readonly sender: Outgoing
  readonly limits: DataInLimits
  readonly task: CommandTask
  readonly answer: Answer
}

export class SentAnswer {
  readonly kind = 'answer'
  readonly task: CommandTask
  readonly statSn: number
  /** TTT of the Data-In PDUs that have the A bit. */
  readonly ackTag: number
  readonly heldBytes: number
  readonly #sender: Outgoing
  readonly #answer: Answer
  readonly #data: readonly Buffer[]
  readonly #rest: Residual
  /** As they went out last; where data were acknowledged, those before it are what they were. */
  #parts: DataInPart[]
  /** DataSN of the first Data-In that was not acknowledged. */
  #acknowledged = 0
  #statusInData: boolean
  #snackTag = 0

  private constructor({ sender, limits, task, answer }: SentAnswerOptions) {
    const { result } = answer
    this.task = task
    this.#sender = sender
    this.#answer = answer
    this.ackTag = sender.takeTag()
    this.#rest = residualFor(task, result)
    this.#data = result.status === Status.GOOD ? result.dataIn : []
    this.#parts = [...splitDataIn(this.#data, sentBytesOf(task, result), limits)]
    this.#statusInData = this.#parts.length > 0
    this.heldBytes = overheadBytes + totalBytes(this.#data)
    this.statSn = sender.takeStatSn()
  }

  static send(options: SentAnswerOptions): SentAnswer {
    const answer = new SentAnswer(options)
    answer.#sendAll()
    return answer
  }

  /** Data-In PDUs so far. */
  get dataSn(): number {
    return this.#parts.length
  }

  /** Data-In from this number on (0 of them: all). False: not sent, or acknowledged already. */
  sendDataAgain(dataSn: number, count: number): boolean {
    const first = dataSn === 0 && count === 0 ? this.#acknowledged : dataSn
    const end = count === 0 ? this.#parts.length : first + count
    if (first < this.#acknowledged || end > this.#parts.length || first >= end) return false
    for (const part of this.#parts.slice(first, end)) this.#sendPart(part)
    return true
  }

  /** The PDU with the status. */
  sendStatusAgain(): void {
    const last = this.#parts.at(-1)
    if (this.#statusInData && last !== undefined) this.#sendPart(last)
    else this.#sendStatus()
  }

  /** R-Data SNACK: all that was not acknowledged, cut anew, and the status under this tag. */
  cutAnew(limits: DataInLimits, snackTag: number): void {
    this.#snackTag = snackTag
    this.#statusInData = false
    this.#cutFrom(this.#acknowledged, limits)
    this.#sendAll()
  }

  /** False: there is no such Data-In, or one before it was acknowledged. */
  acknowledge(dataSn: number): boolean {
    if (dataSn < this.#acknowledged || dataSn > this.#parts.length) return false
    this.#acknowledged = dataSn
    return true
  }

  /** The same answer over another connection, as one of its responses. RFC 7143 11.5.6. */
  reassigned(sender: Outgoing, limits: DataInLimits, expDataSn: number): SentAnswer {
    const valid = expDataSn >= this.#acknowledged && expDataSn <= this.#parts.length
    const again = new SentAnswer({ sender, limits, task: this.task, answer: this.#answer })
    again.#parts = this.#parts
    again.#acknowledged = valid ? expDataSn : this.#acknowledged
    again.#cutFrom(again.#acknowledged, limits)
    again.#statusInData = again.#parts.length > again.#acknowledged
    again.#sendAll()
    return again
  }

  #cutFrom(dataSn: number, limits: DataInLimits): void {
    const from = this.#parts[dataSn]
    if (from === undefined) return
    const last = this.#parts.at(-1)!
    const endBytes = last.bufferOffset + totalBytes(last.data)
    const start = { dataSn, bufferOffset: from.bufferOffset }
    const rest = splitDataIn(this.#data, endBytes, limits, start)
    this.#parts = [...this.#parts.slice(0, dataSn), ...rest]
  }

  #sendAll(): void {
    for (const part of this.#parts.slice(this.#acknowledged)) this.#sendPart(part)
    if (!this.#statusInData) this.#sendStatus()
  }

  #sendPart(part: DataInPart): void {
    const carries = part.last && this.#statusInData
    const header = dataInHeader(this.#sender, this.task, part, {
      status: carries ? { statSn: this.statSn, rest: this.#rest } : undefined,
      // RFC 7143 11.7.2: not more often than once for MaxBurstLength bytes.
      ackTag: part.final && !part.last ? this.ackTag : undefined,
    })
    this.#sender.send(header, part.data)
  }

  #sendStatus(): void {
    const { sense, result } = this.#answer
    const header = responseHeader(this.#sender, this.task, {
      status: result.status,
      statSn: this.statSn,
      rest: this.#rest,
      expDataSn: this.task.writeData?.r2tCount ?? this.#parts.length,
      snackTag: this.#snackTag,
    })
    this.#sender.send(header, sense === undefined ? undefined : senseSegment(sense))
  }
}

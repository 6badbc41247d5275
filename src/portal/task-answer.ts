/**
 * The result of a command to its initiator: Data-In with the status on the last one where it is
 * GOOD, otherwise a SCSI Response. RFC 7143 11.4, 11.7. Where the session recovers from losses the
 * answer is kept until it is acknowledged (`SentAnswer`).
 */
import { type DataInLimits, splitDataIn } from '../iscsi/data-in-sequence.ts'
import { type ScsiResult, Status } from '../scsi/result.ts'
import {
  type Answer,
  dataInHeader,
  residualFor,
  responseHeader,
  senseSegment,
  sentBytesOf,
} from './answer-pdus.ts'
import type { Sender } from './sender.ts'
import { SentAnswer } from './sent-answer.ts'
import type { CommandTask } from './task.ts'

export function sendAnswer(
  sender: Sender,
  limits: DataInLimits,
  task: CommandTask,
  answer: Answer,
): void {
  if (sender.sent !== undefined) {
    sender.sent.keep(SentAnswer.send({ sender, limits, task, answer }))
    return
  }
  const { result, sense } = answer
  const sentBytes = sentBytesOf(task, result)
  if (sentBytes > 0 && result.status === Status.GOOD) {
    sendData(sender, limits, task, { result, sentBytes })
    return
  }
  const header = responseHeader(sender, task, {
    status: result.status,
    statSn: sender.takeStatSn(),
    rest: residualFor(task, result),
    expDataSn: task.writeData?.r2tCount ?? 0,
  })
  sender.send(header, sense === undefined ? undefined : senseSegment(sense))
  if (result.status === Status.GOOD) result.release?.()
}

interface ReadData {
  readonly result: ScsiResult & { readonly status: 0 }
  readonly sentBytes: number
}

function sendData(sender: Sender, limits: DataInLimits, task: CommandTask, read: ReadData): void {
  const { result, sentBytes } = read
  for (const piece of splitDataIn(result.dataIn, sentBytes, limits)) {
    const { last } = piece
    const status = last
      ? { statSn: sender.takeStatSn(), rest: residualFor(task, result) }
      : undefined
    const header = dataInHeader(sender, task, piece, { status })
    sender.send(header, piece.data, last ? result.release : undefined)
  }
}

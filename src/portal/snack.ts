/**
 * SNACK: an initiator that missed something asks for it again, or acknowledges the data of a read
 * (RFC 7143 11.16, 7.2). Only at ErrorRecoveryLevel 1 and up is anything kept for it; below, and for
 * what was dropped because it was too much, the answer is a Reject by name.
 */
import type { DataInLimits } from '../iscsi/data-in-sequence.ts'
import { RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { RejectReason } from '../iscsi/pdu/reject.ts'
import { type SnackRequest, SnackType, snackRequest } from '../iscsi/pdu/snack-request.ts'
import type { Sender } from './sender.ts'
import type { SentResponses } from './sent-responses.ts'
import type { TaskSet } from './task-set.ts'

export interface SnackOptions {
  readonly sender: Sender
  readonly limits: DataInLimits
  /** Absent in a discovery session. */
  readonly tasks: TaskSet | undefined
}

export function answerSnack(header: Buffer, options: SnackOptions): void {
  const { sender } = options
  const reason =
    sender.sent === undefined
      ? RejectReason.SNACK_REJECT
      : carryOut(snackRequest.decode(header), sender.sent, options)
  if (reason !== undefined) sender.reject(reason, header)
}

/** Undefined when it was carried out. RFC 7143 11.16: what cannot be had is a protocol error. */
function carryOut(
  snack: SnackRequest,
  sent: SentResponses,
  options: SnackOptions,
): RejectReason | undefined {
  switch (snack.type) {
    case SnackType.DATA_OR_R2T:
      return dataAgain(snack, sent, options)
    case SnackType.STATUS:
      return statusAgain(snack, sent, options)
    case SnackType.DATA_ACK: {
      const answer = sent.acknowledging(snack.targetTransferTag)
      return answer?.acknowledge(snack.begRun) === true ? undefined : RejectReason.INVALID_DATA_ACK
    }
    case SnackType.R_DATA:
      return cutAnew(snack, sent, options)
    default:
      return RejectReason.INVALID_PDU_FIELD
  }
}

function dataAgain(
  snack: SnackRequest,
  sent: SentResponses,
  { tasks }: SnackOptions,
): RejectReason | undefined {
  const { initiatorTaskTag, begRun, runLength } = snack
  const task = tasks?.find(initiatorTaskTag)
  if (tasks !== undefined && task !== undefined) {
    const done = tasks.requestAgain(task, begRun, runLength)
    return done ? undefined : RejectReason.PROTOCOL_ERROR
  }
  const answer = sent.answer(initiatorTaskTag)
  if (answer === undefined) return sent.hasForgotten ? forgotten : RejectReason.PROTOCOL_ERROR
  return answer.sendDataAgain(begRun, runLength) ? undefined : RejectReason.PROTOCOL_ERROR
}

const forgotten = RejectReason.SNACK_REJECT

function statusAgain(
  snack: SnackRequest,
  sent: SentResponses,
  { sender }: SnackOptions,
): RejectReason | undefined {
  const responses = sent.from(snack.begRun, snack.runLength)
  if (responses === 'forgotten') return forgotten
  if (typeof responses === 'string') return RejectReason.PROTOCOL_ERROR
  for (const response of responses) {
    if (response.kind === 'pdu') sender.respondAgain(response)
    else response.sendStatusAgain()
  }
  return undefined
}

function cutAnew(
  snack: SnackRequest,
  sent: SentResponses,
  { limits }: SnackOptions,
): RejectReason | undefined {
  const { initiatorTaskTag, targetTransferTag: snackTag, begRun, runLength } = snack
  if (begRun !== 0 || runLength !== 0 || snackTag === 0 || snackTag === RESERVED_TAG) {
    return RejectReason.INVALID_PDU_FIELD
  }
  const answer = sent.answer(initiatorTaskTag)
  if (answer === undefined) return sent.hasForgotten ? forgotten : RejectReason.PROTOCOL_ERROR
  answer.cutAnew(limits, snackTag)
  return undefined
}

/**
 * The result of a command as PDUs: Data-In with the status on the last one where it is GOOD,
 * otherwise a SCSI Response. RFC 7143 11.4, 11.7. Residuals are reckoned here (11.4.5).
 */
import { splitDataIn } from '../iscsi/data-in-sequence.ts'
import { dataIn } from '../iscsi/pdu/data-in.ts'
import { RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { scsiResponse } from '../iscsi/pdu/scsi-response.ts'
import { type ScsiResult, Status } from '../scsi/result.ts'
import type { Sender } from './sender.ts'
import type { CommandTask } from './task.ts'

export interface AnswerLimits {
  readonly maxDataSegmentBytes: number
  readonly maxBurstBytes: number
}

interface Residual {
  readonly overflow: boolean
  readonly underflow: boolean
  readonly residualCount: number
}

const noLunField = Buffer.alloc(8)
const noResidual: Residual = { overflow: false, underflow: false, residualCount: 0 }

function residual(expectedBytes: number, actualBytes: number): Residual {
  if (actualBytes === expectedBytes) return noResidual
  const overflow = actualBytes > expectedBytes
  const difference = Math.abs(actualBytes - expectedBytes)
  return { overflow, underflow: !overflow, residualCount: Math.min(difference, 0xffffffff) }
}

function lengthOf(buffers: readonly Buffer[]): number {
  let bytes = 0
  for (const buffer of buffers) bytes += buffer.length
  return bytes
}

/** `sense`: laid out for this nexus; it goes with CHECK CONDITION only. */
export function sendAnswer(
  sender: Sender,
  limits: AnswerLimits,
  task: CommandTask,
  answer: { readonly result: ScsiResult; readonly sense: Buffer | undefined },
): void {
  const { result, sense } = answer
  const { command, transfer } = task
  const expectedBytes = command.expectedDataTransferLength
  if (result.status !== Status.GOOD) {
    const movedBytes = command.write ? (task.writeData?.receivedBytes ?? 0) : 0
    sendStatus(sender, task, result.status, residual(expectedBytes, movedBytes), sense)
    return
  }
  const resultBytes = lengthOf(result.dataIn)
  const rest = residual(expectedBytes, transfer.direction === 'out' ? transfer.bytes : resultBytes)
  const sentBytes = command.read ? Math.min(resultBytes, expectedBytes) : 0
  if (sentBytes > 0) sendData(sender, limits, task, { data: result.dataIn, sentBytes, rest })
  else sendStatus(sender, task, Status.GOOD, rest)
}

interface ReadData {
  readonly data: readonly Buffer[]
  readonly sentBytes: number
  readonly rest: Residual
}

function sendData(sender: Sender, limits: AnswerLimits, task: CommandTask, read: ReadData): void {
  const { data, sentBytes, rest } = read
  let dataSn = 0
  splitDataIn(data, sentBytes, limits, (piece) => {
    const { last } = piece
    const header = dataIn.build({
      final: piece.final,
      acknowledge: false,
      overflow: last && rest.overflow,
      underflow: last && rest.underflow,
      hasStatus: last,
      status: Status.GOOD,
      lun: noLunField,
      initiatorTaskTag: task.command.initiatorTaskTag,
      targetTransferTag: RESERVED_TAG,
      statSn: last ? sender.takeStatSn() : 0,
      expCmdSn: sender.window.expCmdSn,
      maxCmdSn: sender.window.maxCmdSn,
      dataSn: dataSn++,
      bufferOffset: piece.bufferOffset,
      residualCount: last ? rest.residualCount : 0,
    })
    sender.send(header, piece.data)
  })
}

function sendStatus(
  sender: Sender,
  task: CommandTask,
  status: number,
  rest: Residual,
  sense?: Buffer,
): void {
  const header = scsiResponse.build({
    bidirectionalOverflow: false,
    bidirectionalUnderflow: false,
    overflow: rest.overflow,
    underflow: rest.underflow,
    response: 0,
    status,
    initiatorTaskTag: task.command.initiatorTaskTag,
    snackTag: 0,
    statSn: sender.takeStatSn(),
    expCmdSn: sender.window.expCmdSn,
    maxCmdSn: sender.window.maxCmdSn,
    expDataSn: task.writeData?.r2tCount ?? 0,
    bidirectionalReadResidualCount: 0,
    residualCount: rest.residualCount,
  })
  sender.send(header, sense === undefined ? undefined : senseSegment(sense))
}

/** RFC 7143 11.4.7: two bytes of SenseLength, then the sense data. */
function senseSegment(sense: Buffer): readonly Buffer[] {
  const length = Buffer.allocUnsafe(2)
  length.writeUInt16BE(sense.length, 0)
  return [length, sense]
}

/**
 * The result of a command as PDUs: Data-In with the status on the last one where it is GOOD,
 * otherwise a SCSI Response. RFC 7143 11.4, 11.7. Residuals are reckoned here (11.4.5).
 */
import { type DataInLimits, splitDataIn } from '../iscsi/data-in-sequence.ts'
import { totalBytes } from '../iscsi/data-slices.ts'
import { dataIn } from '../iscsi/pdu/data-in.ts'
import { RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { scsiResponse } from '../iscsi/pdu/scsi-response.ts'
import { type Residual, residualOf } from '../iscsi/residual.ts'
import { type ScsiResult, Status } from '../scsi/result.ts'
import type { Sender } from './sender.ts'
import type { CommandTask } from './task.ts'

const noLunField = Buffer.alloc(8)
/** `sense`: laid out for this nexus; it goes with CHECK CONDITION only. */
export function sendAnswer(
  sender: Sender,
  limits: DataInLimits,
  task: CommandTask,
  answer: { readonly result: ScsiResult; readonly sense: Buffer | undefined },
): void {
  const { result, sense } = answer
  const { command, transfer } = task
  const expectedBytes = command.expectedDataTransferLength
  if (result.status !== Status.GOOD) {
    // What did not fit is told even so; otherwise how much of the data did not come, or go.
    const beyond = transfer.direction === 'out' && transfer.bytes > expectedBytes
    const movedBytes = beyond ? transfer.bytes : (task.writeData?.dataBytes ?? 0)
    sendStatus(sender, task, result.status, residualOf(expectedBytes, movedBytes), sense)
    return
  }
  const resultBytes = totalBytes(result.dataIn)
  const rest = residualOf(
    expectedBytes,
    transfer.direction === 'out' ? transfer.bytes : resultBytes,
  )
  const sentBytes = command.read ? Math.min(resultBytes, expectedBytes) : 0
  if (sentBytes > 0) {
    const { dataIn: data, release } = result
    sendData(sender, limits, task, { data, sentBytes, rest, release })
    return
  }
  sendStatus(sender, task, Status.GOOD, rest)
  result.release?.()
}

interface ReadData {
  readonly data: readonly Buffer[]
  readonly sentBytes: number
  readonly rest: Residual
  readonly release: (() => void) | undefined
}

function sendData(sender: Sender, limits: DataInLimits, task: CommandTask, read: ReadData): void {
  const { data, sentBytes, rest, release } = read
  for (const piece of splitDataIn(data, sentBytes, limits)) {
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
      dataSn: piece.dataSn,
      bufferOffset: piece.bufferOffset,
      residualCount: last ? rest.residualCount : 0,
    })
    sender.send(header, piece.data, last ? release : undefined)
  }
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

/**
 * The PDUs of a command's answer: Data-In and SCSI Response, with residuals reckoned. RFC 7143
 * 11.4, 11.7, 11.4.5. Headers only; what is sent when is decided elsewhere.
 */
import type { DataInPart } from '../iscsi/data-in-sequence.ts'
import { totalBytes } from '../iscsi/data-slices.ts'
import { dataIn } from '../iscsi/pdu/data-in.ts'
import { RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { scsiResponse } from '../iscsi/pdu/scsi-response.ts'
import { type Residual, residualOf } from '../iscsi/residual.ts'
import { type ScsiResult, Status } from '../scsi/result.ts'
import type { Outgoing } from './outgoing.ts'
import type { CommandTask } from './task.ts'

const noLunField = Buffer.alloc(8)

export interface Answer {
  readonly result: ScsiResult
  /** Laid out for this nexus; it goes with CHECK CONDITION only. */
  readonly sense: Buffer | undefined
}

/** How many bytes of the result go out as Data-In. */
export function sentBytesOf(task: CommandTask, result: ScsiResult): number {
  const { read, expectedDataTransferLength } = task.command
  if (result.status !== Status.GOOD || !read) return 0
  return Math.min(totalBytes(result.dataIn), expectedDataTransferLength)
}

export function residualFor(task: CommandTask, result: ScsiResult): Residual {
  const { command, transfer } = task
  const expectedBytes = command.expectedDataTransferLength
  if (result.status !== Status.GOOD) {
    // What did not fit is told even so; otherwise how much of the data did not come, or go.
    const beyond = transfer.direction === 'out' && transfer.bytes > expectedBytes
    return residualOf(expectedBytes, beyond ? transfer.bytes : (task.writeData?.dataBytes ?? 0))
  }
  const bytes = transfer.direction === 'out' ? transfer.bytes : totalBytes(result.dataIn)
  return residualOf(expectedBytes, bytes)
}

export interface DataInOptions {
  /** Set on the PDU that carries GOOD status (S bit): its number and the residual. */
  readonly status: { readonly statSn: number; readonly rest: Residual } | undefined
  /** A bit: under this tag the data are to be acknowledged. */
  readonly ackTag?: number | undefined
}

export function dataInHeader(
  sender: Outgoing,
  task: CommandTask,
  piece: DataInPart,
  { status, ackTag }: DataInOptions,
): Buffer {
  return dataIn.build({
    final: piece.final,
    acknowledge: ackTag !== undefined,
    overflow: status?.rest.overflow === true,
    underflow: status?.rest.underflow === true,
    hasStatus: status !== undefined,
    status: Status.GOOD,
    lun: ackTag === undefined ? noLunField : task.command.lun,
    initiatorTaskTag: task.command.initiatorTaskTag,
    targetTransferTag: ackTag ?? RESERVED_TAG,
    statSn: status?.statSn ?? 0,
    expCmdSn: sender.window.expCmdSn,
    maxCmdSn: sender.window.maxCmdSn,
    dataSn: piece.dataSn,
    bufferOffset: piece.bufferOffset,
    residualCount: status?.rest.residualCount ?? 0,
  })
}

export interface ResponseOptions {
  readonly status: number
  readonly statSn: number
  readonly rest: Residual
  /** R2Ts, or Data-In PDUs where they do not carry the status. RFC 7143 11.4.8. */
  readonly expDataSn: number
  readonly snackTag?: number
}

export function responseHeader(
  sender: Outgoing,
  task: CommandTask,
  options: ResponseOptions,
): Buffer {
  const { status, statSn, rest, expDataSn, snackTag = 0 } = options
  return scsiResponse.build({
    bidirectionalOverflow: false,
    bidirectionalUnderflow: false,
    overflow: rest.overflow,
    underflow: rest.underflow,
    response: 0,
    status,
    initiatorTaskTag: task.command.initiatorTaskTag,
    snackTag,
    statSn,
    expCmdSn: sender.window.expCmdSn,
    maxCmdSn: sender.window.maxCmdSn,
    expDataSn,
    bidirectionalReadResidualCount: 0,
    residualCount: rest.residualCount,
  })
}

/** RFC 7143 11.4.7: two bytes of SenseLength, then the sense data. */
export function senseSegment(sense: Buffer): readonly Buffer[] {
  const length = Buffer.allocUnsafe(2)
  length.writeUInt16BE(sense.length, 0)
  return [length, sense]
}

/**
 * What a target sends on a leg, PDU by PDU. Each number, tag and length is checked against what is
 * under way before it is believed; whatever does not fit ends the session. It owns ExpStatSN. What
 * follows from a PDU is done by the leg. RFC 7143 4.2.2.2, 11.4 to 11.9, 11.17, 11.19.
 */
import { serialAdd } from '../base/serial.ts'
import type { DataOutPart } from '../iscsi/data-out-source.ts'
import type { Frame } from '../iscsi/framer.ts'
import { AsyncEvent, asyncMessage } from '../iscsi/pdu/async-message.ts'
import { dataIn } from '../iscsi/pdu/data-in.ts'
import { nopIn } from '../iscsi/pdu/nop-in.ts'
import { Opcode, RESERVED_TAG } from '../iscsi/pdu/opcode.ts'
import { readyToTransfer } from '../iscsi/pdu/ready-to-transfer.ts'
import { reject } from '../iscsi/pdu/reject.ts'
import { scsiResponse } from '../iscsi/pdu/scsi-response.ts'
import {
  TaskManagementOutcome,
  taskManagementResponse,
} from '../iscsi/pdu/task-management-response.ts'
import type { LegAnswer } from './leg-command.ts'
import type { OpenCommand } from './open-command.ts'

export interface ReceiverEvents {
  /** The command under way with this tag. */
  find(initiatorTaskTag: number): OpenCommand | undefined
  window(expCmdSn: number, maxCmdSn: number): void
  answered(open: OpenCommand, answer: LegAnswer): void
  /** Data that an R2T asked for. */
  solicited(open: OpenCommand, parts: readonly DataOutPart<Buffer>[]): void
  /** The target wants a NOP-Out. */
  pinged(targetTransferTag: number, lun: Buffer): void
  pingAnswered(): void
  /** False: no such request is under way. */
  aborted(initiatorTaskTag: number, complete: boolean): boolean
  fail(cause: string): void
}

interface Numbers {
  readonly statSn: number
  readonly expCmdSn: number
  readonly maxCmdSn: number
}

const completedAtTarget = 0

export class LegReceiver {
  readonly #events: ReceiverEvents
  #expStatSn: number

  constructor(expStatSn: number, events: ReceiverEvents) {
    this.#expStatSn = expStatSn
    this.#events = events
  }

  get expStatSn(): number {
    return this.#expStatSn
  }

  receive(frame: Frame): void {
    const fault = this.#take(frame)
    if (fault !== undefined) this.#events.fail(fault)
  }

  /** Handles one PDU; a string says what is wrong with it. */
  #take(frame: Frame): string | undefined {
    switch (frame.opcode) {
      case Opcode.DATA_IN:
        return this.#dataIn(frame)
      case Opcode.SCSI_RESPONSE:
        return this.#scsiResponse(frame)
      case Opcode.READY_TO_TRANSFER:
        return this.#readyToTransfer(frame)
      case Opcode.NOP_IN:
        return this.#nopIn(frame)
      case Opcode.TASK_MANAGEMENT_RESPONSE:
        return this.#taskManagementResponse(frame)
      case Opcode.ASYNC_MESSAGE:
        return this.#asyncMessage(frame)
      case Opcode.REJECT:
        return `the target rejected a PDU, reason ${reject.decode(frame.header).reason}`
      default:
        return `PDU ${frame.opcode} that nobody asked for`
    }
  }

  #dataIn(frame: Frame): string | undefined {
    const pdu = dataIn.decode(frame.header)
    const open = this.#events.find(pdu.initiatorTaskTag)
    if (open === undefined) return 'Data-In of no command'
    const fault = open.dataIn.receive(pdu, frame.data, frame.dataBytes)
    if (fault !== undefined) return `Data-In: ${fault.why}`
    if (!pdu.hasStatus) {
      this.#events.window(pdu.expCmdSn, pdu.maxCmdSn)
      return undefined
    }
    const { status } = pdu
    return (
      this.#statusFault(pdu) ??
      this.#answer(open, { kind: 'status', status, dataIn: open.dataIn.data, sense: undefined })
    )
  }

  #scsiResponse(frame: Frame): string | undefined {
    const pdu = scsiResponse.decode(frame.header)
    const open = this.#events.find(pdu.initiatorTaskTag)
    if (open === undefined) return 'SCSI Response to no command'
    if (pdu.response !== completedAtTarget) return 'target failure'
    const { status } = pdu
    const { data } = open.dataIn
    return (
      this.#statusFault(pdu) ??
      this.#answer(open, { kind: 'status', status, dataIn: data, sense: senseOf(frame) })
    )
  }

  #answer(open: OpenCommand, answer: LegAnswer): undefined {
    this.#events.answered(open, answer)
  }

  #readyToTransfer(frame: Frame): string | undefined {
    const pdu = readyToTransfer.decode(frame.header)
    const open = this.#events.find(pdu.initiatorTaskTag)
    if (open === undefined) return 'R2T for no command'
    const parts = open.dataOut.solicit(pdu)
    if ('kind' in parts) return `R2T: ${parts.why}`
    this.#events.window(pdu.expCmdSn, pdu.maxCmdSn)
    this.#events.solicited(open, parts)
    return undefined
  }

  /** StatSN advances only with the answer to a NOP-Out of ours. RFC 7143 11.19. */
  #nopIn(frame: Frame): string | undefined {
    const pdu = nopIn.decode(frame.header)
    if (pdu.initiatorTaskTag === RESERVED_TAG) {
      this.#events.window(pdu.expCmdSn, pdu.maxCmdSn)
      const { targetTransferTag, lun } = pdu
      if (targetTransferTag !== RESERVED_TAG) {
        this.#events.pinged(targetTransferTag, Buffer.from(lun))
      }
      return undefined
    }
    const fault = this.#statusFault(pdu)
    if (fault === undefined) this.#events.pingAnswered()
    return fault
  }

  #taskManagementResponse(frame: Frame): string | undefined {
    const pdu = taskManagementResponse.decode(frame.header)
    const fault = this.#statusFault(pdu)
    if (fault !== undefined) return fault
    // One connection keeps the order, so a task that does not exist was answered before.
    const complete =
      pdu.response === TaskManagementOutcome.COMPLETE ||
      pdu.response === TaskManagementOutcome.TASK_DOES_NOT_EXIST
    const known = this.#events.aborted(pdu.initiatorTaskTag, complete)
    return known ? undefined : 'Task Management Response to no request'
  }

  /** The target wants the session to end, or says that it has: there is no other way to go on. */
  #asyncMessage(frame: Frame): string | undefined {
    const pdu = asyncMessage.decode(frame.header)
    const fault = this.#statusFault(pdu)
    const { asyncEvent } = pdu
    if (asyncEvent === AsyncEvent.SCSI || asyncEvent === AsyncEvent.VENDOR) return fault
    return fault ?? `asynchronous event ${asyncEvent}`
  }

  /** Takes a response in its turn; anything else means that one was lost on the way. */
  #statusFault({ statSn, expCmdSn, maxCmdSn }: Numbers): string | undefined {
    if (statSn !== this.#expStatSn) return `StatSN ${statSn} where ${this.#expStatSn} was due`
    this.#expStatSn = serialAdd(statSn, 1)
    this.#events.window(expCmdSn, maxCmdSn)
    return undefined
  }
}

/** SenseLength and sense data in the data segment. RFC 7143 11.4.7. */
function senseOf({ data, dataBytes }: Frame): Buffer | undefined {
  if (dataBytes < 2) return undefined
  const segment = data.length === 1 ? data[0]! : Buffer.concat(data)
  return segment.subarray(2, 2 + segment.readUInt16BE(0))
}

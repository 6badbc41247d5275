/**
 * The data of one write, target role: immediate, unsolicited, then solicited by R2T. RFC 7143
 * 4.2.5.2, 11.7, 11.8. Data come in order (DataPDUInOrder and DataSequenceInOrder are Yes), so one
 * counter says where we are. Nothing is copied, but crumbs. When an R2T goes out is the driver's choice, for it
 * knows how much memory there is.
 */

import { type DataFault, type DataRules, dataFault } from './data-rules.ts'
import { sliceData } from './data-slices.ts'
import { RESERVED_TAG } from './pdu/opcode.ts'

/** What R2T to send. */
export interface TransferRequest {
  readonly targetTransferTag: number
  readonly r2tSn: number
  readonly bufferOffset: number
  readonly desiredBytes: number
}

interface Outstanding {
  readonly targetTransferTag: number
  readonly endOffset: number
}

export interface DataOutStart {
  readonly rules: DataRules
  /** ExpectedDataTransferLength. */
  readonly expectedBytes: number
  /** What the command can use: at most expectedBytes; 0 when its data are only to be swallowed. */
  readonly wantedBytes: number
  /** F bit of the command. */
  readonly final: boolean
  /** Data segment of the command. */
  readonly immediate: readonly Buffer[]
  readonly immediateBytes: number
}

/** The fields of a Data-Out PDU that matter here. */
export interface DataOutFields {
  readonly final: boolean
  readonly targetTransferTag: number
  readonly dataSn: number
  readonly bufferOffset: number
}

/** A peer that sends crumbs must not make us keep one object for each: they are gathered. */
const crumbBytes = 2048
const crumbsBefore = 16
const gatherBytes = 16 * crumbBytes

function faultOfStart(start: DataOutStart): string | undefined {
  const { rules, expectedBytes, final, immediateBytes } = start
  if (!final && rules.initialR2T) return 'unsolicited data while InitialR2T is Yes'
  if (immediateBytes > 0 && !rules.immediateData) return 'immediate data while ImmediateData is No'
  if (immediateBytes > rules.firstBurstBytes) return 'immediate data beyond FirstBurstLength'
  return immediateBytes > expectedBytes ? 'immediate data beyond the expected length' : undefined
}

/** Checks the command's own part; its answer collects the rest. */
export function beginDataOut(start: DataOutStart): DataOutSequence | DataFault {
  const why = faultOfStart(start)
  return why === undefined ? new DataOutSequence(start) : dataFault(why)
}

export class DataOutSequence {
  readonly kind = 'sequence'
  readonly #rules: DataRules
  readonly #wantedBytes: number
  /** End of what may come unsolicited. */
  readonly #unsolicitedEnd: number
  #unsolicited: boolean
  readonly #data: Buffer[] = []
  #keptBytes = 0
  /** Where crumbs are gathered; the last of `#data` is a view on its first `#gatheredBytes`. */
  #gather: Buffer | undefined
  #gatheredBytes = 0
  #receivedBytes = 0
  #requestedBytes = 0
  #r2tSn = 0
  readonly #outstanding: Outstanding[] = []
  #dataSn = 0

  /** Use `beginDataOut`, which checks first. */
  constructor(start: DataOutStart) {
    this.#rules = start.rules
    this.#wantedBytes = start.wantedBytes
    this.#unsolicitedEnd = Math.min(start.rules.firstBurstBytes, start.expectedBytes)
    this.#unsolicited = !start.final
    this.#keep(start.immediate, start.immediateBytes)
    if (!this.#unsolicited) this.#requestedBytes = this.#receivedBytes
  }

  /** True when everything wanted is here and the initiator will send no more. */
  get complete(): boolean {
    return (
      !this.#unsolicited &&
      this.#outstanding.length === 0 &&
      this.#receivedBytes >= this.#wantedBytes
    )
  }

  /** All R2T sent so far: part of ExpDataSN in the response. */
  get r2tCount(): number {
    return this.#r2tSn
  }

  /** Bytes still to be asked for. */
  get unrequestedBytes(): number {
    return this.#unsolicited ? 0 : Math.max(0, this.#wantedBytes - this.#requestedBytes)
  }

  /** The initiator will send more, because it announced it or was asked to. */
  get owed(): boolean {
    return this.#unsolicited || this.#outstanding.length > 0
  }

  /** The wanted bytes that came; views on what was received. */
  get data(): readonly Buffer[] {
    return this.#data
  }

  get dataBytes(): number {
    return this.#keptBytes
  }

  /**
   * The next R2T to send, if there may be one now. `targetTransferTag` must be new in the session
   * and not the reserved one; `maxBytes` is what the driver can take.
   */
  nextRequest(targetTransferTag: number, maxBytes: number): TransferRequest | undefined {
    const missing = this.unrequestedBytes
    if (missing === 0 || maxBytes <= 0) return undefined
    if (this.#outstanding.length >= this.#rules.maxOutstandingR2T) return undefined
    const desiredBytes = Math.min(missing, this.#rules.maxBurstBytes, maxBytes)
    const bufferOffset = this.#requestedBytes
    this.#requestedBytes += desiredBytes
    this.#outstanding.push({ targetTransferTag, endOffset: this.#requestedBytes })
    return { targetTransferTag, r2tSn: this.#r2tSn++, bufferOffset, desiredBytes }
  }

  /** Takes one Data-Out PDU; a fault ends the task. */
  receive(pdu: DataOutFields, data: readonly Buffer[], dataBytes: number): DataFault | undefined {
    const fault = this.#faultOf(pdu, dataBytes)
    if (fault !== undefined) return dataFault(fault)
    this.#keep(data, dataBytes)
    this.#dataSn++
    if (!pdu.final) return undefined
    this.#dataSn = 0
    if (this.#unsolicited) {
      this.#unsolicited = false
      this.#requestedBytes = this.#receivedBytes
      return undefined
    }
    const answered = this.#outstanding.shift()
    // Less than asked for is an error where nothing is ever sent again. RFC 7143 11.7.1, 7.
    return answered?.endOffset === this.#receivedBytes
      ? undefined
      : dataFault('F bit before the end of what the R2T asked for')
  }

  /** For a PDU whose data nobody wants any more: it still ends what it ends. */
  skip(pdu: DataOutFields): void {
    if (!pdu.final) return
    if (pdu.targetTransferTag === RESERVED_TAG) this.#unsolicited = false
    else if (pdu.targetTransferTag === this.#outstanding[0]?.targetTransferTag) {
      this.#outstanding.shift()
    }
  }

  #faultOf(pdu: DataOutFields, dataBytes: number): string | undefined {
    const end = pdu.bufferOffset + dataBytes
    if (pdu.targetTransferTag === RESERVED_TAG) {
      if (!this.#unsolicited) return 'unsolicited data that were not announced'
      if (end > this.#unsolicitedEnd) return 'unsolicited data beyond FirstBurstLength'
    } else {
      const request = this.#outstanding[0]
      if (request === undefined) return 'data that no R2T asked for'
      if (pdu.targetTransferTag !== request.targetTransferTag) return 'not the tag of the R2T'
      if (end > request.endOffset) return 'more data than the R2T asked for'
    }
    if (pdu.dataSn !== this.#dataSn) return `DataSN ${pdu.dataSn} instead of ${this.#dataSn}`
    return pdu.bufferOffset === this.#receivedBytes ? undefined : 'data out of order'
  }

  /** Keeps what is wanted and forgets the rest at once. */
  #keep(data: readonly Buffer[], dataBytes: number): void {
    this.#receivedBytes += dataBytes
    const room = this.#wantedBytes - this.#keptBytes
    const kept = dataBytes <= room ? data : sliceData(data, 0, room)
    for (const buffer of kept) {
      if (buffer.length < crumbBytes && this.#data.length >= crumbsBefore) this.#keepCrumb(buffer)
      else {
        this.#gather = undefined
        this.#data.push(buffer)
      }
    }
    this.#keptBytes += Math.min(dataBytes, room)
  }

  #keepCrumb(crumb: Buffer): void {
    if (crumb.length === 0) return
    const end = this.#gatheredBytes + crumb.length
    if (this.#gather !== undefined && end <= gatherBytes) {
      crumb.copy(this.#gather, this.#gatheredBytes)
      this.#data[this.#data.length - 1] = this.#gather.subarray(0, end)
      this.#gatheredBytes = end
      return
    }
    this.#gather = Buffer.allocUnsafe(gatherBytes)
    this.#gatheredBytes = crumb.length
    crumb.copy(this.#gather)
    this.#data.push(this.#gather.subarray(0, crumb.length))
  }
}

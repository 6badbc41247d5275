/**
 * The data of one write, target role: immediate, unsolicited, then solicited by R2T. RFC 7143
 * 4.2.5.2, 11.7, 11.8. Data come in order (DataPDUInOrder and DataSequenceInOrder are Yes), so one
 * counter says where we are. Nothing is copied, but crumbs. When an R2T goes out is the driver's
 * choice, for it knows how much memory there is.
 *
 * Where a session recovers from lost PDUs (ErrorRecoveryLevel 1 and up), what follows a gap is
 * discarded until the burst has ended, and the rest is asked for anew with recovery R2Ts. RFC 7143
 * 7.8, 7.9.
 */

import { dataOut } from '../base/limits.ts'
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
  /** Lost data are asked for again. Default: they end the task. */
  readonly recovery?: boolean
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
  /** R2Ts that have not been answered whole, oldest first. */
  #outstanding: TransferRequest[] = []
  #dataSn = 0
  readonly #recovery: boolean
  /** There is a gap: what comes is discarded until nothing is outstanding. */
  #lost = false
  #recoveries = 0
  /** Buffers of `#data` that were looked at by `compact`. */
  #compacted = 0

  /** Use `beginDataOut`, which checks first. */
  constructor(start: DataOutStart) {
    this.#rules = start.rules
    this.#wantedBytes = start.wantedBytes
    this.#unsolicitedEnd = Math.min(start.rules.firstBurstBytes, start.expectedBytes)
    this.#unsolicited = !start.final
    this.#recovery = start.recovery === true
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

  /** One more R2T may go out now. */
  get mayRequest(): boolean {
    const { maxOutstandingR2T } = this.#rules
    return this.unrequestedBytes > 0 && !this.#lost && this.#outstanding.length < maxOutstandingR2T
  }

  /** Of the whole transfer, in order, wanted or not. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /**
   * The next R2T to send, if there may be one now. `targetTransferTag` must be new in the session
   * and not the reserved one; `maxBytes` is what the driver can take.
   */
  nextRequest(targetTransferTag: number, maxBytes: number): TransferRequest | undefined {
    if (!this.mayRequest || maxBytes <= 0) return undefined
    const missing = this.unrequestedBytes
    const desiredBytes = Math.min(missing, this.#rules.maxBurstBytes, maxBytes)
    const bufferOffset = this.#requestedBytes
    this.#requestedBytes += desiredBytes
    const request = { targetTransferTag, r2tSn: this.#r2tSn++, bufferOffset, desiredBytes }
    this.#outstanding.push(request)
    return request
  }

  /** Takes one Data-Out PDU; a fault ends the task. */
  receive(pdu: DataOutFields, data: readonly Buffer[], dataBytes: number): DataFault | undefined {
    const misplaced = this.#misplaced(pdu)
    // An R2T that was given up may be answered late.
    if (misplaced !== undefined) return this.#recovery ? undefined : dataFault(misplaced)
    const beyond = this.#beyond(pdu, dataBytes)
    if (beyond !== undefined) return dataFault(beyond)
    const disorder = this.#lost ? undefined : this.#disorder(pdu)
    if (disorder !== undefined && !this.#recovery) return dataFault(disorder)
    if (disorder !== undefined) this.#lost = true
    if (!this.#lost) {
      this.#keep(data, dataBytes)
      this.#dataSn++
    }
    return pdu.final ? this.#endBurst() : undefined
  }

  /** For a PDU whose data nobody wants any more: it still ends what it ends. */
  skip(pdu: DataOutFields): void {
    if (!pdu.final) return
    if (pdu.targetTransferTag === RESERVED_TAG) this.#unsolicited = false
    else if (pdu.targetTransferTag === this.#outstanding[0]?.targetTransferTag) {
      this.#outstanding.shift()
    }
  }

  /** A PDU whose data were damaged; only where lost data are recovered. */
  damaged(pdu: DataOutFields): DataFault | undefined {
    if (this.#misplaced(pdu) !== undefined) return undefined
    this.#lost = true
    return pdu.final ? this.#endBurst() : undefined
  }

  /** What was announced or asked for did not come in time: it is to be asked for anew. */
  timedOut(): DataFault | undefined {
    this.#unsolicited = false
    this.#outstanding = []
    return this.#again()
  }

  /** R2Ts from this number on that are still unanswered, to be sent again. RFC 7143 11.16. */
  unanswered(r2tSn: number, count: number): readonly TransferRequest[] {
    const end = count === 0 ? this.#r2tSn : r2tSn + count
    return this.#outstanding.filter((each) => each.r2tSn >= r2tSn && each.r2tSn < end)
  }

  /**
   * The transfer goes on over another connection: what was under way is asked for again, under
   * the number of the first R2T that the initiator has not acknowledged. RFC 7143 7.2.2.
   */
  reassign(expDataSn: number): void {
    const first = this.#outstanding[0]
    if (first !== undefined) {
      this.#r2tSn = Math.min(this.#r2tSn, Math.max(first.r2tSn, expDataSn))
      this.#truncate(first.bufferOffset)
    }
    this.#unsolicited = false
    this.#outstanding = []
    this.#lost = false
    this.#dataSn = 0
    this.#requestedBytes = this.#receivedBytes
  }

  /** Copies small pieces, so that what waits here holds little more memory than it has bytes. */
  compact(): void {
    const end = this.#data.length - (this.#gather === undefined ? 0 : 1)
    for (; this.#compacted < end; this.#compacted++) {
      const piece = this.#data[this.#compacted]!
      if (piece.length > dataOut.copiedBytes) continue
      if (piece.buffer.byteLength <= dataOut.copiedFrom * piece.length) continue
      this.#data[this.#compacted] = Buffer.from(piece)
    }
  }

  /** Why no burst is under way to which this PDU belongs. */
  #misplaced(pdu: DataOutFields): string | undefined {
    if (pdu.targetTransferTag === RESERVED_TAG) {
      return this.#unsolicited ? undefined : 'unsolicited data that were not announced'
    }
    if (this.#outstanding.length === 0) return 'data that no R2T asked for'
    const at = this.#outstanding.findIndex(
      ({ targetTransferTag }) => targetTransferTag === pdu.targetTransferTag,
    )
    if (at === 0) return undefined
    if (at < 0 || !this.#recovery) return 'not the tag of the R2T'
    // The end of the burst before was lost.
    this.#outstanding.splice(0, at)
    this.#lost = true
    return undefined
  }

  /** Data that nobody asked for: no loss explains them. */
  #beyond(pdu: DataOutFields, dataBytes: number): string | undefined {
    const end = pdu.bufferOffset + dataBytes
    if (pdu.targetTransferTag === RESERVED_TAG) {
      return end > this.#unsolicitedEnd ? 'unsolicited data beyond FirstBurstLength' : undefined
    }
    const { bufferOffset, desiredBytes } = this.#outstanding[0]!
    return end > bufferOffset + desiredBytes ? 'more data than the R2T asked for' : undefined
  }

  #disorder(pdu: DataOutFields): string | undefined {
    if (pdu.dataSn !== this.#dataSn) return `DataSN ${pdu.dataSn} instead of ${this.#dataSn}`
    return pdu.bufferOffset === this.#receivedBytes ? undefined : 'data out of order'
  }

  /** F bit. */
  #endBurst(): DataFault | undefined {
    this.#dataSn = 0
    if (this.#unsolicited) {
      this.#unsolicited = false
      if (this.#lost) return this.#again()
      this.#requestedBytes = this.#receivedBytes
      return undefined
    }
    const { bufferOffset, desiredBytes } = this.#outstanding.shift()!
    if (bufferOffset + desiredBytes !== this.#receivedBytes) {
      // Less than asked for is an error where nothing is ever sent again. RFC 7143 11.7.1, 7.
      if (!this.#recovery) return dataFault('F bit before the end of what the R2T asked for')
      this.#lost = true
    }
    return this.#lost && this.#outstanding.length === 0 ? this.#again() : undefined
  }

  /** What has not come is asked for once more, with new R2Ts. RFC 7143 7.8. */
  #again(): DataFault | undefined {
    this.#lost = false
    this.#dataSn = 0
    this.#requestedBytes = this.#receivedBytes
    this.#recoveries++
    return this.#recoveries > dataOut.recoveries ? dataFault('data lost too often') : undefined
  }

  #truncate(bytes: number): void {
    const kept = sliceData(this.#data, 0, Math.min(bytes, this.#keptBytes))
    this.#data.length = 0
    for (const buffer of kept) this.#data.push(buffer)
    this.#gather = undefined
    this.#compacted = 0
    this.#receivedBytes = bytes
    this.#keptBytes = Math.min(bytes, this.#keptBytes)
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

/**
 * The target's side of the data of one write: immediate data, the unsolicited run, and the runs
 * that R2Ts ask for (RFC 7143 4.2.5.2, 11.7, 11.8). It checks number, place and length of each
 * Data-Out and keeps the slices as they came, without copying. DataPDUInOrder and
 * DataSequenceInOrder are Yes. It sends nothing and knows no fence.
 */
import type { DataOut } from './pdu/data-out.ts'
import { RESERVED_TAG } from './pdu/opcode.ts'

export interface DataOutLimits {
  /** Expected Data Transfer Length of the command. */
  readonly expectedBytes: number
  /** How much is worth asking for: what the CDB wants, at most `expectedBytes`. */
  readonly wantedBytes: number
  readonly firstBurstBytes: number
  readonly maxBurstBytes: number
  readonly maxOutstandingR2t: number
  /** F bit of the command: false when unsolicited Data-Out PDUs follow. */
  readonly final: boolean
}

/** What is wrong with a Data-Out; its data are not kept. */
export type DataOutFault =
  | 'unasked'
  | 'wrong DataSN'
  | 'wrong offset'
  | 'too much data'
  | 'F too early'
  | 'F missing'

/** One R2T to send. */
export interface Solicitation {
  readonly r2tSn: number
  readonly bufferOffset: number
  readonly desiredDataTransferLength: number
}

interface Run {
  readonly targetTransferTag: number
  readonly endBytes: number
  nextDataSn: number
}

export class DataOutSequence {
  readonly #limits: DataOutLimits
  readonly #data: Buffer[] = []
  readonly #runs: Run[] = []
  #receivedBytes = 0
  #solicitedBytes: number
  #r2tSn = 0

  /** `immediate`: the data that came with the command, already within FirstBurstLength. */
  constructor(limits: DataOutLimits, immediate: readonly Buffer[]) {
    this.#limits = limits
    for (const slice of immediate) this.#keep(slice)
    this.#solicitedBytes = this.#receivedBytes
    if (limits.final) return
    const endBytes = Math.min(limits.firstBurstBytes, limits.expectedBytes)
    this.#runs.push({ targetTransferTag: RESERVED_TAG, endBytes, nextDataSn: 0 })
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** R2Ts sent so far. */
  get r2tCount(): number {
    return this.#r2tSn
  }

  /** All slices in order, cut to what is wanted. */
  get data(): readonly Buffer[] {
    let excess = this.#receivedBytes - this.#limits.wantedBytes
    while (excess > 0) {
      const last = this.#data.pop()!
      if (last.length > excess) this.#data.push(last.subarray(0, last.length - excess))
      excess -= last.length
    }
    return this.#data
  }

  /** The peer has still to send what it announced or was asked for. */
  get open(): boolean {
    return this.#runs.length > 0
  }

  /** Everything wanted is here, and nothing is on its way. */
  get complete(): boolean {
    return this.#runs.length === 0 && this.#receivedBytes >= this.#limits.wantedBytes
  }

  /** Takes the slices over, or says what is wrong. */
  take(pdu: DataOut, slices: readonly Buffer[], bytes: number): DataOutFault | undefined {
    const run = this.#runs[0]
    if (run === undefined || run.targetTransferTag !== pdu.targetTransferTag) return 'unasked'
    if (pdu.dataSn !== run.nextDataSn) return 'wrong DataSN'
    if (pdu.bufferOffset !== this.#receivedBytes) return 'wrong offset'
    const end = this.#receivedBytes + bytes
    if (end > run.endBytes) return 'too much data'
    const solicited = run.targetTransferTag !== RESERVED_TAG
    if (solicited && pdu.final && end < run.endBytes) return 'F too early'
    if (solicited && !pdu.final && end === run.endBytes) return 'F missing'
    run.nextDataSn++
    for (const slice of slices) this.#keep(slice)
    if (pdu.final) this.#endRun(run)
    return undefined
  }

  /** The next R2T that may be sent now, with the tag that its Data-Out PDUs must carry. */
  solicit(targetTransferTag: number): Solicitation | undefined {
    const { wantedBytes, maxBurstBytes, maxOutstandingR2t } = this.#limits
    if (this.#runs[0]?.targetTransferTag === RESERVED_TAG) return undefined
    const missing = wantedBytes - this.#solicitedBytes
    if (missing <= 0 || this.#runs.length >= maxOutstandingR2t) return undefined
    const length = Math.min(missing, maxBurstBytes)
    const bufferOffset = this.#solicitedBytes
    this.#solicitedBytes += length
    this.#runs.push({ targetTransferTag, endBytes: this.#solicitedBytes, nextDataSn: 0 })
    return { r2tSn: this.#r2tSn++, bufferOffset, desiredDataTransferLength: length }
  }

  #endRun(run: Run): void {
    this.#runs.shift()
    if (run.targetTransferTag === RESERVED_TAG) this.#solicitedBytes = this.#receivedBytes
  }

  #keep(slice: Buffer): void {
    this.#data.push(slice)
    this.#receivedBytes += slice.length
  }
}

/**
 * The data of one write, initiator role: what goes with the command, what follows unsolicited, and
 * the answers to R2Ts. RFC 7143 4.2.5.2, 11.7, 11.8. An R2T from a hostile target cannot make it
 * send anything twice or beyond the transfer. Views only.
 */
import { type DataFault, type DataRules, dataFault } from './data-rules.ts'
import { sliceData, totalBytes } from './data-slices.ts'
import { RESERVED_TAG } from './pdu/opcode.ts'

export interface DataOutPart<B extends Uint8Array = Uint8Array> {
  readonly targetTransferTag: number
  readonly dataSn: number
  readonly bufferOffset: number
  readonly data: readonly B[]
  readonly final: boolean
}

/** The fields of an R2T that matter here. */
export interface R2tFields {
  readonly targetTransferTag: number
  readonly r2tSn: number
  readonly bufferOffset: number
  readonly desiredDataTransferLength: number
}

export class DataOutSource<B extends Uint8Array = Uint8Array> {
  readonly #data: readonly B[]
  readonly #bytes: number
  readonly #rules: DataRules
  /** The target's MaxRecvDataSegmentLength. */
  readonly #maxSegmentBytes: number
  #sentBytes = 0
  #r2tSn = 0

  constructor(data: readonly B[], rules: DataRules, maxSegmentBytes: number) {
    this.#data = data
    this.#bytes = totalBytes(data)
    this.#rules = rules
    this.#maxSegmentBytes = maxSegmentBytes
  }

  /** All data bytes of the task: ExpectedDataTransferLength. */
  get bytes(): number {
    return this.#bytes
  }

  /** For the command itself, once and first: its data segment, and its F bit. */
  immediate(): { readonly data: readonly B[]; readonly final: boolean } {
    const { immediateData, initialR2T, firstBurstBytes } = this.#rules
    const burstBytes = Math.min(this.#bytes, firstBurstBytes)
    const length = immediateData ? Math.min(burstBytes, this.#maxSegmentBytes) : 0
    this.#sentBytes = length
    return {
      data: sliceData(this.#data, 0, length),
      final: initialR2T || length === burstBytes,
    }
  }

  /** What follows the command without being asked for; call it where `immediate` was not final. */
  unsolicited(): readonly DataOutPart<B>[] {
    const burstBytes = Math.min(this.#bytes, this.#rules.firstBurstBytes)
    return this.#send(RESERVED_TAG, burstBytes)
  }

  /** The answer to one R2T. */
  solicit(r2t: R2tFields): readonly DataOutPart<B>[] | DataFault {
    const end = r2t.bufferOffset + r2t.desiredDataTransferLength
    if (r2t.targetTransferTag === RESERVED_TAG) return dataFault('R2T with the reserved tag')
    if (r2t.r2tSn !== this.#r2tSn) return dataFault('R2TSN out of order')
    if (r2t.bufferOffset !== this.#sentBytes) return dataFault('R2T for data out of order')
    if (r2t.desiredDataTransferLength === 0) return dataFault('R2T for nothing')
    if (r2t.desiredDataTransferLength > this.#rules.maxBurstBytes) {
      return dataFault('R2T beyond MaxBurstLength')
    }
    if (end > this.#bytes) return dataFault('R2T beyond the expected length')
    this.#r2tSn++
    return this.#send(r2t.targetTransferTag, end)
  }

  #send(targetTransferTag: number, end: number): DataOutPart<B>[] {
    const parts: DataOutPart<B>[] = []
    while (this.#sentBytes < end) {
      const bufferOffset = this.#sentBytes
      const length = Math.min(end - bufferOffset, this.#maxSegmentBytes)
      this.#sentBytes += length
      parts.push({
        targetTransferTag,
        dataSn: parts.length,
        bufferOffset,
        data: sliceData(this.#data, bufferOffset, length),
        final: this.#sentBytes === end,
      })
    }
    return parts
  }
}

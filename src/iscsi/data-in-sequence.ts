/**
 * The data of one read, target role: a result cut into Data-In PDUs of at most the initiator's
 * MaxRecvDataSegmentLength, in sequences of at most MaxBurstLength. RFC 7143 11.7. Views only.
 */
import { sliceData } from './data-slices.ts'

export interface DataInPart {
  readonly dataSn: number
  readonly bufferOffset: number
  readonly data: readonly Buffer[]
  /** F bit: ends a sequence. */
  readonly final: boolean
  /** The last of all: may carry the status (S bit). */
  readonly last: boolean
}

export interface DataInLimits {
  readonly maxSegmentBytes: number
  readonly maxBurstBytes: number
}

/** Where a transfer goes on that is cut anew. */
export interface DataInStart {
  readonly dataSn: number
  readonly bufferOffset: number
}

const beginning: DataInStart = { dataSn: 0, bufferOffset: 0 }

/** `dataBytes` bytes of `data`, from `start` of its beginning; none where there are none. */
export function splitDataIn(
  data: readonly Buffer[],
  dataBytes: number,
  limits: DataInLimits,
  start: DataInStart = beginning,
): readonly DataInPart[] {
  const { maxSegmentBytes, maxBurstBytes } = limits
  const parts: DataInPart[] = []
  let burstEnd = start.bufferOffset + maxBurstBytes
  for (let offset = start.bufferOffset; offset < dataBytes; ) {
    if (offset === burstEnd) burstEnd += maxBurstBytes
    const end = Math.min(offset + maxSegmentBytes, burstEnd, dataBytes)
    const last = end === dataBytes
    parts.push({
      dataSn: start.dataSn + parts.length,
      bufferOffset: offset,
      data: sliceData(data, offset, end - offset),
      final: last || end === burstEnd,
      last,
    })
    offset = end
  }
  return parts
}

/**
 * The data of one read cut into Data-In PDUs: MaxRecvDataSegmentLength bounds a PDU, MaxBurstLength
 * a sequence, whose last PDU has the F bit (RFC 7143 11.7.1). Slices of the buffers given, no copy.
 */
export interface DataInPiece {
  readonly data: readonly Buffer[]
  readonly bufferOffset: number
  /** Ends a sequence. */
  readonly final: boolean
  /** Nothing follows: the status may ride on it. */
  readonly last: boolean
}

export interface DataInLimits {
  readonly maxDataSegmentBytes: number
  readonly maxBurstBytes: number
}

/** Calls `emit` for each piece of the first `totalBytes` of `buffers`, which hold at least that. */
export function splitDataIn(
  buffers: readonly Buffer[],
  totalBytes: number,
  limits: DataInLimits,
  emit: (piece: DataInPiece) => void,
): void {
  const { maxDataSegmentBytes, maxBurstBytes } = limits
  let index = 0
  let used = 0
  let burstBytes = 0
  for (let offset = 0; offset < totalBytes; ) {
    const left = Math.min(totalBytes - offset, maxBurstBytes - burstBytes)
    const bytes = Math.min(left, maxDataSegmentBytes)
    const data: Buffer[] = []
    for (let missing = bytes; missing > 0; ) {
      const buffer = buffers[index]!
      const count = Math.min(missing, buffer.length - used)
      if (count === buffer.length) data.push(buffer)
      else if (count > 0) data.push(buffer.subarray(used, used + count))
      used += count
      missing -= count
      if (used < buffer.length) continue
      index++
      used = 0
    }
    burstBytes += bytes
    const last = offset + bytes === totalBytes
    const final = last || burstBytes === maxBurstBytes
    emit({ data, bufferOffset: offset, final, last })
    if (final) burstBytes = 0
    offset += bytes
  }
}

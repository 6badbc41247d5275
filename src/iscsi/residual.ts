/**
 * How much of a command's transfer did not happen, as SCSI Response and Data-In report it. RFC 7143
 * 11.4.5. `availableBytes` is what the CDB asks for, or has to give, in one direction.
 */
export interface Residual {
  readonly overflow: boolean
  readonly underflow: boolean
  readonly residualCount: number
}

const none: Residual = { overflow: false, underflow: false, residualCount: 0 }
const largestCount = 0xffffffff

export function residualOf(expectedBytes: number, availableBytes: number): Residual {
  if (expectedBytes === availableBytes) return none
  const overflow = availableBytes > expectedBytes
  const residualCount = Math.min(Math.abs(availableBytes - expectedBytes), largestCount)
  return { overflow, underflow: !overflow, residualCount }
}

/**
 * The answer of a storage server to a request whose generation is not its own: CHECK CONDITION,
 * descriptor sense whatever D_SENSE says, ABORTED COMMAND, ASC 80h, ASCQ = reason, and one vendor
 * descriptor (SPC-4 4.5.2.1: types 80h to FFh are vendor specific) with the server's generation.
 */
import { checkCondition, type ScsiResult } from '../scsi/result.ts'
import type { Generation } from './generation.ts'

/** Why nothing was done, or in one case (`interrupted`) why it may have been. */
export const Reason = {
  SENDER_OLDER: 0x01,
  SENDER_NEWER: 0x02,
  /** A change is under way; also a server that has not been confirmed since its start. */
  CLOSED: 0x03,
  NOT_PRIMARY: 0x04,
  HEADER: 0x05,
  /** The medium may have been touched; all others: it was not. */
  INTERRUPTED: 0x06,
  NOT_ADMITTED: 0x07,
} as const
export type Reason = (typeof Reason)[keyof typeof Reason]

const abortedCommand = 0x0b
const refusalAsc = 0x80
const descriptorType = 0x80
const descriptorAdditionalLength = 0x0a
const descriptorBytes = 2 + descriptorAdditionalLength

export interface Refusal {
  readonly reason: Reason
  /** The server's own generation; 0 where there is none. */
  readonly generation: Generation
}

export function refusalResult(refusal: Refusal): ScsiResult {
  const descriptors = Buffer.alloc(descriptorBytes)
  descriptors[0] = descriptorType
  descriptors[1] = descriptorAdditionalLength
  descriptors[2] = refusal.reason
  descriptors.writeBigUInt64BE(BigInt(refusal.generation), 4)
  return checkCondition({ key: abortedCommand, asc: refusalAsc, ascq: refusal.reason, descriptors })
}

/** Reads a refusal out of sense data, or undefined where it says something else. */
export function decodeRefusal(sense: Buffer): Refusal | undefined {
  if (sense.length < 8 + descriptorBytes || sense[0] !== 0x72) return undefined
  if (sense[1] !== abortedCommand || sense[2] !== refusalAsc) return undefined
  if (sense[8] !== descriptorType || sense[9] !== descriptorAdditionalLength) return undefined
  const reason = sense[10]
  if (reason === undefined || reason < Reason.SENDER_OLDER || reason > Reason.NOT_ADMITTED) {
    return undefined
  }
  const generation = sense.readBigUInt64BE(12)
  if (generation > BigInt(Number.MAX_SAFE_INTEGER)) return undefined
  return { reason: reason as Reason, generation: Number(generation) }
}

/**
 * Copies blocks from one unit to another, or within one, in pieces: what lies in memory is bounded,
 * and an abort stops it at the next piece. SPC-4 6.4.7.5.
 */
import { copy as limits } from '../../base/limits.ts'
import type { Outcome } from '../call.ts'
import { good, isGood, type ScsiResult, type Sense, Status } from '../result.ts'
import {
  COPY_ABORTED,
  COPY_ABORTED_BY_INVALID_FIELD,
  THIRD_PARTY_DEVICE_FAILURE,
  UNEXPECTED_INEXACT_SEGMENT,
} from '../sense.ts'
import type { CopyDevice } from './copy-device.ts'
import type { CopySegment } from './copy-plan.ts'
import type { CopyRecord } from './copy-records.ts'

export interface SegmentCopy {
  readonly source: CopyDevice
  readonly destination: CopyDevice
  /** Bytes from the beginning of each unit. */
  readonly from: number
  readonly to: number
  readonly bytes: number
}

/** What the segment means for these units, or what is wrong with it. */
export function planSegment(
  segment: CopySegment,
  { source, destination }: Pick<SegmentCopy, 'source' | 'destination'>,
): SegmentCopy | Sense {
  const here = source.facts.blockBytes
  const there = destination.facts.blockBytes
  const bytes = segment.blocks * (segment.countsDestination ? there : here)
  if (bytes > limits.segmentBytes) return COPY_ABORTED_BY_INVALID_FIELD
  // What would be left over (CAT, PAD) is neither held for the next segment nor padded.
  if (bytes % here !== 0 || bytes % there !== 0) return UNEXPECTED_INEXACT_SEGMENT
  const inside =
    segment.sourceLba + bytes / here <= source.facts.blocks &&
    segment.destinationLba + bytes / there <= destination.facts.blocks
  if (!inside) return COPY_ABORTED
  const from = segment.sourceLba * here
  return { source, destination, from, to: segment.destinationLba * there, bytes }
}

/** GOOD, what one of the units answered, or TASK ABORTED. */
export async function copySegment(
  copy: SegmentCopy,
  call: { readonly aborted: boolean },
  record: Pick<CopyRecord, 'bytes'>,
): Promise<Outcome> {
  const { source, destination, from, to, bytes } = copy
  // A range that moves up within a unit is copied from its end, lest it overtakes itself.
  const fromEnd = source.lun === destination.lun && to > from && to < from + bytes
  for (let done = 0; done < bytes; done += limits.pieceBytes) {
    if (call.aborted) return { status: Status.TASK_ABORTED }
    const size = Math.min(limits.pieceBytes, bytes - done)
    const offset = fromEnd ? bytes - done - size : done
    const outcome = await copyPiece(copy, offset, size)
    if (!isGood(outcome)) return outcome
    record.bytes += size
  }
  return good()
}

async function copyPiece(copy: SegmentCopy, offset: number, bytes: number): Promise<Outcome> {
  const { source, destination } = copy
  const barred = source.barred('read') ?? destination.barred('write')
  if (barred !== undefined) return barred
  const here = source.facts.blockBytes
  const read = await source.read((copy.from + offset) / here, bytes / here)
  if (!isGood(read)) return read
  try {
    const lba = (copy.to + offset) / destination.facts.blockBytes
    return await destination.write(lba, read.dataIn)
  } finally {
    read.release?.()
  }
}

/**
 * The answer to a copy whose unit answered anything but GOOD. Busy units are reported as such while
 * nothing was copied, for then the command may simply be sent again.
 */
export function failureOf(outcome: ScsiResult, copiedBytes: number): Sense | ScsiResult {
  const { status } = outcome
  if (status === Status.TASK_ABORTED) return outcome
  const again = status === Status.BUSY || status === Status.TASK_SET_FULL
  return again && copiedBytes === 0 ? outcome : THIRD_PARTY_DEVICE_FAILURE
}

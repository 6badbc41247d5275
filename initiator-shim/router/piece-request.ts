/** What the router sends for one segment's share of a front command. */
import type { ScsiResult } from '../../src/scsi/result.ts'

export interface PieceRequest {
  readonly segmentId: string
  /** The CDB for a replica on which the segment begins at this block. */
  readonly cdb: (startBlock: number) => Buffer
  readonly dataOut: ((startBlock: number) => readonly Buffer[]) | undefined
  /** The most that may come; exactly that much unless `mayBeShort`. */
  readonly dataInBytes: number | undefined
  readonly mayBeShort?: true
  /**
   * Its effect depends on what is stored, so it goes out with an identity, and where it may have had
   * its effect with the same one again. Where no server knows what became of it the initiator gets
   * ABORTED COMMAND, never a guess (design, section 8).
   */
  readonly once?: true
}

export type PieceOutcome =
  | { readonly kind: 'good'; readonly dataIn: readonly Buffer[] }
  | { readonly kind: 'failed'; readonly result: ScsiResult }
  /** Its command ended otherwise; nothing of it is under way any more. */
  | { readonly kind: 'over' }

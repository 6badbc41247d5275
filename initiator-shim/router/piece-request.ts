/** What the router sends for one segment's share of a front command. */
import type { ScsiResult } from '../../src/scsi/result.ts'

export interface PieceRequest {
  readonly segmentId: string
  /** The CDB for a replica on which the segment begins at this block. */
  readonly cdb: (startBlock: number) => Buffer
  readonly dataOut: ((startBlock: number) => readonly Buffer[]) | undefined
  readonly dataInBytes: number | undefined
}

export type PieceOutcome =
  | { readonly kind: 'good'; readonly dataIn: readonly Buffer[] }
  | { readonly kind: 'failed'; readonly result: ScsiResult }
  /** Its command ended otherwise; nothing of it is under way any more. */
  | { readonly kind: 'over' }

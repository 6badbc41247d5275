/**
 * Outcomes of SCSI commands are values, never thrown. Status codes: SAM-5 5.3.1.
 */
export const Status = {
  GOOD: 0x00,
  CHECK_CONDITION: 0x02,
  BUSY: 0x08,
  RESERVATION_CONFLICT: 0x18,
  TASK_SET_FULL: 0x28,
  TASK_ABORTED: 0x40,
} as const
export type Status = (typeof Status)[keyof typeof Status]

/** Sense data before it is laid out in fixed or descriptor format. SPC-4 4.5. */
export interface Sense {
  readonly key: number
  readonly asc: number
  readonly ascq: number
  /** INFORMATION field: an LBA or the like. */
  readonly information?: number
  /** COMMAND-SPECIFIC INFORMATION: of a copy, the number of the segment it ended in. */
  readonly commandSpecific?: number
  /** The first wrong field, with ILLEGAL REQUEST. SPC-4 4.5.2.4.2. */
  readonly fieldPointer?: FieldPointer
  /** Of a long operation, with NO SENSE or NOT READY: 0 to 65535. SPC-4 4.5.2.4.4. */
  readonly progress?: number
  /** Further descriptors, already laid out; their presence forces descriptor format. */
  readonly descriptors?: Buffer
}

export interface FieldPointer {
  /** In the CDB rather than in the parameter list. */
  readonly inCdb: boolean
  readonly byte: number
  /** The highest bit of a field inside one byte. */
  readonly bit?: number
}

export type ScsiResult =
  | {
      readonly status: 0x00
      readonly dataIn: readonly Buffer[]
      /** To be called once when the data are needed no longer, or not at all. */
      readonly release?: (() => void) | undefined
    }
  | { readonly status: 0x02; readonly sense: Sense }
  | { readonly status: 0x08 | 0x18 | 0x28 | 0x40 }

const nothing: readonly Buffer[] = []

/** GOOD, with the data for the initiator, which the driver sends without copying. */
export function good(dataIn: readonly Buffer[] = nothing, release?: () => void): ScsiResult {
  return { status: Status.GOOD, dataIn, release }
}

export function checkCondition(sense: Sense): ScsiResult {
  return { status: Status.CHECK_CONDITION, sense }
}

/** Whether the next step of a command made of several may be taken. */
export function isGood(outcome: ScsiResult | 'drop'): outcome is ScsiResult & { status: 0x00 } {
  return outcome !== 'drop' && outcome.status === Status.GOOD
}

/** A SCSI command on a leg, and the ways in which it can end. Values; nobody's state. */

export interface LegCommand {
  readonly lun: number
  /** At most 16 bytes. */
  readonly cdb: Buffer
  /** An encoded generation header (src/volume/generation-header.ts) for the command and its data. */
  readonly header?: Buffer | undefined
  /** Borrowed until the answer. */
  readonly dataOut?: readonly Buffer[] | undefined
  /** How many bytes the command reads. */
  readonly dataInBytes?: number | undefined
  /**
   * Goes out at once, whatever waits for the window, and is begun as soon as it arrives; for one
   * command at a time that has no data to send. RFC 7143 4.2.2.1.
   */
  readonly immediate?: boolean | undefined
}

export type LegAnswer =
  | {
      readonly kind: 'status'
      /** SAM-5 5.3.1. */
      readonly status: number
      /** Sense data as they came, with status CHECK CONDITION. */
      readonly sense?: Buffer | undefined
      /** Slices of received chunks; less than was asked for where the target says so. */
      readonly dataIn: readonly Buffer[]
    }
  /** ABORT TASK was answered: the command can no longer touch the medium. */
  | { readonly kind: 'aborted' }
  /** The session ended first. `sent`: some of it may have reached the target, now or later. */
  | { readonly kind: 'lost'; readonly sent: boolean }

export interface LegTask {
  readonly answer: Promise<LegAnswer>
  /** Takes the command back if it was not sent, else asks the target to abort it. */
  abort(): void
}

/**
 * What is known of a sanitize operation wherever the unit is served: who carries it out, what it
 * writes, how far it certainly came, or that it failed. A part of what is shared of a unit
 * (unit-settings.ts), so that it holds at every front end and outlives the one that runs it. Pure.
 * SBC-3 4.11.
 */

/** What OVERWRITE writes. SBC-3 5.24.2. */
export interface Overwriting {
  readonly passes: number
  /** Every other pass writes the complement; the last one is as given. */
  readonly inverts: boolean
  readonly pattern: Buffer
}

export interface RunningSanitize {
  readonly kind: 'running'
  /** `UnitSettings.owner` of the one that carries it out. Nobody else writes anything of it. */
  readonly owner: string
  /** Undefined: an erase, in one pass. */
  readonly overwriting: Overwriting | undefined
  readonly allowUnrestrictedExit: boolean
  /** Passes that have ended. */
  readonly passesDone: number
  /** Of the pass under way: what is before this block is durably written. */
  readonly nextLba: number
}

/** Only a new SANITIZE gets a unit out of that, or EXIT FAILURE MODE where it was allowed. */
export interface FailedSanitize {
  readonly kind: 'failed'
  readonly mayExit: boolean
}

export type SanitizeRecord = RunningSanitize | FailedSanitize

export function passesOf({ overwriting }: RunningSanitize): number {
  return overwriting?.passes ?? 1
}

/** From 0 to 1. */
export function shareDone(record: RunningSanitize, nextLba: number, blocks: number): number {
  return Math.min(1, (record.passesDone + nextLba / blocks) / passesOf(record))
}

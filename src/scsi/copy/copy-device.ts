/**
 * A logical unit as a copy manager sees it: the source or the destination of a copy that one task
 * of one initiator makes. SPC-4 5.16.2. What keeps that initiator from reading or writing the unit
 * itself keeps its copies from it too.
 */
import type { Silence, UnitFacts } from '../logical-unit.ts'
import type { ScsiResult } from '../result.ts'

export interface CopyDevice {
  readonly lun: number
  readonly facts: UnitFacts
  /** What a READ or WRITE of this initiator would be refused with now; undefined: nothing. */
  barred(use: 'read' | 'write'): ScsiResult | undefined
  read(lba: number, blocks: number): Promise<ScsiResult | Silence>
  write(lba: number, data: readonly Buffer[]): Promise<ScsiResult | Silence>
}

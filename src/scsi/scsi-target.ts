/** What a transport driver (src/portal) asks of a SCSI target device. SAM-5 4.5. */
import type { Nexus, Silence, Task } from './logical-unit.ts'
import type { ScsiResult } from './result.ts'

export interface ScsiTarget<T extends Task = Task> {
  /**
   * Asked when a command arrives, before any of its data is asked for. Undefined: go on, collect
   * the data (if any) and call `execute`. Otherwise answer that at once, and ask for no data.
   */
  arrive(task: T): ScsiResult | Silence | undefined
  /** Runs the command. `dataOut` holds all of its data, borrowed until the promise settles. */
  execute(task: T, dataOut: readonly Buffer[]): Promise<ScsiResult | Silence>
  /** Sense in the format that this nexus asked for; descriptor format for descriptor-only sense. */
  encodeSense(task: T, result: ScsiResult): Buffer | undefined
  /** I_T nexus events: a new session, and its loss. SAM-5 6.3.4. */
  nexusGained(nexus: Nexus): void
  nexusLost(nexus: Nexus): void
  /** Direction and length that the CDB itself asks for, so that residuals are right. */
  transfer(cdb: Buffer): { readonly direction: 'none' | 'in' | 'out' }
}

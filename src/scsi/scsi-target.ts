/** What a transport driver (src/portal) asks of a SCSI target device. SAM-5 4.6. */
import type { Nexus, Silence, Task } from './logical-unit.ts'
import type { ScsiResult } from './result.ts'

export interface ScsiTarget<T extends Task = Task> {
  /**
   * Asked when a command arrives, before any of its data is asked for. Undefined: go on, collect
   * the data (if any) and call `execute`. Otherwise answer that at once, and ask for no data.
   */
  arrive(task: T): ScsiResult | Silence | undefined
  /**
   * Runs the command. `dataOut` holds its data, borrowed until the promise settles: as much as
   * `transfer` names, or what the initiator announced where that is less. A result may carry more
   * data for the initiator than it announced room for; the driver sends what fits.
   */
  execute(task: T, dataOut: readonly Buffer[]): Promise<ScsiResult | Silence>
  /** Sense in the format that this nexus asked for; descriptor format for descriptor-only sense. */
  encodeSense(task: T, result: ScsiResult): Buffer | undefined
  /**
   * I_T nexus events: a new session, and its loss. SAM-5 6.3.4. The object is the session's name:
   * tasks carry the very one that was gained.
   */
  nexusGained(nexus: Nexus): void
  nexusLost(nexus: Nexus): void
  /**
   * After the tasks of a unit or of the whole target were ended by a reset that `nexus` asked for:
   * what initiators had set is reverted, and each is told (the one that asked as well). SAM-5 6.3.
   */
  reset(nexus: Nexus, scope: ResetScope): void
  /** Tasks of these nexuses were ended by CLEAR TASK SET of another one. SAM-5 7.3. */
  tasksCleared(nexuses: readonly Nexus[], lun: number): void
  hasUnit(lun: number): boolean
  /** What the CDB itself asks of this LUN, whose blocks may be larger, so that residuals are right. */
  transfer(cdb: Buffer, lun: number): Transfer
}

export type ResetScope =
  | { readonly kind: 'unit'; readonly lun: number }
  | { readonly kind: 'target' }

export type Direction = 'none' | 'in' | 'out'

export interface Transfer {
  readonly direction: Direction
  /**
   * `out`: exactly what the CDB asks for; the residual is reckoned from it. `in`: the most that it
   * allows; the residual is reckoned from the data of the result.
   */
  readonly bytes: number
}

/**
 * A SCSI target device: routes commands to logical units by the command table, keeps the unit
 * attentions of each I_T nexus. SAM-5 4.6 and 5. It holds no blocks, knows no transport and no
 * generation; the unit decides about those in `arrive` and when it is asked for blocks.
 */
import { BoundCall, type Surroundings } from './bound-call.ts'
import type { Call, Outcome } from './call.ts'
import type { Command } from './command.ts'
import { findCommand } from './command-table.ts'
import type { LogicalUnit, Nexus, Silence, Task } from './logical-unit.ts'
import { checkCondition, type ScsiResult, type Sense, Status } from './result.ts'
import type { ScsiTarget, Transfer } from './scsi-target.ts'
import { INVALID_COMMAND_OPERATION_CODE, LOGICAL_UNIT_NOT_SUPPORTED } from './sense.ts'
import { encodeSense } from './sense-format.ts'
import { UnitAttentions } from './unit-attention.ts'

export interface LunDirectory<T extends Task> {
  /** In ascending order. */
  luns(): readonly number[]
  unit(lun: number): LogicalUnit<T> | undefined
}

const invalidOperationCode = checkCondition(INVALID_COMMAND_OPERATION_CODE)
const unitNotSupported = checkCondition(LOGICAL_UNIT_NOT_SUPPORTED)
const nothing: readonly Buffer[] = []

export class DeviceServer<T extends Task> implements ScsiTarget<T> {
  readonly #directory: LunDirectory<T>
  readonly #attentions = new UnitAttentions()

  readonly #surroundings: Surroundings

  constructor(directory: LunDirectory<T>) {
    this.#directory = directory
    this.#surroundings = { directory, attentions: this.#attentions }
  }

  hasUnit(lun: number): boolean {
    return this.#directory.unit(lun) !== undefined
  }

  /**
   * The unit is asked before the CDB is looked into: a sender with another idea of the volume is to
   * hear that, and not that its LBA is beyond the end of the volume as it is known here.
   */
  arrive(task: T): ScsiResult | Silence | undefined {
    const unit = this.#directory.unit(task.lun)
    const command = this.#command(task, unit)
    if (!unit) {
      if (!command?.anyLun) return unitNotSupported
      return command.check(this.#call(task, unit, nothing))
    }
    const refused = command && unit.arrive?.(task)
    if (refused) return refused
    // SAM-5 5.14: only INQUIRY, REPORT LUNS and REQUEST SENSE are processed with one pending.
    const attention = command?.anyLun ? undefined : this.#attentions.take(task.nexus, task.lun)
    if (attention) return checkCondition(attention)
    return command ? command.check(this.#call(task, unit, nothing)) : invalidOperationCode
  }

  /** Runs what `arrive` let pass. */
  async execute(task: T, dataOut: readonly Buffer[]): Promise<Outcome> {
    const unit = this.#directory.unit(task.lun)
    const command = this.#command(task, unit)
    if (!unit && !command?.anyLun) return unitNotSupported
    if (!command) return invalidOperationCode
    return command.run(this.#call(task, unit, dataOut))
  }

  transfer(cdb: Buffer): Transfer {
    return findCommand(cdb)?.transfer(cdb) ?? { direction: 'none', bytes: 0 }
  }

  encodeSense(_task: T, result: ScsiResult): Buffer | undefined {
    return result.status === Status.CHECK_CONDITION ? encodeSense(result.sense) : undefined
  }

  nexusGained(nexus: Nexus): void {
    this.#attentions.gained(nexus)
  }

  nexusLost(nexus: Nexus): void {
    this.#attentions.lost(nexus)
  }

  /** Establishes a unit attention for every nexus but one, on one unit or on all. */
  raise(attention: Sense, options: { readonly lun?: number; readonly except?: Nexus } = {}): void {
    const luns = options.lun === undefined ? this.#directory.luns() : [options.lun]
    this.#attentions.raise(attention, luns, options.except)
  }

  #command(task: T, unit: LogicalUnit<T> | undefined): Command | undefined {
    const command = findCommand(task.cdb)
    return command?.thinOnly && !unit?.facts.thin ? undefined : command
  }

  #call(task: T, unit: LogicalUnit<T> | undefined, dataOut: readonly Buffer[]): Call {
    return new BoundCall(task, unit, dataOut, this.#surroundings)
  }
}

/**
 * A SCSI target device: routes commands to logical units by the command table, keeps the unit
 * attentions of each I_T nexus and the conditions of each unit. SAM-5 4.6, 5 and 6.3. It holds no
 * blocks, knows no transport and no generation; the unit decides about those in `arrive` and when
 * it is asked for blocks.
 */
import { smallestBlockBytes } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'
import { BoundCall, type Surroundings } from './bound-call.ts'
import type { Call, Outcome } from './call.ts'
import { type Command, invalidCdbField } from './command.ts'
import { findCommand, isOtherServiceAction } from './command-table.ts'
import type { LogicalUnit, Nexus, Silence, Task, UnitDescription } from './logical-unit.ts'
import { ownSanitize } from './own-sanitize.ts'
import { conflicts } from './reservation-access.ts'
import { ReservationWatch } from './reservation-watch.ts'
import { checkCondition, type ScsiResult, type Sense, Status } from './result.ts'
import { takeOver } from './sanitize-run.ts'
import type { ResetScope, ScsiTarget, Transfer } from './scsi-target.ts'
import {
  BUS_DEVICE_RESET_FUNCTION_OCCURRED,
  COMMANDS_CLEARED_BY_ANOTHER_INITIATOR,
  INVALID_COMMAND_OPERATION_CODE,
  LOGICAL_UNIT_NOT_SUPPORTED,
  SCSI_BUS_RESET_OCCURRED,
  THIN_PROVISIONING_SOFT_THRESHOLD_REACHED,
} from './sense.ts'
import { encodeSense } from './sense-format.ts'
import { reachedThreshold } from './soft-threshold.ts'
import { UnitAttentions } from './unit-attention.ts'
import { UnitConditions } from './unit-conditions.ts'
import { barred, endedBySanitize } from './unit-readiness.ts'
import { revertAfterNexusLoss, revertAfterReset } from './unit-reset.ts'

export interface LunDirectory<T extends Task> {
  /** In ascending order. */
  luns(): readonly number[]
  unit(lun: number): LogicalUnit<T> | undefined
}

const invalidOperationCode = checkCondition(INVALID_COMMAND_OPERATION_CODE)
const unitNotSupported = checkCondition(LOGICAL_UNIT_NOT_SUPPORTED)
const otherServiceAction = invalidCdbField(1, 4)
const conflict: ScsiResult = { status: Status.RESERVATION_CONFLICT }
/** Nobody gets it. */
const ended: ScsiResult = { status: Status.TASK_ABORTED }
const nothing: readonly Buffer[] = []

export class DeviceServer<T extends Task> implements ScsiTarget<T> {
  readonly #directory: LunDirectory<T>
  readonly #attentions = new UnitAttentions()
  readonly #conditions = new WeakMap<UnitDescription, UnitConditions>()
  readonly #reservations = new ReservationWatch(this.#attentions)
  readonly #surroundings: Surroundings<T>

  constructor(directory: LunDirectory<T>, clock?: Clock) {
    this.#directory = directory
    this.#surroundings = {
      directory,
      attentions: this.#attentions,
      clock,
      conditions: (unit) => this.#conditionsOf(unit),
    }
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
    this.#reservations.look(unit, task.lun)
    // SAM-5 5.3.3: it takes precedence over every other status.
    if (command && this.reservationConflict(task, unit, command)) return conflict
    if (unit.space !== undefined) this.#watchSpace(task.lun, unit)
    // SAM-5 5.14: only INQUIRY, REPORT LUNS and REQUEST SENSE are processed with one pending.
    const attention = command?.anyLun ? undefined : this.#attentions.take(task.nexus, task.lun)
    if (attention) return checkCondition(attention)
    if (!command)
      return isOtherServiceAction(task.cdb, unit) ? otherServiceAction : invalidOperationCode
    return this.#barred(unit, command) ?? command.check(this.#call(task, unit, nothing))
  }

  /** Runs what `arrive` let pass, if it still may. */
  async execute(task: T, dataOut: readonly Buffer[]): Promise<Outcome> {
    const unit = this.#directory.unit(task.lun)
    const command = this.#command(task, unit)
    if (!unit && !command?.anyLun) return unitNotSupported
    if (!command) return invalidOperationCode
    // The reservations may have changed while its data came.
    if (this.reservationConflict(task, unit, command)) return conflict
    const refused = unit && this.#barred(unit, command)
    if (refused) return refused
    const call = this.#call(task, unit, dataOut)
    const conditions = unit && this.#conditionsOf(unit)
    if (!conditions) return command.run(call)
    conditions.commandBegins()
    try {
      return await command.run(call)
    } finally {
      conditions.commandEnds()
    }
  }

  transfer(cdb: Buffer, lun: number): Transfer {
    const bytesOfBlock = this.#directory.unit(lun)?.facts.blockBytes ?? smallestBlockBytes
    return findCommand(cdb)?.transfer(cdb, bytesOfBlock) ?? { direction: 'none', bytes: 0 }
  }

  encodeSense(task: T, result: ScsiResult): Buffer | undefined {
    if (result.status !== Status.CHECK_CONDITION) return undefined
    const settings = this.#directory.unit(task.lun)?.settings
    return encodeSense(result.sense, settings?.state.descriptorSense)
  }

  /** Whether a reservation that another holds now keeps this task from being carried out. */
  reservationConflict(
    task: T,
    unit = this.#directory.unit(task.lun),
    command = this.#command(task, unit),
  ): boolean {
    const table = unit?.settings?.state.reservations
    if (table === undefined || command === undefined) return false
    if (table.persistent === undefined && table.reserved === undefined) return false
    return conflicts(table, task.nexus.initiatorPort, command.reservation(task.cdb))
  }

  /** Why a task that was let in, and has more to ask of its unit, must not go on. */
  keptFrom(task: T): ScsiResult | undefined {
    const unit = this.#directory.unit(task.lun)
    const { settings } = unit ?? {}
    if (unit === undefined || settings === undefined) return undefined
    if (task.isDetached) {
      const goesOn = ownSanitize(settings) !== undefined && !this.#conditionsOf(unit)?.stopping
      return goesOn ? undefined : ended
    }
    if (this.reservationConflict(task, unit)) return conflict
    if (settings.state.sanitize === undefined) return undefined
    return this.#command(task, unit)?.inAnyState ? undefined : endedBySanitize(unit)
  }

  /**
   * Carries on the sanitize operation that the unit's settings tell of, from `owner`: that one has
   * gone, or is cut off from those who know of the operation. `task` is for what is written.
   */
  async resumeSanitize(task: T, owner: string): Promise<void> {
    const unit = this.#directory.unit(task.lun)
    const conditions = unit && this.#conditionsOf(unit)
    if (conditions === undefined || conditions.stopping) return
    const { sanitizing } = conditions
    const resumed = (async () => {
      await sanitizing
      await takeOver(this.#call(task, unit, nothing), owner)
    })()
    conditions.sanitizing = resumed
    await resumed
  }

  /** Whether the task is to change something other than blocks. */
  sets(task: T): boolean {
    return this.#command(task, this.#directory.unit(task.lun))?.sets ?? false
  }

  /** Whether the task reads or writes the medium; its size and state can be asked for in any case. */
  usesMedium(task: T): boolean {
    const command = this.#command(task, this.#directory.unit(task.lun))
    if (command === undefined || command.medium === 'none') return false
    const held = command.reservation(task.cdb)
    return held === 'read' || held === 'write'
  }

  /** Whether the task does what a reservation against writing keeps others from. */
  writes(task: T): boolean {
    const command = this.#command(task, this.#directory.unit(task.lun))
    return command?.reservation(task.cdb) === 'write'
  }

  nexusGained(nexus: Nexus): void {
    // What was changed before it came is not told to it.
    for (const lun of this.#directory.luns())
      this.#reservations.look(this.#directory.unit(lun), lun)
    this.#attentions.gained(nexus)
  }

  nexusLost(nexus: Nexus): void {
    const ports = this.#attentions.initiatorPorts
    const isLast = ports.filter((port) => port === nexus.initiatorPort).length <= 1
    const lostOn = this.#directory.luns().filter((lun) => {
      const unit = this.#directory.unit(lun)
      const conditions = unit && this.#conditionsOf(unit)
      return conditions !== undefined && revertAfterNexusLoss(unit!, conditions, nexus, isLast)
    })
    this.#attentions.lost(nexus, lostOn)
  }

  reset(_nexus: Nexus, scope: ResetScope): void {
    const ofUnit = scope.kind === 'unit'
    const luns = ofUnit ? [scope.lun] : this.#directory.luns()
    for (const lun of luns) {
      const unit = this.#directory.unit(lun)
      const conditions = unit && this.#conditionsOf(unit)
      if (conditions !== undefined) revertAfterReset(unit!, conditions)
    }
    const attention = ofUnit ? BUS_DEVICE_RESET_FUNCTION_OCCURRED : SCSI_BUS_RESET_OCCURRED
    this.#attentions.raise(attention, luns, () => true)
  }

  tasksCleared(nexuses: readonly Nexus[], lun: number): void {
    const attention = COMMANDS_CLEARED_BY_ANOTHER_INITIATOR
    this.#attentions.raise(attention, [lun], (nexus) => nexuses.includes(nexus))
  }

  /**
   * The program ends, or the units are gone: operations that outlive their command stop, and are no
   * more when it resolves.
   */
  async stop(units: readonly UnitDescription[] = this.#units()): Promise<void> {
    for (const unit of units) {
      const conditions = this.#conditionsOf(unit)
      if (conditions === undefined) continue
      conditions.stopping = true
      await conditions.sanitizing
    }
  }

  /** Establishes a unit attention for all nexuses but one, or for some, on one unit or on all. */
  raise(
    attention: Sense,
    options: {
      readonly lun?: number
      readonly except?: Nexus
      readonly to?: (nexus: Nexus) => boolean
    } = {},
  ): void {
    const { lun, except, to } = options
    const luns = lun === undefined ? this.#directory.luns() : [lun]
    this.#attentions.raise(attention, luns, (nexus) => nexus !== except && (to?.(nexus) ?? true))
  }

  #units(): LogicalUnit<T>[] {
    const units = this.#directory.luns().map((lun) => this.#directory.unit(lun))
    return units.filter((unit) => unit !== undefined)
  }

  #command(task: T, unit: LogicalUnit<T> | undefined): Command | undefined {
    const command = findCommand(task.cdb)
    return unit && !command?.isOf(unit) ? undefined : command
  }

  #watchSpace(lun: number, unit: LogicalUnit<T>): void {
    const conditions = this.#conditionsOf(unit)
    if (conditions === undefined || !reachedThreshold(unit, conditions)) return
    this.#attentions.raise(THIN_PROVISIONING_SOFT_THRESHOLD_REACHED, [lun], () => true)
  }

  #barred(unit: LogicalUnit<T>, command: Command): ScsiResult | undefined {
    return command.inAnyState ? undefined : barred(unit, command.medium, this.#conditionsOf(unit))
  }

  #conditionsOf(unit: UnitDescription): UnitConditions | undefined {
    if (unit.settings === undefined) return undefined
    const known = this.#conditions.get(unit)
    if (known !== undefined) return known
    const made = new UnitConditions()
    this.#conditions.set(unit, made)
    return made
  }

  #call(task: T, unit: LogicalUnit<T> | undefined, dataOut: readonly Buffer[]): Call {
    return new BoundCall(task, unit, dataOut, this.#surroundings)
  }
}

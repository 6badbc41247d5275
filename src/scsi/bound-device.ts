/**
 * A unit of the target bound to a task that came for another one: what copies read and write.
 * Whatever keeps the task's initiator from reading or writing the unit is asked before each access.
 */
import type { CopyDevice } from './copy/copy-device.ts'
import type { LogicalUnit, Silence, Task, UnitDescription, UnitFacts } from './logical-unit.ts'
import { conflicts } from './reservation-access.ts'
import { type ScsiResult, Status } from './result.ts'
import type { UnitConditions } from './unit-conditions.ts'
import { barred } from './unit-readiness.ts'

const conflict: ScsiResult = { status: Status.RESERVATION_CONFLICT }

export class BoundDevice<T extends Task> implements CopyDevice {
  readonly lun: number
  readonly #task: T
  readonly #unit: LogicalUnit<T>
  readonly #conditions: UnitConditions | undefined

  constructor(
    bound: { readonly task: T; readonly unit: LogicalUnit<T>; readonly lun: number },
    around: { conditions(unit: UnitDescription): UnitConditions | undefined },
  ) {
    this.lun = bound.lun
    this.#task = bound.task
    this.#unit = bound.unit
    this.#conditions = around.conditions(bound.unit)
  }

  get facts(): UnitFacts {
    return this.#unit.facts
  }

  barred(use: 'read' | 'write'): ScsiResult | undefined {
    const table = this.#unit.settings?.state.reservations
    const port = this.#task.nexus.initiatorPort
    if (table !== undefined && conflicts(table, port, use)) return conflict
    return barred(this.#unit, use, this.#conditions)
  }

  read(lba: number, blocks: number): Promise<ScsiResult | Silence> {
    return this.#unit.read(this.#task, lba, blocks)
  }

  write(lba: number, data: readonly Buffer[]): Promise<ScsiResult | Silence> {
    return this.#unit.write(this.#task, lba, data, { forceUnitAccess: false })
  }
}

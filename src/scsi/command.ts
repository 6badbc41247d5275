/**
 * The shape of a row of the command table: a CDB layout and what is done with it. `command` binds
 * the two, so that a handler gets its fields decoded and typed and the table need not know them.
 */
import type { Fields, Value } from '../wire/layout.ts'
import type { Call, CommandFacts, Outcome } from './call.ts'
import { type CdbLayout, reservedBitInUse } from './cdb-layout.ts'
import type { UnitDescription } from './logical-unit.ts'
import type { ReservationClass } from './reservation-access.ts'
import { checkCondition, type FieldPointer, type ScsiResult } from './result.ts'
import type { Transfer } from './scsi-target.ts'
import { INVALID_FIELD_IN_CDB, INVALID_FIELD_IN_PARAMETER_LIST } from './sense.ts'

/** What a command does with the medium: such a one needs it to be there, ready, or writable. */
export type MediumUse = 'none' | 'read' | 'write'

export interface Command extends CommandFacts {
  readonly cdb: CdbLayout
  /** Answered for a LUN that is not there too, and with a unit attention pending. SAM-5 5.14. */
  readonly anyLun: boolean
  readonly medium: MediumUse
  /** Which reservations of others hold it up. SPC-4 5.12.1, SBC-3 4.17. */
  reservation(cdb: Buffer): ReservationClass
  /** Answered whatever state the unit is in, also while it is being sanitized. SBC-3 4.11.2. */
  readonly inAnyState: boolean
  /** It changes what holds for the unit, or what is kept for its initiator, and asks for no block. */
  readonly sets: boolean
  /** Whether this unit has the command. */
  isOf(unit: UnitDescription): boolean
  transfer(cdb: Buffer, blockBytes: number): Transfer
  /** Every check that needs no data; undefined: it may run. */
  check(call: Call): ScsiResult | undefined
  /** Checks the fields anew, for capacity may have changed since, and runs the command. */
  run(call: Call): Promise<Outcome> | Outcome
}

interface CommandSpec<F extends Fields> {
  readonly anyLun?: boolean
  readonly medium: MediumUse
  readonly reservation: ReservationClass | ((fields: Value<CdbLayout<F>>) => ReservationClass)
  readonly inAnyState?: boolean
  readonly sets?: boolean
  /** Units that have the command; absent: all of them. */
  when?(unit: UnitDescription): boolean
  /** Absent: no data in either direction. */
  transfer?(fields: Value<CdbLayout<F>>, blockBytes: number): Transfer
  check?(call: Call, fields: Value<CdbLayout<F>>): ScsiResult | undefined
  run(call: Call, fields: Value<CdbLayout<F>>): Promise<Outcome> | Outcome
}

const noTransfer: Transfer = { direction: 'none', bytes: 0 }

export function command<F extends Fields>(cdb: CdbLayout<F>, spec: CommandSpec<F>): Command {
  const { name, operationCode, serviceAction, usageData } = cdb
  const fieldsOf = (block: Buffer) => cdb.decode(block) as Value<CdbLayout<F>>
  const { reservation } = spec
  return {
    name,
    operationCode,
    serviceAction,
    usageData,
    cdb,
    anyLun: spec.anyLun ?? false,
    medium: spec.medium,
    reservation: (block) =>
      typeof reservation === 'function' ? reservation(fieldsOf(block)) : reservation,
    inAnyState: spec.inAnyState ?? false,
    sets: spec.sets ?? false,
    isOf: (unit) => spec.when?.(unit) ?? true,
    transfer: (block, blockBytes) => spec.transfer?.(fieldsOf(block), blockBytes) ?? noTransfer,
    check(call) {
      const wrong = reservedBitInUse(cdb, call.cdb)
      if (wrong !== undefined) return invalidCdbField(wrong.byte, wrong.bit)
      return spec.check?.(call, fieldsOf(call.cdb))
    },
    run(call) {
      const fields = fieldsOf(call.cdb)
      return spec.check?.(call, fields) ?? spec.run(call, fields)
    },
  }
}

export const invalidFieldInCdb = checkCondition(INVALID_FIELD_IN_CDB)

/** With a pointer to the field. */
export function invalidCdbField(byte: number, bit?: number): ScsiResult {
  return checkCondition({ ...INVALID_FIELD_IN_CDB, fieldPointer: pointer(true, byte, bit) })
}

export function invalidParameterField(byte: number, bit?: number): ScsiResult {
  const fieldPointer = pointer(false, byte, bit)
  return checkCondition({ ...INVALID_FIELD_IN_PARAMETER_LIST, fieldPointer })
}

function pointer(inCdb: boolean, byte: number, bit: number | undefined): FieldPointer {
  return bit === undefined ? { inCdb, byte } : { inCdb, byte, bit }
}

/** Commands by which initiators set something exist where that can be kept. */
export const whereSettable = (unit: UnitDescription): boolean => unit.settings !== undefined

/** Data for the initiator, cut to what it has room for. SPC-4 4.2.5.6. */
export function allocated(data: Buffer, allocationLength: number): ScsiResult {
  return { status: 0x00, dataIn: [data.subarray(0, allocationLength)] }
}

/** Up to `allocationLength` bytes of data for the initiator. */
export function dataIn(fields: { readonly allocationLength: number }): Transfer {
  return { direction: 'in', bytes: fields.allocationLength }
}

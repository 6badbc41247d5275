/**
 * The shape of a row of the command table: a CDB layout and what is done with it. `command` binds
 * the two, so that a handler gets its fields decoded and typed and the table need not know them.
 */
import type { Fields, Value } from '../wire/layout.ts'
import type { Call, CommandFacts, Outcome } from './call.ts'
import { type CdbLayout, usesReservedBits } from './cdb-layout.ts'
import { checkCondition, type ScsiResult } from './result.ts'
import type { Transfer } from './scsi-target.ts'
import { INVALID_FIELD_IN_CDB } from './sense.ts'

export interface Command extends CommandFacts {
  readonly cdb: CdbLayout
  /** Answered for a LUN that is not there too, and with a unit attention pending. SAM-5 5.14. */
  readonly anyLun: boolean
  /** Only units with thin provisioning have it. */
  readonly thinOnly: boolean
  transfer(cdb: Buffer): Transfer
  /** Every check that needs no data; undefined: it may run. */
  check(call: Call): ScsiResult | undefined
  /** Checks the fields anew, for capacity may have changed since, and runs the command. */
  run(call: Call): Promise<Outcome> | Outcome
}

interface CommandSpec<F extends Fields> {
  readonly anyLun?: boolean
  readonly thinOnly?: boolean
  /** Absent: no data in either direction. */
  transfer?(fields: Value<CdbLayout<F>>): Transfer
  check?(call: Call, fields: Value<CdbLayout<F>>): ScsiResult | undefined
  run(call: Call, fields: Value<CdbLayout<F>>): Promise<Outcome> | Outcome
}

const noTransfer: Transfer = { direction: 'none', bytes: 0 }

export function command<F extends Fields>(cdb: CdbLayout<F>, spec: CommandSpec<F>): Command {
  const { name, operationCode, serviceAction, usageData } = cdb
  const fieldsOf = (block: Buffer) => cdb.decode(block) as Value<CdbLayout<F>>
  return {
    name,
    operationCode,
    serviceAction,
    usageData,
    cdb,
    anyLun: spec.anyLun ?? false,
    thinOnly: spec.thinOnly ?? false,
    transfer: (block) => spec.transfer?.(fieldsOf(block)) ?? noTransfer,
    check(call) {
      if (usesReservedBits(cdb, call.cdb)) return invalidFieldInCdb
      return spec.check?.(call, fieldsOf(call.cdb))
    },
    run(call) {
      const fields = fieldsOf(call.cdb)
      return spec.check?.(call, fields) ?? spec.run(call, fields)
    },
  }
}

export const invalidFieldInCdb = checkCondition(INVALID_FIELD_IN_CDB)

/** Data for the initiator, cut to what it has room for. SPC-4 4.2.5.6. */
export function allocated(data: Buffer, allocationLength: number): ScsiResult {
  return { status: 0x00, dataIn: [data.subarray(0, allocationLength)] }
}

/** Up to `allocationLength` bytes of data for the initiator. */
export function dataIn(fields: { readonly allocationLength: number }): Transfer {
  return { direction: 'in', bytes: fields.allocationLength }
}

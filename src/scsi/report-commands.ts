/**
 * REPORT SUPPORTED OPERATION CODES, made from the command table itself. SPC-4 6.35.
 */
import { unitState } from '../base/limits.ts'
import type { Call, CommandFacts } from './call.ts'
import { reportSupportedOperationCodes } from './cdb-primary.ts'
import { allocated, type Command, command, dataIn, invalidCdbField } from './command.ts'
import type { ScsiResult } from './result.ts'

/** REPORTING OPTIONS. SPC-4 6.35.1; the last came with SPC-5. */
const Options = { ALL: 0, OPCODE: 1, SERVICE_ACTION: 2, EITHER: 3 } as const
const Support = { NO: 0x01, BY_STANDARD: 0x03 } as const

interface Question {
  readonly returnTimeouts: boolean
  readonly reportingOptions: number
  readonly requestedOperationCode: number
  readonly requestedServiceAction: number
}

/** Command timeouts descriptor. SPC-4 6.35.4. */
const timeouts = Buffer.from([0x00, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
timeouts.writeUInt32BE(unitState.nominalCommandSeconds, 4)
timeouts.writeUInt32BE(unitState.recommendedTimeoutSeconds, 8)

/** SPC-4 6.35.2. */
function allCommands(commands: readonly CommandFacts[], withTimeouts: boolean): Buffer {
  const rows = commands.map(({ operationCode, serviceAction, usageData }) => {
    const row = Buffer.alloc(8)
    row[0] = operationCode
    row.writeUInt16BE(serviceAction ?? 0, 2)
    row[5] = (withTimeouts ? 0x02 : 0) | (serviceAction === undefined ? 0 : 0x01)
    row.writeUInt16BE(usageData.length, 6)
    return withTimeouts ? Buffer.concat([row, timeouts]) : row
  })
  const header = Buffer.alloc(4)
  header.writeUInt32BE(
    rows.reduce((sum, row) => sum + row.length, 0),
    0,
  )
  return Buffer.concat([header, ...rows])
}

/** SPC-4 6.35.3. */
function oneCommand(found: CommandFacts | undefined, withTimeouts: boolean): Buffer {
  if (!found) return Buffer.from([0, Support.NO, 0, 0])
  const { usageData } = found
  const ctdp = withTimeouts ? 0x80 : 0
  const header = Buffer.from([0, ctdp | Support.BY_STANDARD, 0, usageData.length])
  return Buffer.concat(withTimeouts ? [header, usageData, timeouts] : [header, usageData])
}

const withOpcode = (call: Call, { requestedOperationCode }: Question) =>
  call.commands.filter((row) => row.operationCode === requestedOperationCode)

function hasServiceActions(call: Call, question: Question): boolean {
  return withOpcode(call, question).some((row) => row.serviceAction !== undefined)
}

/** Asking in the wrong form about an operation code with or without service actions is an error. */
function check(call: Call, question: Question): ScsiResult | undefined {
  const { reportingOptions } = question
  const actions = hasServiceActions(call, question)
  const known = withOpcode(call, question).length > 0
  const wrong =
    reportingOptions > Options.EITHER ||
    (reportingOptions === Options.OPCODE && actions) ||
    (reportingOptions === Options.SERVICE_ACTION && known && !actions)
  return wrong ? invalidCdbField(2, 2) : undefined
}

function find(call: Call, question: Question): CommandFacts | undefined {
  const { reportingOptions, requestedServiceAction } = question
  return withOpcode(call, question).find((row) => {
    if (reportingOptions === Options.OPCODE) return true
    return (row.serviceAction ?? 0) === requestedServiceAction
  })
}

function report(call: Call, question: Question): Buffer {
  const { reportingOptions, returnTimeouts } = question
  if (reportingOptions === Options.ALL) return allCommands(call.commands, returnTimeouts)
  return oneCommand(find(call, question), returnTimeouts)
}

export const reportCommandsCommands: readonly Command[] = [
  command(reportSupportedOperationCodes, {
    inAnyState: true,
    medium: 'none',
    reservation: 'read',
    transfer: dataIn,
    check,
    run: (call, fields) => allocated(report(call, fields), fields.allocationLength),
  }),
]

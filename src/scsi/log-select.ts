/**
 * LOG SELECT (SPC-4 6.7). What the log pages tell is how things are: there is no counter to clear and
 * no value that could be set. So a reset, which brings every parameter to its default, finds nothing
 * to do, and a list that sets a parameter is refused, with the place of that parameter.
 */
import type { Call } from './call.ts'
import { logSelect } from './cdb-primary.ts'
import {
  type Command,
  command,
  invalidCdbField,
  invalidParameterField,
  whereSettable,
} from './command.ts'
import { prefix } from './data-out.ts'
import { hasLogPage } from './log-sense.ts'
import { checkCondition, good, type ScsiResult } from './result.ts'
import { PARAMETER_LIST_LENGTH_ERROR } from './sense.ts'

interface Selection {
  readonly parameterCodeReset: boolean
  readonly saveParameters: boolean
  readonly pageCode: number
  readonly subpageCode: number
  readonly parameterListLength: number
}

const pageHeaderBytes = 4
const parameterHeaderBytes = 4
const pageCodeBits = 0x3f
const subpageFormat = 0x40
const lengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)

function check(call: Call, fields: Selection): ScsiResult | undefined {
  const { parameterCodeReset, saveParameters, pageCode, subpageCode } = fields
  if (saveParameters) return invalidCdbField(1, 0)
  const isAll = pageCode === 0 && subpageCode === 0
  if (fields.parameterListLength > 0) {
    if (parameterCodeReset) return invalidCdbField(1, 1)
    // The pages are named in the list.
    return isAll ? undefined : invalidCdbField(2, 5)
  }
  return isAll || hasLogPage(call.unit, pageCode, subpageCode) ? undefined : invalidCdbField(2, 5)
}

function select(call: Call, { parameterListLength }: Selection): ScsiResult {
  if (parameterListLength === 0) return good()
  const list = prefix(call.dataOut, parameterListLength)
  if (list === undefined) return lengthError
  for (let at = 0; at < list.length; at += pageHeaderBytes) {
    if (at + pageHeaderBytes > list.length) return lengthError
    const first = list[at]!
    const subpage = (first & subpageFormat) === 0 ? 0 : list[at + 1]!
    if (!hasLogPage(call.unit, first & pageCodeBits, subpage)) return invalidParameterField(at)
    const lengthBytes = list.readUInt16BE(at + 2)
    if (lengthBytes === 0) continue
    const fits = at + pageHeaderBytes + Math.max(lengthBytes, parameterHeaderBytes) <= list.length
    return fits ? invalidParameterField(at + pageHeaderBytes) : lengthError
  }
  return good()
}

export const logSelectCommands: readonly Command[] = [
  command(logSelect, {
    medium: 'none',
    reservation: 'write',
    when: whereSettable,
    transfer: ({ parameterListLength }) => ({
      direction: parameterListLength === 0 ? 'none' : 'out',
      bytes: parameterListLength,
    }),
    check,
    run: select,
  }),
]

/**
 * PERSISTENT RESERVE OUT: checks the CDB, reads the parameter list (SPC-4 6.16.3, and 6.16.4 for
 * REGISTER AND MOVE) and has the rules of reservation-changes.ts carried out.
 */
import { reservations as limits } from '../base/limits.ts'
import type { Call, Outcome } from './call.ts'
import {
  clearOut,
  type PersistentReserveOut,
  preemptAndAbortOut,
  preemptOut,
  registerAndIgnoreOut,
  registerAndMoveOut,
  registerOut,
  releaseOut,
  reserveOut,
} from './cdb-reservation.ts'
import {
  type Command,
  command,
  invalidCdbField,
  invalidParameterField,
  whereSettable,
} from './command.ts'
import { prefix } from './data-out.ts'
import { isReservationType } from './reservation-access.ts'
import {
  type Asked,
  clear,
  type Decision,
  preempt,
  register,
  registerAndMove,
  release,
  reserve,
} from './reservation-changes.ts'
import { changeReservations } from './reservation-command.ts'
import type { ReservationTable } from './reservation-table.ts'
import { checkCondition, type ScsiResult } from './result.ts'
import { PARAMETER_LIST_LENGTH_ERROR } from './sense.ts'
import { decodeTransportId, portsOf } from './transport-id.ts'

const listBytes = 24
const lengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)
const relativeTargetPort = 1

interface CdbFields {
  readonly scope: number
  readonly type: number
  readonly parameterListLength: number
}

/** One service action as the table below gives it: a rule, or why there is none to apply. */
type Rule = (table: ReservationTable) => Decision
type Prepare = (call: Call, fields: CdbFields, list: Buffer) => Rule | ScsiResult

function checkLength(bytes: number): ScsiResult | undefined {
  return bytes < listBytes || bytes > limits.parameterListBytes ? lengthError : undefined
}

/** SCOPE other than the logical unit, and unknown types. SPC-4 6.15.3.3, 6.15.3.4. */
function checkScopeAndType({ scope, type }: CdbFields): ScsiResult | undefined {
  if (scope !== 0) return invalidCdbField(2, 7)
  return isReservationType(type) ? undefined : invalidCdbField(2, 3)
}

function askedBy(call: Call, list: Buffer): Asked {
  return {
    port: call.nexus.initiatorPort,
    key: list.toString('hex', 0, 8),
    serviceActionKey: list.toString('hex', 8, 16),
  }
}

const specifiesPorts = (list: Buffer): boolean => (list[20]! & 0x08) !== 0
const persists = (list: Buffer): boolean => (list[20]! & 0x01) !== 0

/** All but REGISTER with SPEC_I_PT take a list of exactly 24 bytes. SPC-4 6.16.2. */
function simple(prepare: Prepare): Prepare {
  return (call, fields, list) => {
    if (specifiesPorts(list)) return invalidParameterField(20, 3)
    return list.length === listBytes ? prepare(call, fields, list) : lengthError
  }
}

const prepareRegister: Prepare = (call, fields, list) => {
  if (!specifiesPorts(list)) return simpleRegister(false)(call, fields, list)
  const ports = readPorts(list, call.initiatorPorts)
  if (!isPorts(ports)) return ports
  const persistThroughPowerLoss = persists(list)
  const asked = { ...askedBy(call, list), ignoresKey: false, persistThroughPowerLoss, ports }
  return (table) => register(table, asked)
}

const simpleRegister = (ignoresKey: boolean): Prepare =>
  simple((call, _fields, list) => {
    const persistThroughPowerLoss = persists(list)
    const asked = { ...askedBy(call, list), ignoresKey, persistThroughPowerLoss }
    return (table) => register(table, asked)
  })

function isPorts(result: readonly string[] | ScsiResult): result is readonly string[] {
  return Array.isArray(result)
}

/** The TransportID list of SPEC_I_PT: its length at 24, the IDs after it. SPC-4 6.16.3. */
function readPorts(list: Buffer, known: readonly string[]): readonly string[] | ScsiResult {
  const from = listBytes + 4
  if (list.length < from || list.length - from !== list.readUInt32BE(listBytes)) return lengthError
  const ports: string[] = []
  for (let at = from; at < list.length; ) {
    const decoded = decodeTransportId(list.subarray(at))
    if (decoded === undefined) return invalidParameterField(at)
    const named = portsOf(decoded.id, known)
    if (named.length === 0) return invalidParameterField(at)
    ports.push(...named)
    at += decoded.bytes
  }
  return ports
}

/** SPC-4 6.16.4: flags at 17, relative target port at 18, the length of the TransportID at 20. */
const prepareMove: Prepare = (call, _fields, list) => {
  const decoded = decodeTransportId(list.subarray(listBytes))
  if (list.length - listBytes !== list.readUInt32BE(20)) return lengthError
  if (list.readUInt16BE(18) !== relativeTargetPort) return invalidParameterField(18)
  if (decoded === undefined || !('initiatorPort' in decoded.id)) {
    return invalidParameterField(listBytes)
  }
  if (decoded.bytes !== list.length - listBytes) return invalidParameterField(20)
  const destination = decoded.id.initiatorPort
  if (destination === call.nexus.initiatorPort) return invalidParameterField(listBytes)
  const flags = list[17]!
  const asked = {
    ...askedBy(call, list),
    destination,
    unregisters: (flags & 0x02) !== 0,
    persistThroughPowerLoss: (flags & 0x01) !== 0,
  }
  return (table) => registerAndMove(table, asked)
}

/** Those that name a reservation to hold. */
function typed(
  rule: (table: ReservationTable, asked: Parameters<typeof reserve>[1]) => Decision,
): Prepare {
  return simple((call, fields, list) => {
    const { type } = fields
    if (!isReservationType(type)) return invalidCdbField(2, 3)
    const asked = { ...askedBy(call, list), type }
    return (table) => rule(table, asked)
  })
}

const prepareRelease: Prepare = simple((call, { type }, list) => {
  const asked = { ...askedBy(call, list), type }
  return (table) => release(table, asked)
})

const prepareClear: Prepare = simple((call, _fields, list) => {
  const asked = askedBy(call, list)
  return (table) => clear(table, asked)
})

async function run(call: Call, fields: CdbFields, prepare: Prepare): Promise<Outcome> {
  const { parameterListLength } = fields
  const list = prefix(call.dataOut, parameterListLength)
  if (list === undefined) return lengthError
  const rule = prepare(call, fields, list)
  if (typeof rule !== 'function') return rule
  return changeReservations(call, rule)
}

function changing(
  layout: PersistentReserveOut,
  prepare: Prepare,
  options: { readonly checksType: boolean } = { checksType: false },
): Command {
  return command(layout, {
    medium: 'none',
    reservation: 'persistent',
    sets: true,
    when: whereSettable,
    transfer: ({ parameterListLength }) => ({ direction: 'out', bytes: parameterListLength }),
    check: (_call, fields) =>
      checkLength(fields.parameterListLength) ??
      (options.checksType ? checkScopeAndType(fields) : undefined),
    run: (call, fields) => run(call, fields, prepare),
  })
}

const withType = { checksType: true }

export const persistentReserveOutCommands: readonly Command[] = [
  changing(registerOut, prepareRegister),
  changing(registerAndIgnoreOut, simpleRegister(true)),
  changing(reserveOut, typed(reserve), withType),
  changing(releaseOut, prepareRelease, withType),
  changing(clearOut, prepareClear),
  changing(
    preemptOut,
    typed((table, asked) => preempt(table, { ...asked, abort: false })),
    withType,
  ),
  changing(
    preemptAndAbortOut,
    typed((table, asked) => preempt(table, { ...asked, abort: true })),
    withType,
  ),
  changing(registerAndMoveOut, prepareMove),
]

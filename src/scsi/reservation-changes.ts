/**
 * The rules of PERSISTENT RESERVE OUT: a table and a service action in, another table or a refusal
 * out. Pure. SPC-4 5.12 and 6.16. Parsing is persistent-reserve-out.ts, access reservation-access.ts.
 */
import { reservations as limits } from '../base/limits.ts'
import {
  holds,
  isForAllRegistrants,
  type ReservationType,
  sharesWithRegistrants,
} from './reservation-access.ts'
import {
  isRegistered,
  keyOf,
  noKey,
  type Registration,
  type ReservationEvent,
  type ReservationTable,
  withoutReserve,
} from './reservation-table.ts'

/** Why nothing is changed. `insufficient`: there are too many registrations. */
export type Refusal =
  | 'conflict'
  | 'invalid-release'
  | 'zero-key'
  | 'nothing-held'
  | 'registered-already'
  | 'insufficient'

export type Decision =
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'refused'; readonly why: Refusal }
  | {
      readonly kind: 'change'
      readonly table: ReservationTable
      /** Others may do less afterwards: it waits for its fence. */
      readonly takesAway: boolean
      /** Initiator ports whose commands end before the answer. */
      readonly aborts: readonly string[]
    }

/** What every service action names: who asks, under which key, and another key. */
export interface Asked {
  readonly port: string
  readonly key: string
  readonly serviceActionKey: string
}

const unchanged: Decision = { kind: 'unchanged' }

function refused(why: Refusal): Decision {
  return { kind: 'refused', why }
}

function change(table: ReservationTable, takesAway: boolean, aborts: string[] = []): Decision {
  return { kind: 'change', table, takesAway, aborts }
}

/** PRGENERATION counts what changes registrations, and neither RESERVE nor RELEASE. SPC-4 5.12.8. */
function counted(table: ReservationTable): ReservationTable {
  return { ...table, generation: (table.generation + 1) >>> 0 }
}

/** Something that these ports have yet to be told; nobody to tell is nothing to say. */
function told(
  table: ReservationTable,
  event: ReservationEvent,
  initiatorPorts: readonly string[],
  abort = false,
): ReservationTable {
  if (initiatorPorts.length === 0) return table
  const number = (table.notices.at(-1)?.number ?? 0) + 1
  const notices = [...table.notices, { number, event, initiatorPorts, abort }]
  return { ...table, notices: notices.slice(-limits.notices) }
}

function others(table: ReservationTable, port: string): string[] {
  return table.registrations.map((each) => each.initiatorPort).filter((each) => each !== port)
}

/** The persistent reservation ends; sharing ones are missed by those who shared. 5.12.11.2.2. */
function released(table: ReservationTable, by: string): ReservationTable {
  const { persistent } = table
  if (persistent === undefined) return table
  const free = { ...table, persistent: undefined }
  if (!sharesWithRegistrants(persistent.type)) return free
  return told(free, 'reservations-released', others(table, by))
}

function withRegistration(table: ReservationTable, { initiatorPort, key }: Registration) {
  const kept = table.registrations.filter((each) => each.initiatorPort !== initiatorPort)
  return { ...table, registrations: [...kept, { initiatorPort, key }] }
}

/** Takes one registration away, and with it what its port holds. SPC-4 5.12.11.2.3. */
function unregistered(table: ReservationTable, port: string): ReservationTable {
  const registrations = table.registrations.filter((each) => each.initiatorPort !== port)
  const { persistent } = table
  const without = { ...table, registrations }
  if (persistent === undefined) return without
  const last = isForAllRegistrants(persistent.type) && registrations.length === 0
  return last || persistent.holder === port ? released(without, port) : without
}

export interface RegisterAsked extends Asked {
  readonly ignoresKey: boolean
  readonly persistThroughPowerLoss: boolean
  /** SPEC_I_PT: further ports to register; undefined: there is no list. */
  readonly ports?: readonly string[]
}

/** REGISTER, REGISTER AND IGNORE EXISTING KEY. SPC-4 5.12.7. */
export function register(table: ReservationTable, asked: RegisterAsked): Decision {
  const { port, serviceActionKey, ports, persistThroughPowerLoss } = asked
  const own = keyOf(table, port)
  if (!asked.ignoresKey && asked.key !== (own ?? noKey)) return refused('conflict')
  if (own !== undefined && ports !== undefined) return refused('registered-already')
  if (own === undefined && serviceActionKey === noKey) return unchanged
  const next = counted({ ...table, persistThroughPowerLoss })
  if (serviceActionKey === noKey) return change(unregistered(next, port), false)
  // A changed key stays in its place.
  const changed = next.registrations.map((each) =>
    each.initiatorPort === port ? { ...each, key: serviceActionKey } : each,
  )
  const fresh = [...new Set([port, ...(ports ?? [])])].filter((each) => !isRegistered(table, each))
  const added = fresh.map((initiatorPort) => ({ initiatorPort, key: serviceActionKey }))
  const registrations = [...changed, ...added]
  if (registrations.length > limits.registrations) return refused('insufficient')
  return change({ ...next, registrations }, false)
}

export interface ReserveAsked extends Asked {
  readonly type: ReservationType
}

function isAsRegistered(table: ReservationTable, { port, key }: Asked): boolean {
  return keyOf(table, port) === key
}

/** RESERVE. SPC-4 5.12.9. */
export function reserve(table: ReservationTable, asked: ReserveAsked): Decision {
  if (!isAsRegistered(table, asked)) return refused('conflict')
  const { type, port } = asked
  if (table.persistent !== undefined) {
    const same = holds(table, port) && table.persistent.type === type
    return same ? unchanged : refused('conflict')
  }
  return change({ ...table, persistent: held(type, port) }, true)
}

function held(type: ReservationType, port: string) {
  return { type, holder: isForAllRegistrants(type) ? undefined : port }
}

/** RELEASE. SPC-4 5.12.11.2.2. */
export function release(
  table: ReservationTable,
  asked: Asked & { readonly type: number },
): Decision {
  if (!isAsRegistered(table, asked)) return refused('conflict')
  if (!holds(table, asked.port)) return unchanged
  if (table.persistent?.type !== asked.type) return refused('invalid-release')
  return change(released(table, asked.port), false)
}

/** CLEAR: all registrations and the reservation. SPC-4 5.12.11.2.7. */
export function clear(table: ReservationTable, asked: Asked): Decision {
  if (!isAsRegistered(table, asked)) return refused('conflict')
  return change(cleared(table, others(table, asked.port)), true)
}

/** By CLEAR, or by an operator, who is no registrant. */
export function cleared(table: ReservationTable, tell: readonly string[]): ReservationTable {
  const empty = { ...withoutReserve(table), registrations: [], persistent: undefined }
  const next = { ...counted(empty), persistThroughPowerLoss: false }
  return told(next, 'reservations-preempted', tell)
}

/** PREEMPT, PREEMPT AND ABORT. SPC-4 5.12.11.2.4, 5.12.11.2.6. */
export function preempt(
  table: ReservationTable,
  asked: ReserveAsked & { readonly abort: boolean },
): Decision {
  if (!isAsRegistered(table, asked)) return refused('conflict')
  const { serviceActionKey: theirs } = asked
  const { persistent } = table
  if (persistent !== undefined && isForAllRegistrants(persistent.type)) {
    return theirs === noKey ? takeOver(table, asked) : removeKey(table, asked)
  }
  if (theirs === noKey) return refused('zero-key')
  const holder = persistent?.holder
  const isHolders = holder !== undefined && keyOf(table, holder) === theirs
  return isHolders ? takeOver(table, asked) : removeKey(table, asked)
}

type PreemptAsked = ReserveAsked & { readonly abort: boolean }

/** The reservation is preempted: a new one for the asker, who keeps its registration. */
function takeOver(table: ReservationTable, asked: PreemptAsked): Decision {
  const { port, type, serviceActionKey: theirs, abort } = asked
  const isTheirs = ({ initiatorPort, key }: Registration): boolean =>
    initiatorPort !== port && (theirs === noKey || key === theirs)
  const gone = table.registrations.filter(isTheirs).map((each) => each.initiatorPort)
  const registrations = table.registrations.filter((each) => !isTheirs(each))
  const next = counted({ ...table, registrations, persistent: held(type, port) })
  const preempted = told(next, 'registrations-preempted', gone, abort)
  const retyped = table.persistent !== undefined && table.persistent.type !== type
  const left = retyped ? others(preempted, port) : []
  return change(told(preempted, 'reservations-released', left), true, abort ? gone : [])
}

/** Only registrations are preempted; the reservation, if any, goes on while it has a holder. */
function removeKey(table: ReservationTable, asked: PreemptAsked): Decision {
  const { port, serviceActionKey: theirs, abort } = asked
  const gone = table.registrations.filter(({ key }) => key === theirs)
  if (gone.length === 0) return refused('conflict')
  const registrations = table.registrations.filter(({ key }) => key !== theirs)
  const nobody = registrations.length === 0
  const persistent = nobody ? undefined : table.persistent
  const tell = gone.map((each) => each.initiatorPort).filter((each) => each !== port)
  const next = counted({ ...table, registrations, persistent })
  return change(told(next, 'registrations-preempted', tell, abort), true, abort ? tell : [])
}

export interface MoveAsked extends Asked {
  readonly destination: string
  readonly unregisters: boolean
  readonly persistThroughPowerLoss: boolean
}

/** REGISTER AND MOVE. SPC-4 5.12.10. */
export function registerAndMove(table: ReservationTable, asked: MoveAsked): Decision {
  if (!isAsRegistered(table, asked)) return refused('conflict')
  const { persistent } = table
  if (persistent === undefined) return refused('nothing-held')
  const { port, destination, serviceActionKey: key, persistThroughPowerLoss } = asked
  if (persistent.holder !== port) return refused('conflict')
  if (key === noKey) return refused('zero-key')
  const registered = withRegistration(
    { ...table, persistThroughPowerLoss },
    { initiatorPort: destination, key },
  )
  if (registered.registrations.length > limits.registrations) return refused('insufficient')
  const moved = { ...registered, persistent: { ...persistent, holder: destination } }
  return change(counted(asked.unregisters ? unregistered(moved, port) : moved), true)
}

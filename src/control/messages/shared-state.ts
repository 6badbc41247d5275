/** What initiators have set on a volume, as bytes (proto/map.proto, SharedState). */
import type {
  Registration,
  ReservationEvent,
  ReservationNotice,
  ReservationTable,
} from '../../scsi/reservation-table.ts'
import type { SanitizeRecord } from '../../scsi/sanitize-record.ts'
import type { VersionedState } from '../../volume/shared-state.ts'
import { type Codec, codec, type Wire } from '../codec.ts'
import { nameOf } from '../enum-names.ts'

const events = {
  'reservations-preempted': 'RESERVATION_EVENT_RESERVATIONS_PREEMPTED',
  'reservations-released': 'RESERVATION_EVENT_RESERVATIONS_RELEASED',
  'registrations-preempted': 'RESERVATION_EVENT_REGISTRATIONS_PREEMPTED',
} as const satisfies Record<ReservationEvent, string>

export function sharedStateToWire({ version, changes, state }: VersionedState): Wire {
  const { descriptorSense, softwareWriteProtect, mediumLoaded } = state
  return {
    version,
    changes,
    descriptorSense,
    softwareWriteProtect,
    mediumEjected: !mediumLoaded,
    reservations: tableToWire(state.reservations),
    ...(state.sanitize === undefined ? {} : { sanitize: sanitizeToWire(state.sanitize) }),
  }
}

export function sharedStateFromWire(wire: Wire): VersionedState {
  return {
    version: wire.version as number,
    changes: wire.changes as string[],
    state: {
      descriptorSense: wire.descriptorSense as boolean,
      softwareWriteProtect: wire.softwareWriteProtect as boolean,
      mediumLoaded: !wire.mediumEjected,
      reservations: tableFromWire((wire.reservations ?? {}) as Wire),
      sanitize: wire.sanitize === undefined ? undefined : sanitizeFromWire(wire.sanitize as Wire),
    },
  }
}

function sanitizeToWire(record: SanitizeRecord): Wire {
  if (record.kind === 'failed') return { failed: true, allowUnrestrictedExit: record.mayExit }
  const { kind: _, overwriting, ...fields } = record
  return { ...fields, ...overwriting }
}

function sanitizeFromWire(wire: Wire): SanitizeRecord {
  const allowUnrestrictedExit = wire.allowUnrestrictedExit as boolean
  if (wire.failed === true) return { kind: 'failed', mayExit: allowUnrestrictedExit }
  const { passes, inverts } = wire as { passes: number; inverts: boolean }
  const pattern = Buffer.from(wire.pattern as Uint8Array)
  return {
    kind: 'running',
    owner: wire.owner as string,
    overwriting: passes === 0 ? undefined : { passes, inverts, pattern },
    allowUnrestrictedExit,
    passesDone: wire.passesDone as number,
    nextLba: wire.nextLba as number,
  }
}

/** A table alone, as a standalone LUN keeps it. */
export const reservationTableCodec: Codec<ReservationTable> = codec('ReservationTable', {
  toWire: tableToWire,
  fromWire: tableFromWire,
})

function tableToWire(table: ReservationTable): Wire {
  const { generation, registrations, persistent, persistThroughPowerLoss, notices } = table
  return {
    generation,
    registrations,
    persistentType: persistent?.type ?? 0,
    holder: persistent?.holder ?? '',
    reserved: table.reserved ?? '',
    reservedThrough: table.reservedThrough ?? '',
    persistThroughPowerLoss,
    notices: notices.map((notice) => ({ ...notice, event: events[notice.event] })),
  }
}

function tableFromWire(wire: Wire): ReservationTable {
  const type = (wire.persistentType ?? 0) as number
  const holder = (wire.holder as string | undefined) || undefined
  return {
    generation: (wire.generation ?? 0) as number,
    registrations: (wire.registrations ?? []) as Registration[],
    persistent: type === 0 ? undefined : { type, holder },
    reserved: (wire.reserved as string | undefined) || undefined,
    ...(wire.reservedThrough ? { reservedThrough: wire.reservedThrough as string } : {}),
    persistThroughPowerLoss: wire.persistThroughPowerLoss === true,
    notices: ((wire.notices ?? []) as Wire[]).map(noticeFromWire),
  }
}

function noticeFromWire(wire: Wire): ReservationNotice {
  return { ...(wire as unknown as ReservationNotice), event: nameOf(events, wire.event) }
}

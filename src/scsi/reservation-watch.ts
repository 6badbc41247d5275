/**
 * Tells initiators what changes of the reservations mean for them, wherever the changes were made:
 * looks at the newest table of a unit when a command or a nexus comes, and raises what the notices
 * say that came since it looked last. SPC-4 5.12.11, SPC-4 table for 2Ah/03h to 05h.
 */
import type { LogicalUnit } from './logical-unit.ts'
import type { ReservationEvent, ReservationNotice, ReservationTable } from './reservation-table.ts'
import type { Sense } from './result.ts'
import { REGISTRATIONS_PREEMPTED, RESERVATIONS_PREEMPTED, RESERVATIONS_RELEASED } from './sense.ts'
import type { UnitAttentions } from './unit-attention.ts'

const attentions: Readonly<Record<ReservationEvent, Sense>> = {
  'reservations-preempted': RESERVATIONS_PREEMPTED,
  'reservations-released': RESERVATIONS_RELEASED,
  'registrations-preempted': REGISTRATIONS_PREEMPTED,
}

/**
 * The notices of `next` that `former` has not. Where so much happened that the oldest of them are
 * gone, whoever lost its registration meanwhile is told that it was preempted.
 */
export function newNotices(
  former: ReservationTable,
  next: ReservationTable,
): readonly ReservationNotice[] {
  const seen = former.notices.at(-1)?.number ?? 0
  const fresh = next.notices.filter(({ number }) => number > seen)
  const oldest = fresh[0]
  if (oldest === undefined || oldest.number === seen + 1) return fresh
  const left = new Set(next.registrations.map(({ initiatorPort }) => initiatorPort))
  const initiatorPorts = former.registrations
    .map(({ initiatorPort }) => initiatorPort)
    .filter((port) => !left.has(port))
  const missed = { number: seen + 1, initiatorPorts, abort: false } as const
  return [{ ...missed, event: 'registrations-preempted' }, ...fresh]
}

export class ReservationWatch {
  readonly #attentions: UnitAttentions
  readonly #seen = new WeakMap<LogicalUnit<never>, ReservationTable>()

  constructor(to: UnitAttentions) {
    this.#attentions = to
  }

  look(unit: LogicalUnit<never> | undefined, lun: number): void {
    const table = unit?.settings?.state.reservations
    if (unit === undefined || table === undefined) return
    const former = this.#seen.get(unit)
    if (former === table) return
    this.#seen.set(unit, table)
    if (former === undefined) return
    for (const { event, initiatorPorts } of newNotices(former, table)) {
      const ports = new Set(initiatorPorts)
      const to = (nexus: { readonly initiatorPort: string }) => ports.has(nexus.initiatorPort)
      this.#attentions.raise(attentions[event], [lun], to)
    }
  }
}

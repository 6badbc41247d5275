/**
 * What of that which initiators set ends with a reset or with the session of the one that set it.
 * SAM-5 6.3 (hard reset, logical unit reset, I_T nexus loss), SPC-2 5.6 (RESERVE), SBC-3 5.10
 * (PREVENT ALLOW MEDIUM REMOVAL), SPC-4 7.5 (mode parameters return to their defaults, for none are
 * saved). Persistent reservations and a sanitize operation go on, and an ejected medium stays out.
 */
import { background } from '../base/background.ts'
import type { Nexus, UnitDescription } from './logical-unit.ts'
import { withoutReserve } from './reservation-table.ts'
import type { UnitConditions } from './unit-conditions.ts'
import { bringAbout, type Edit, type SharedState, type UnitSettings } from './unit-settings.ts'

export function revertAfterReset(unit: UnitDescription, conditions: UnitConditions): void {
  conditions.preventing.clear()
  if (unit.settings === undefined) return
  inBackground(unit.settings, (state) => {
    const { descriptorSense, softwareWriteProtect, reservations } = state
    const reserved = reservations.reserved !== undefined
    if (!descriptorSense && !softwareWriteProtect && !reserved) return undefined
    return {
      ...state,
      descriptorSense: false,
      softwareWriteProtect: false,
      reservations: withoutReserve(reservations),
    }
  })
}

/**
 * True when the nexus had set something here that ends with it. `isLast`: its initiator port has no
 * other session; a RESERVE is the port's.
 */
export function revertAfterNexusLoss(
  unit: UnitDescription,
  conditions: UnitConditions,
  nexus: Nexus,
  isLast: boolean,
): boolean {
  const prevented = conditions.preventing.delete(nexus)
  const { settings } = unit
  const holds = (state: SharedState) => state.reservations.reserved === nexus.initiatorPort
  if (settings === undefined || !isLast || !holds(settings.state)) return prevented
  inBackground(settings, (state) => {
    const { reservations } = state
    return holds(state) ? { ...state, reservations: withoutReserve(reservations) } : undefined
  })
  return true
}

/** At once where the unit keeps its settings itself; a volume's need its manager. */
function inBackground(settings: UnitSettings, edit: Edit): void {
  if (settings.revert !== undefined) settings.revert(edit)
  else background(bringAbout(settings, edit, { takesAway: false }), () => undefined)
}

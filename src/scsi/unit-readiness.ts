/**
 * Whether a unit can take a command now, as far as the state of the unit goes: what keeps it from
 * being ready, and what protects it from being written. SBC-3 4.7 (removable medium), 4.12 (write
 * protection), 4.11.2 (sanitize). Reservations are another matter (reservation-*.ts).
 */
import type { MediumUse } from './command.ts'
import type { UnitDescription } from './logical-unit.ts'
import { ownSanitize } from './own-sanitize.ts'
import { checkCondition, type ScsiResult, type Sense } from './result.ts'
import { shareDone } from './sanitize-record.ts'
import {
  MEDIUM_NOT_PRESENT,
  SANITIZE_COMMAND_FAILED,
  SANITIZE_IN_PROGRESS,
  WRITE_PROTECTED,
} from './sense.ts'
import type { UnitConditions } from './unit-conditions.ts'

const mediumNotPresent = checkCondition(MEDIUM_NOT_PRESENT)
const writeProtected = checkCondition(WRITE_PROTECTED)

/** Undefined: it can. `conditions`: absent where nobody can set anything. */
export function barred(
  unit: UnitDescription,
  medium: MediumUse,
  conditions: UnitConditions | undefined,
): ScsiResult | undefined {
  const sanitizing = sanitizeSense(unit, conditions)
  if (sanitizing) return checkCondition(sanitizing)
  if (medium === 'none') return undefined
  if (unit.settings !== undefined && !unit.settings.state.mediumLoaded) return mediumNotPresent
  return medium === 'write' && isWriteProtected(unit) ? writeProtected : undefined
}

/** By the unit's nature or by SWP of the Control mode page. */
export function isWriteProtected(unit: UnitDescription): boolean {
  return unit.facts.readOnly || (unit.settings?.state.softwareWriteProtect ?? false)
}

/** What REQUEST SENSE tells when no attention is pending. SPC-4 6.39. */
export function stateSense(
  unit: UnitDescription,
  conditions: UnitConditions | undefined,
): Sense | undefined {
  const sanitizing = sanitizeSense(unit, conditions)
  if (sanitizing) return sanitizing
  const loaded = unit.settings?.state.mediumLoaded ?? true
  return loaded ? undefined : MEDIUM_NOT_PRESENT
}

/** What is carried out elsewhere is known by its record only. */
function sanitizeSense(
  { settings, facts }: UnitDescription,
  conditions: UnitConditions | undefined,
): Sense | undefined {
  const record = settings?.state.sanitize
  if (conditions?.sanitizeBegins) return inProgress(0)
  if (settings === undefined || record === undefined) return undefined
  if (record.kind === 'failed') return SANITIZE_COMMAND_FAILED
  const own = ownSanitize(settings) && conditions?.sanitizeShare
  return inProgress(own ?? shareDone(record, record.nextLba, facts.blocks))
}

function inProgress(share: number): Sense {
  return { ...SANITIZE_IN_PROGRESS, progress: Math.floor(share * 0xffff) }
}

/** What keeps a command from going on that began before the operation, at another front end. */
export function endedBySanitize(unit: UnitDescription): ScsiResult | undefined {
  const sense = sanitizeSense(unit, undefined)
  return sense && checkCondition(sense)
}

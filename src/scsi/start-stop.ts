/**
 * START STOP UNIT (SBC-3 5.25) and PREVENT ALLOW MEDIUM REMOVAL (SBC-3 5.10). A unit where nothing
 * can be set has no state to change: only START 1 is true of it.
 *
 * Deviation: SBC-3 5.25 has START 0 bring the unit into the stopped power condition, in which it
 * refuses media access. A disk without a motor that others use as well only makes durable what was
 * written, and is active again at once. For the same reason every power condition is the active
 * one, codes that SBC-3 reserves included, which iscsi-test-cu insists on.
 */
import type { Call, Outcome } from './call.ts'
import { preventAllowMediumRemoval, startStopUnit } from './cdb-medium.ts'
import { type Command, command, invalidCdbField, whereSettable } from './command.ts'
import { checkCondition, good, isGood, type ScsiResult } from './result.ts'
import { MEDIUM_NOT_PRESENT, MEDIUM_REMOVAL_PREVENTED, NOT_READY_TO_READY_CHANGE } from './sense.ts'
import { notChanged } from './settings-change.ts'
import { bringAbout } from './unit-settings.ts'

interface StartStop {
  readonly powerConditionModifier: number
  readonly powerCondition: number
  readonly noFlush: boolean
  readonly loadEject: boolean
  readonly start: boolean
}

const mediumNotPresent = checkCondition(MEDIUM_NOT_PRESENT)
const removalPrevented = checkCondition(MEDIUM_REMOVAL_PREVENTED)

function check(call: Call, fields: StartStop): ScsiResult | undefined {
  const { powerCondition, powerConditionModifier, loadEject, start } = fields
  if (!whereSettable(call.unit)) {
    if (powerConditionModifier !== 0) return invalidCdbField(3, 3)
    if (powerCondition !== 0) return invalidCdbField(4, 7)
    return start && !loadEject ? undefined : invalidCdbField(4, 1)
  }
  // START and LOEJ mean nothing beside a power condition.
  if (powerCondition !== 0) return undefined
  return loadEject && !call.facts.removable ? invalidCdbField(4, 1) : undefined
}

function startStop(call: Call, fields: StartStop): Promise<Outcome> | Outcome {
  if (!whereSettable(call.unit) || fields.powerCondition !== 0) return ready(call)
  if (fields.loadEject) return fields.start ? load(call) : eject(call, fields)
  return fields.start ? start(call) : stop(call, fields)
}

function ready(call: Call): ScsiResult {
  const reason = call.notReady()
  return reason ? checkCondition(reason) : good()
}

function start(call: Call): ScsiResult {
  if (!call.settings.state.mediumLoaded) return mediumNotPresent
  return ready(call)
}

function stop(call: Call, { noFlush }: StartStop): Promise<Outcome> | Outcome {
  return noFlush || !call.settings.state.mediumLoaded ? good() : call.flush()
}

async function load(call: Call): Promise<Outcome> {
  if (call.conditions.preventing.size > 0) return removalPrevented
  const { outcome, changed } = await setLoaded(call, true)
  if (outcome !== 'done') return notChanged(outcome)
  // SAM-5 5.14: who looked at the former medium is told, but for the one who put this one in.
  if (changed) call.raise(NOT_READY_TO_READY_CHANGE)
  return ready(call)
}

async function eject(call: Call, { noFlush }: StartStop): Promise<Outcome> {
  if (call.conditions.preventing.size > 0) return removalPrevented
  if (!call.settings.state.mediumLoaded) return good()
  if (!noFlush) {
    const flushed = await call.flush()
    if (!isGood(flushed)) return flushed
    if (call.conditions.preventing.size > 0) return removalPrevented
  }
  const { outcome } = await setLoaded(call, false)
  return outcome === 'done' ? good() : notChanged(outcome)
}

async function setLoaded(call: Call, mediumLoaded: boolean) {
  let changed = false
  const outcome = await bringAbout(
    call.settings,
    (state) => {
      changed = state.mediumLoaded !== mediumLoaded
      return changed ? { ...state, mediumLoaded } : undefined
    },
    { takesAway: !mediumLoaded },
  )
  return { outcome, changed }
}

export const startStopCommands: readonly Command[] = [
  command(startStopUnit, {
    medium: 'none',
    sets: true,
    reservation: ({ start, powerCondition }) => (start && powerCondition === 0 ? 'never' : 'write'),
    check,
    run: startStop,
  }),
  command(preventAllowMediumRemoval, {
    medium: 'none',
    sets: true,
    reservation: ({ prevent }) => (prevent === 0 ? 'never' : 'write'),
    when: (unit) => whereSettable(unit) && unit.facts.removable,
    // 10b and 11b were for medium changers and are obsolete.
    check: (_call, { prevent }) => (prevent > 1 ? invalidCdbField(4, 1) : undefined),
    run(call, { prevent }) {
      const { preventing } = call.conditions
      if (prevent === 1) preventing.add(call.nexus)
      else preventing.delete(call.nexus)
      return good()
    },
  }),
]

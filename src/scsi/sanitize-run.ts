/**
 * Carries out the sanitize operation that the unit's settings say is ours, from where it stands to
 * its end, and records how far it came now and then. SBC-3 4.11. It stops when the program ends, or
 * when another front end has taken the operation over: then the record stays as it is, and who
 * reads it next goes on from there.
 */
import { unitState } from '../base/limits.ts'
import type { Call, Outcome } from './call.ts'
import { ownSanitize, withSanitize } from './own-sanitize.ts'
import { Pacer } from './pacer.ts'
import { checkCondition, good, isGood } from './result.ts'
import { erasePass, isPassing, type PassRun, patternPass } from './sanitize-pass.ts'
import {
  passesOf,
  type RunningSanitize,
  type SanitizeRecord,
  shareDone,
} from './sanitize-record.ts'
import { COMMAND_TIMEOUT_DURING_PROCESSING, SANITIZE_COMMAND_FAILED } from './sense.ts'
import { bringAbout } from './unit-settings.ts'

const sanitizeFailed = checkCondition(SANITIZE_COMMAND_FAILED)
/** It is for others to end it, and nobody here will know. */
const left = checkCondition(COMMAND_TIMEOUT_DURING_PROCESSING)

export async function carryOut(call: Call): Promise<Outcome> {
  const { conditions, settings } = call
  const stopped = () => conditions.stopping || ownSanitize(settings) === undefined
  const pacer = new Pacer(call.clock, unitState.sanitizeBytesPerSecond)
  try {
    for (;;) {
      const record = ownSanitize(settings)
      if (record === undefined || stopped()) return left
      const outcome = await onePass(call, record, { pacer, stopped })
      if (stopped()) return left
      const isLast = record.passesDone + 1 >= passesOf(record)
      const next = isGood(outcome) ? afterPass(record, isLast) : failure(record)
      if (!(await recordSurely(call, next, stopped))) return left
      if (next?.kind === 'failed') return sanitizeFailed
      if (isLast) return good()
    }
  } finally {
    conditions.sanitizeShare = undefined
  }
}

/** From `owner`, whose writes that are still under way the change shuts out. */
export async function takeOver(call: Call, owner: string): Promise<void> {
  const { settings } = call
  const outcome = await bringAbout(
    settings,
    (state) => {
      const { sanitize } = state
      if (sanitize?.kind !== 'running' || sanitize.owner !== owner) return undefined
      return withSanitize(state, { ...sanitize, owner: settings.owner })
    },
    { takesAway: true },
  )
  if (outcome === 'done') await carryOut(call)
}

function afterPass(record: RunningSanitize, isLast: boolean): RunningSanitize | undefined {
  return isLast ? undefined : { ...record, passesDone: record.passesDone + 1, nextLba: 0 }
}

function failure({ allowUnrestrictedExit }: RunningSanitize): SanitizeRecord {
  return { kind: 'failed', mayExit: allowUnrestrictedExit }
}

function onePass(
  call: Call,
  record: RunningSanitize,
  how: Pick<PassRun, 'pacer' | 'stopped'>,
): Promise<Outcome> {
  const { conditions, clock } = call
  let recordedMs = clock?.nowMs() ?? 0
  const run: PassRun = {
    ...how,
    from: record.nextLba,
    async reached(nextLba) {
      conditions.sanitizeShare = shareDone(record, nextLba, call.facts.blocks)
      const now = clock?.nowMs() ?? recordedMs
      if (now - recordedMs < unitState.sanitizeRecordMs) return good()
      recordedMs = now
      // What a power failure could take back again is not recorded as done.
      const flushed = await call.flush()
      if (isGood(flushed)) await bringOn(call, { ...record, nextLba })
      // A unit that says that it lost something says so once.
      return isPassing(flushed) ? good() : flushed
    },
  }
  conditions.sanitizeShare = shareDone(record, record.nextLba, call.facts.blocks)
  return passOf(record)(call, run)
}

function passOf({ overwriting, passesDone }: RunningSanitize) {
  if (overwriting === undefined) return erasePass
  const { passes, inverts, pattern } = overwriting
  const isOther = inverts && (passes - 1 - passesDone) % 2 === 1
  return patternPass(isOther ? Buffer.from(pattern.map((byte) => ~byte)) : pattern)
}

/** `made`: it was still ours to record. Nothing is lost where it cannot be done now. */
async function bringOn({ settings }: Call, next: SanitizeRecord | undefined) {
  let made = false
  const outcome = await bringAbout(
    settings,
    (state) => {
      made = ownSanitize(settings) !== undefined
      return made ? withSanitize(state, next) : undefined
    },
    { takesAway: false },
  )
  return { outcome, made }
}

/** How it ended has to be known everywhere before it has ended. False: stopped before. */
async function recordSurely(
  call: Call,
  next: SanitizeRecord | undefined,
  stopped: () => boolean,
): Promise<boolean> {
  const { clock } = call
  for (;;) {
    const { outcome, made } = await bringOn(call, next)
    if (outcome === 'done') return made
    if (stopped() || clock === undefined) return false
    await new Promise<void>((resolve) => {
      clock.after(unitState.sanitizeRetryMs, resolve)
    })
  }
}

/**
 * SANITIZE. SBC-3 5.24, 4.11. OVERWRITE writes its pattern all over the unit as often as it says.
 * BLOCK ERASE and CRYPTOGRAPHIC ERASE write zeros where something is allocated and give the space
 * back; there is no key to forget, so both are the same. The operation outlives the command, resets
 * and, where the unit lets it, the session. That it is under way, or has failed, is a part of what is
 * shared of the unit (sanitize-record.ts): a unit that keeps that only in memory forgets it with its
 * program, and what the operation had not reached by then is as before. Pages that had been given back before keep their bytes in the store,
 * unreadable, until they are used again.
 */
import { background } from '../base/background.ts'
import type { Call, Outcome } from './call.ts'
import {
  type Sanitizing,
  sanitizeBlockErase,
  sanitizeCryptographicErase,
  sanitizeExitFailureMode,
  sanitizeOverwrite,
} from './cdb-medium.ts'
import { type Command, command, invalidCdbField, whereSettable } from './command.ts'
import { prefix } from './data-out.ts'
import { ownSanitize, withSanitize } from './own-sanitize.ts'
import { checkCondition, good, type ScsiResult, Status } from './result.ts'
import type { Overwriting } from './sanitize-record.ts'
import { carryOut } from './sanitize-run.ts'
import type { Transfer } from './scsi-target.ts'
import { MEDIUM_NOT_PRESENT, SANITIZE_IN_PROGRESS, WRITE_PROTECTED } from './sense.ts'
import { notChanged } from './settings-change.ts'
import { bringAbout } from './unit-settings.ts'

/** Header of the parameter list of OVERWRITE. SBC-3 5.24.2.2. */
const headerBytes = 4
const invertBit = 0x80
const testBits = 0x60
const countBits = 0x1f

const mediumNotPresent = checkCondition(MEDIUM_NOT_PRESENT)
const writeProtected = checkCondition(WRITE_PROTECTED)

/** Allowed in any state of the unit but one, so that it can be asked for again after a failure. */
function checkState(call: Call): ScsiResult | undefined {
  if (isUnderWay(call)) return stateOf(call)
  if (!call.settings.state.mediumLoaded) return mediumNotPresent
  return call.writeProtected ? writeProtected : undefined
}

function checkErase(call: Call, { parameterListLength }: Sanitizing): ScsiResult | undefined {
  return parameterListLength === 0 ? checkState(call) : invalidCdbField(7)
}

/** The header, and a pattern of at least one byte and at most one block. */
function checkOverwrite(call: Call, { parameterListLength }: Sanitizing): ScsiResult | undefined {
  const most = headerBytes + call.facts.blockBytes
  const wrong = parameterListLength <= headerBytes || parameterListLength > most
  return wrong ? invalidCdbField(7) : checkState(call)
}

/** What a parameter list asks for, or what is wrong with it. */
function overwritingOf(call: Call, parameterListLength: number): Overwriting | ScsiResult {
  const list = prefix(call.dataOut, parameterListLength)
  // SBC-3 5.24.2.2: wrong fields of this list are told as those of the CDB that brought it.
  if (list === undefined) return invalidCdbField(7)
  const passes = list[0]! & countBits
  const patternBytes = list.readUInt16BE(2)
  const fits = patternBytes > 0 && patternBytes <= parameterListLength - headerBytes
  if (passes === 0 || !fits || (list[0]! & testBits) !== 0) return invalidCdbField(7)
  const pattern = Buffer.from(list.subarray(headerBytes, headerBytes + patternBytes))
  return { passes, inverts: (list[0]! & invertBit) !== 0, pattern }
}

function overwrite(call: Call, fields: Sanitizing): Promise<Outcome> | Outcome {
  const overwriting = overwritingOf(call, fields.parameterListLength)
  return 'status' in overwriting ? overwriting : sanitize(call, fields, overwriting)
}

/**
 * From here on no other command is let in; what is under way is waited for. A command that is
 * aborted ends, the operation does not.
 */
async function sanitize(
  call: Call,
  fields: Sanitizing,
  overwriting: Overwriting | undefined,
): Promise<Outcome> {
  const { conditions } = call
  if (isUnderWay(call)) return stateOf(call)
  let tellBegun: (outcome: Outcome) => void = () => undefined
  const begun = new Promise<Outcome>((resolve) => {
    tellBegun = resolve
  })
  const detached = call.detached()
  const former = conditions.sanitizing
  conditions.sanitizeBegins = true
  const running = (async () => {
    const refusal = await begin(detached, fields, { overwriting, former })
    tellBegun(refusal ?? good())
    return refusal ?? carryOut(detached)
  })()
  conditions.sanitizing = running
  // A unit answers its failures as values, which are kept for the initiator.
  background(running, () => undefined)
  return Promise.race([
    running,
    ...(fields.immediate ? [begun] : []),
    new Promise<Outcome>((resolve) => {
      call.whenAborted(() => resolve({ status: Status.TASK_ABORTED }))
    }),
  ])
}

interface Beginning {
  readonly overwriting: Overwriting | undefined
  /** An operation that was taken from us may not have noticed yet. */
  readonly former: Promise<unknown>
}

/** Makes it known, everywhere, that the unit is being sanitized; or says why it is not. */
async function begin(
  call: Call,
  { allowUnrestrictedExit }: Sanitizing,
  { overwriting, former }: Beginning,
): Promise<ScsiResult | undefined> {
  const { conditions, settings } = call
  try {
    // The command itself is the one that is left.
    await conditions.atMost(1)
    await former
    if (conditions.stopping) return stateOf(call)
    call.unit.tokens?.revokeOf(call.facts.naa)
    const start = { passesDone: 0, nextLba: 0, owner: settings.owner }
    const outcome = await bringAbout(
      settings,
      (state) => {
        const record = { kind: 'running', overwriting, allowUnrestrictedExit, ...start } as const
        return state.sanitize?.kind === 'running' ? undefined : withSanitize(state, record)
      },
      { takesAway: true },
    )
    if (outcome !== 'done') return notChanged(outcome)
    // Another front end may have been faster.
    return ownSanitize(settings) === undefined ? stateOf(call) : undefined
  } finally {
    conditions.sanitizeBegins = false
  }
}

function isUnderWay({ conditions, settings }: Call): boolean {
  return conditions.sanitizeBegins || settings.state.sanitize?.kind === 'running'
}

function stateOf(call: Call): ScsiResult {
  return checkCondition(call.stateSense() ?? SANITIZE_IN_PROGRESS)
}

async function exitFailureMode(call: Call): Promise<ScsiResult> {
  let refused = false
  const outcome = await bringAbout(
    call.settings,
    (state) => {
      refused = state.sanitize?.kind === 'running' || state.sanitize?.mayExit === false
      return refused || state.sanitize === undefined ? undefined : withSanitize(state, undefined)
    },
    { takesAway: false },
  )
  if (outcome !== 'done') return notChanged(outcome)
  return refused ? invalidCdbField(1, 4) : good()
}

const common = {
  medium: 'write',
  reservation: 'write',
  inAnyState: true,
  sets: true,
  when: whereSettable,
  transfer: ({ parameterListLength }: Sanitizing): Transfer => ({
    direction: parameterListLength === 0 ? 'none' : 'out',
    bytes: parameterListLength,
  }),
} as const

const erase = {
  ...common,
  check: checkErase,
  run: (call: Call, fields: Sanitizing) => sanitize(call, fields, undefined),
}

export const sanitizeCommands: readonly Command[] = [
  command(sanitizeOverwrite, { ...common, check: checkOverwrite, run: overwrite }),
  command(sanitizeBlockErase, erase),
  command(sanitizeCryptographicErase, erase),
  command(sanitizeExitFailureMode, { ...common, check: checkErase, run: exitFailureMode }),
]

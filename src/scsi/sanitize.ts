/**
 * SANITIZE. SBC-3 5.24, 4.11. OVERWRITE writes its pattern all over the unit as often as it says.
 * BLOCK ERASE and CRYPTOGRAPHIC ERASE write zeros where something is allocated and give the space
 * back; there is no key to forget, so both are the same. The operation outlives the command, resets
 * and, where the unit lets it, the session; the end of the program ends it, and what it had not
 * reached by then is as before. Pages that had been given back before keep their bytes in the store,
 * unreadable, until they are used again.
 */
import { background } from '../base/background.ts'
import { unitState } from '../base/limits.ts'
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
import { Pacer } from './pacer.ts'
import { checkCondition, good, isGood, type ScsiResult, Status } from './result.ts'
import { erasePass, type Pass, patternPass } from './sanitize-pass.ts'
import type { Transfer } from './scsi-target.ts'
import { MEDIUM_NOT_PRESENT, SANITIZE_COMMAND_FAILED, WRITE_PROTECTED } from './sense.ts'

/** Header of the parameter list of OVERWRITE. SBC-3 5.24.2.2. */
const headerBytes = 4
const invertBit = 0x80
const testBits = 0x60
const countBits = 0x1f

const sanitizeFailed = checkCondition(SANITIZE_COMMAND_FAILED)
const mediumNotPresent = checkCondition(MEDIUM_NOT_PRESENT)
const writeProtected = checkCondition(WRITE_PROTECTED)

/** Allowed in any state of the unit but one, so that it can be asked for again after a failure. */
function checkState(call: Call): ScsiResult | undefined {
  const state = call.conditions.sanitize.kind === 'running' ? call.stateSense() : undefined
  if (state) return checkCondition(state)
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

/** The passes that a parameter list asks for, or what is wrong with it. */
function passesOf(call: Call, parameterListLength: number): readonly Pass[] | ScsiResult {
  const list = prefix(call.dataOut, parameterListLength)
  // SBC-3 5.24.2.2: wrong fields of this list are told as those of the CDB that brought it.
  if (list === undefined) return invalidCdbField(7)
  const count = list[0]! & countBits
  const patternBytes = list.readUInt16BE(2)
  const fits = patternBytes > 0 && patternBytes <= parameterListLength - headerBytes
  if (count === 0 || !fits || (list[0]! & testBits) !== 0) return invalidCdbField(7)
  const pattern = Buffer.from(list.subarray(headerBytes, headerBytes + patternBytes))
  const inverted = Buffer.from(pattern.map((byte) => ~byte))
  const inverts = (list[0]! & invertBit) !== 0
  // Patterns alternate and the last one is as given.
  return Array.from({ length: count }, (_, pass) => {
    const other = inverts && (count - 1 - pass) % 2 === 1
    return patternPass(other ? inverted : pattern)
  })
}

async function overwrite(call: Call, fields: Sanitizing): Promise<Outcome> {
  const passes = passesOf(call, fields.parameterListLength)
  return Array.isArray(passes) ? sanitize(call, fields, passes) : (passes as ScsiResult)
}

/**
 * From here on no other command is let in; what is under way is waited for. A command that is
 * aborted ends, the operation does not.
 */
async function sanitize(call: Call, fields: Sanitizing, passes: readonly Pass[]): Promise<Outcome> {
  const running = runPasses(call.detached(), fields, passes)
  call.conditions.sanitizing = running
  // A unit answers its failures as values, which runPasses keeps for the initiator.
  background(running, () => undefined)
  if (fields.immediate) return good()
  return Promise.race([
    running,
    new Promise<Outcome>((resolve) => {
      call.whenAborted(() => resolve({ status: Status.TASK_ABORTED }))
    }),
  ])
}

async function runPasses(
  call: Call,
  { immediate, allowUnrestrictedExit }: Sanitizing,
  passes: readonly Pass[],
): Promise<Outcome> {
  const { conditions } = call
  let done = 0
  conditions.sanitize = { kind: 'running', progress: () => done }
  // With IMMED the command itself ends at once, otherwise it is the one that is left.
  await conditions.atMost(immediate ? 0 : 1)
  call.unit.tokens?.revokeOf(call.facts.naa)
  const pacer = new Pacer(call.clock, unitState.sanitizeBytesPerSecond)
  for (const [index, pass] of passes.entries()) {
    const progress = (share: number): void => {
      done = (index + share) / passes.length
    }
    const stopped = () => conditions.stopping
    const outcome = await pass(call, { pacer, progress, stopped })
    if (!isGood(outcome)) {
      conditions.sanitize = { kind: 'failed', mayExit: allowUnrestrictedExit }
      return sanitizeFailed
    }
  }
  conditions.sanitize = { kind: 'none' }
  return good()
}

function exitFailureMode(call: Call): ScsiResult {
  const { sanitize: state } = call.conditions
  if (state.kind === 'failed' && !state.mayExit) return invalidCdbField(1, 4)
  call.conditions.sanitize = { kind: 'none' }
  return good()
}

const common = {
  medium: 'write',
  reservation: 'write',
  inAnyState: true,
  when: whereSettable,
  transfer: ({ parameterListLength }: Sanitizing): Transfer => ({
    direction: parameterListLength === 0 ? 'none' : 'out',
    bytes: parameterListLength,
  }),
} as const

const erase = {
  ...common,
  check: checkErase,
  run: (call: Call, fields: Sanitizing) => sanitize(call, fields, [erasePass]),
}

export const sanitizeCommands: readonly Command[] = [
  command(sanitizeOverwrite, { ...common, check: checkOverwrite, run: overwrite }),
  command(sanitizeBlockErase, erase),
  command(sanitizeCryptographicErase, erase),
  command(sanitizeExitFailureMode, { ...common, check: checkErase, run: exitFailureMode }),
]

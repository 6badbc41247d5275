/**
 * MODE SELECT (6) and (10). SPC-4 6.11, 6.12, 7.5. The whole parameter list is checked before
 * anything is changed; what the unit does not let be changed must be sent as it is. A change holds
 * for all nexuses, and each of the others is told.
 */
import type { Call, Outcome } from './call.ts'
import { modeSelect6, modeSelect10 } from './cdb-primary.ts'
import {
  type Command,
  command,
  invalidCdbField,
  invalidParameterField,
  whereSettable,
} from './command.ts'
import { prefix, totalBytes } from './data-out.ts'
import { longDescriptorBytes, otherSize, shortDescriptorBytes } from './mode-descriptor.ts'
import { changeableMask, type ModePage, pagesOf } from './mode-pages.ts'
import { checkCondition, good, type ScsiResult } from './result.ts'
import type { Transfer } from './scsi-target.ts'
import { MODE_PARAMETERS_CHANGED, PARAMETER_LIST_LENGTH_ERROR } from './sense.ts'
import { notChanged } from './settings-change.ts'
import { bringAbout, type SharedState } from './unit-settings.ts'

interface SelectFields {
  readonly pageFormat: boolean
  readonly savePages: boolean
  readonly parameterListLength: number
}

type Change = (state: SharedState) => SharedState

/** One page of the list, found and checked: what it changes, and where the next begins. */
interface TakenPage {
  readonly end: number
  readonly change: Change
}

const lengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)
const parametersSaveable = 0x80
const subpageFormat = 0x40

function check(_call: Call, { pageFormat, savePages }: SelectFields): ScsiResult | undefined {
  if (!pageFormat) return invalidCdbField(1, 4)
  return savePages ? invalidCdbField(1, 0) : undefined
}

function isResult(value: object): value is ScsiResult {
  return 'status' in value
}

/** Where the pages begin, after the header and the block descriptor. SPC-4 7.5.5, 7.5.6. */
function pagesBegin(call: Call, list: Buffer, headerBytes: 4 | 8): number | ScsiResult {
  if (list.length < headerBytes) return lengthError
  const mediumTypeAt = headerBytes === 4 ? 1 : 2
  if (list[mediumTypeAt] !== 0) return invalidParameterField(mediumTypeAt)
  const long = headerBytes === 8 && (list[4]! & 0x01) !== 0
  const lengthAt = headerBytes === 4 ? 3 : 6
  const bytes = headerBytes === 4 ? list[lengthAt]! : list.readUInt16BE(lengthAt)
  if (bytes === 0) return headerBytes
  if (bytes !== (long ? longDescriptorBytes : shortDescriptorBytes)) {
    return invalidParameterField(lengthAt)
  }
  const end = headerBytes + bytes
  if (list.length < end) return lengthError
  const wrong = otherSize(list.subarray(headerBytes, end), call.facts)
  return wrong === undefined ? end : invalidParameterField(headerBytes + wrong)
}

function takePage(call: Call, list: Buffer, start: number): TakenPage | ScsiResult {
  const withSubpage = (list[start]! & subpageFormat) !== 0
  const headerBytes = withSubpage ? 4 : 2
  if (list.length < start + headerBytes) return lengthError
  const code = list[start]! & 0x3f
  const subpage = withSubpage ? list[start + 1]! : 0
  const page = pagesOf(call.unit).find((row) => row.code === code && row.subpage === subpage)
  if (page === undefined || withSubpage !== page.subpage > 0) return invalidParameterField(start, 5)
  const current = page.contents(call.unit, call.settings.state)
  const lengthAt = withSubpage ? start + 2 : start + 1
  const bytes = withSubpage ? list.readUInt16BE(lengthAt) : list[lengthAt]!
  if (bytes !== current.length - headerBytes) return invalidParameterField(lengthAt)
  const end = start + current.length
  if (list.length < end) return lengthError
  const sent = list.subarray(start, end)
  const wrong = unchangeable(page, current, sent)
  if (wrong !== undefined) return invalidParameterField(start + wrong.byte, wrong.bit)
  return { end, change: (state) => page.change?.(sent, state) ?? state }
}

/** The first bit that differs from the page as it is and may not. PS is reserved here. */
function unchangeable(
  page: ModePage,
  current: Buffer,
  sent: Buffer,
): { readonly byte: number; readonly bit: number } | undefined {
  const mask = changeableMask(page, current, true)
  for (let byte = 0; byte < current.length; byte++) {
    const header = byte < (page.subpage === 0 ? 2 : 4)
    const free = header ? headerMask(byte) : mask[byte]!
    const wrong = (sent[byte]! ^ current[byte]!) & ~free
    if (wrong !== 0) return { byte, bit: 31 - Math.clz32(wrong) }
  }
  return undefined
}

function headerMask(byte: number): number {
  return byte === 0 ? parametersSaveable : 0
}

function parse(call: Call, list: Buffer, headerBytes: 4 | 8): readonly Change[] | ScsiResult {
  let at = pagesBegin(call, list, headerBytes)
  const changes: Change[] = []
  while (typeof at === 'number' && at < list.length) {
    const taken = takePage(call, list, at)
    if (isResult(taken)) return taken
    changes.push(taken.change)
    at = taken.end
  }
  return typeof at === 'number' ? changes : at
}

async function select(
  call: Call,
  { parameterListLength }: SelectFields,
  headerBytes: 4 | 8,
): Promise<Outcome> {
  if (parameterListLength === 0) return good()
  const bytes = Math.min(parameterListLength, totalBytes(call.dataOut))
  const changes = parse(call, prefix(call.dataOut, bytes) ?? Buffer.alloc(0), headerBytes)
  if (!Array.isArray(changes)) return changes as ScsiResult
  return apply(call, (state) => changes.reduce((now, change) => change(now), state))
}

/** Write protection that is turned on takes something away from all who may write. */
async function apply(call: Call, change: Change): Promise<Outcome> {
  const { settings } = call
  let changed = false
  const edit = (state: SharedState): SharedState | undefined => {
    const next = change(state)
    changed = differ(state, next)
    return changed ? next : undefined
  }
  const protects = change(settings.state).softwareWriteProtect
  const takesAway = protects && !settings.state.softwareWriteProtect
  const outcome = await bringAbout(settings, edit, { takesAway })
  if (outcome !== 'done') return notChanged(outcome)
  if (changed) call.raise(MODE_PARAMETERS_CHANGED)
  return good()
}

function differ(one: SharedState, other: SharedState): boolean {
  const sameFormat = one.descriptorSense === other.descriptorSense
  return !sameFormat || one.softwareWriteProtect !== other.softwareWriteProtect
}

const transfer = ({ parameterListLength }: SelectFields): Transfer => ({
  direction: 'out',
  bytes: parameterListLength,
})

export const modeSelectCommands: readonly Command[] = [
  command(modeSelect6, {
    medium: 'none',
    reservation: 'write',
    sets: true,
    when: whereSettable,
    transfer,
    check,
    run: (call, fields) => select(call, fields, 4),
  }),
  command(modeSelect10, {
    medium: 'none',
    reservation: 'write',
    sets: true,
    when: whereSettable,
    transfer,
    check,
    run: (call, fields) => select(call, fields, 8),
  }),
]

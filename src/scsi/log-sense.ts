/**
 * LOG SENSE (SPC-4 6.8) and its pages: supported pages (SPC-4 7.3.16, 7.3.17), logical block
 * provisioning (SBC-3 6.4.4), informational exceptions (SPC-4 7.3.9). Nothing is counted that could
 * be cleared or set (log-select.ts), and values are current cumulative ones.
 */
import type { Call } from './call.ts'
import { logSense } from './cdb-primary.ts'
import {
  allocated,
  type Command,
  command,
  dataIn,
  invalidCdbField,
  whereSettable,
} from './command.ts'
import type { UnitDescription } from './logical-unit.ts'
import type { ScsiResult } from './result.ts'
import { thresholdSetBlocks } from './soft-threshold.ts'

interface Parameter {
  readonly code: number
  readonly value: Buffer
}

interface LogPage {
  readonly code: number
  readonly subpage: number
  when?(unit: UnitDescription): boolean
  /** A page that is a list of codes. */
  list?(unit: UnitDescription): Buffer
  /** All others, in ascending order of their codes. */
  parameters?(unit: UnitDescription): readonly Parameter[]
}

interface Wanted {
  readonly saveParameters: boolean
  readonly pageControl: number
  readonly pageCode: number
  readonly subpageCode: number
  readonly parameterPointer: number
}

const currentCumulative = 0x01
const allSubpages = 0xff
const subpageFormat = 0x40
/** FORMAT AND LINKING 11b: a binary list. SPC-4 7.3.2.2.2. */
const binaryList = 0x03
/** SCOPE: counts of this unit alone. SBC-3 6.4.4. */
const dedicated = 0x01
const noTemperature = 0xff

const logPages: readonly LogPage[] = [
  {
    code: 0x00,
    subpage: 0,
    list: (unit) =>
      Buffer.from(
        pagesOf(unit)
          .filter(({ subpage }) => subpage === 0)
          .map(({ code }) => code),
      ),
  },
  {
    code: 0x00,
    subpage: allSubpages,
    list: (unit) => Buffer.from(pagesOf(unit).flatMap(({ code, subpage }) => [code, subpage])),
  },
  {
    code: 0x0c,
    subpage: 0,
    when: ({ space }) => space !== undefined,
    parameters: ({ facts, space }) => {
      const inSets = (blocks: number) => Math.floor(blocks / thresholdSetBlocks(facts))
      return [
        { code: 0x0001, value: resourceCount(inSets(space?.availableBlocks() ?? 0)) },
        { code: 0x0002, value: resourceCount(inSets(space?.usedBlocks() ?? 0)) },
      ]
    },
  },
  {
    code: 0x2f,
    subpage: 0,
    parameters: () => [{ code: 0x0000, value: Buffer.from([0, 0, noTemperature, 0]) }],
  },
]

function resourceCount(sets: number): Buffer {
  const value = Buffer.alloc(8)
  value.writeUInt32BE(Math.min(sets, 0xffff_ffff), 0)
  value[4] = dedicated
  return value
}

function pagesOf(unit: UnitDescription): readonly LogPage[] {
  return logPages.filter((page) => page.when?.(unit) ?? true)
}

/** One that has parameters. */
export function hasLogPage(unit: UnitDescription, code: number, subpage: number): boolean {
  const page = pagesOf(unit).find((each) => each.code === code && each.subpage === subpage)
  return page?.parameters !== undefined
}

function find(call: Call, { pageCode, subpageCode }: Wanted): LogPage | undefined {
  const pages = pagesOf(call.unit)
  return pages.find(({ code, subpage }) => code === pageCode && subpage === subpageCode)
}

function check(call: Call, wanted: Wanted): ScsiResult | undefined {
  if (wanted.saveParameters) return invalidCdbField(1, 0)
  const page = find(call, wanted)
  if (page === undefined) return invalidCdbField(wanted.subpageCode === 0 ? 2 : 3, 5)
  const parameters = page.parameters?.(call.unit)
  if (parameters === undefined) return wanted.parameterPointer ? invalidCdbField(5) : undefined
  if (wanted.pageControl !== currentCumulative) return invalidCdbField(2, 7)
  // A pointer beyond the last parameter is an error. SPC-4 6.8.
  const last = parameters.at(-1)?.code ?? 0
  return wanted.parameterPointer > last ? invalidCdbField(5) : undefined
}

function logPage(call: Call, wanted: Wanted): Buffer {
  const page = find(call, wanted)
  const { pageCode, subpageCode, parameterPointer } = wanted
  const parameters = page?.parameters?.(call.unit) ?? []
  const asked = parameters.filter(({ code }) => code >= parameterPointer)
  const body = page?.list?.(call.unit) ?? Buffer.concat(asked.map(encode))
  const spf = subpageCode === 0 ? 0 : subpageFormat
  const header = Buffer.from([spf | pageCode, subpageCode, body.length >> 8, body.length & 0xff])
  return Buffer.concat([header, body])
}

function encode({ code, value }: Parameter): Buffer {
  return Buffer.concat([Buffer.from([code >> 8, code & 0xff, binaryList, value.length]), value])
}

export const logSenseCommands: readonly Command[] = [
  command(logSense, {
    medium: 'none',
    reservation: 'never',
    when: whereSettable,
    transfer: dataIn,
    check,
    run: (call, fields) => allocated(logPage(call, fields), fields.allocationLength),
  }),
]

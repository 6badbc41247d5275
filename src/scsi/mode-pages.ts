/**
 * Mode pages, one row each, in the order in which they are returned. SPC-4 7.5, SBC-3 6.5. Nothing
 * can be saved; what can be changed says its row, and it is the same for all nexuses (VPD 87h).
 */

import type { UnitDescription, UnitFacts } from './logical-unit.ts'
import { softThreshold } from './soft-threshold.ts'
import type { SharedState } from './unit-settings.ts'

export interface ModePage {
  readonly code: number
  readonly subpage: number
  /** Absent: every unit has it. */
  when?(unit: UnitDescription): boolean
  /** The whole page with its header; `state` undefined for the defaults. */
  contents(unit: UnitDescription, state: SharedState | undefined): Buffer
  /** Bits that an initiator may change, by byte of the page. */
  readonly changeable: Readonly<Record<number, number>>
  /** What a page that came with MODE SELECT makes of the state. */
  change?(page: Buffer, state: SharedState): SharedState
}

const nothing = {}
const descriptorSenseBit = 0x04
const softwareWriteProtectBit = 0x08

/** Page_0 format. */
function page(code: number, parameterBytes: number, set: Readonly<Record<number, number>>): Buffer {
  const buffer = Buffer.alloc(2 + parameterBytes)
  buffer[0] = code
  buffer[1] = parameterBytes
  for (const [byte, value] of Object.entries(set)) buffer[Number(byte)] = value
  return buffer
}

/** SBC-3 6.5.7: one soft threshold of the space that is available, enabled, reached from above. */
function thresholdPage({ facts }: { readonly facts: UnitFacts }): Buffer {
  const buffer = Buffer.alloc(24)
  buffer.set([0x40 | 0x1c, 0x02, 0x00, buffer.length - 4])
  buffer.set([0x80, 0x01], 16)
  buffer.writeUInt32BE(softThreshold(facts).count, 20)
  return buffer
}

export const modePages: readonly ModePage[] = [
  {
    // Read-write error recovery. SBC-3 6.5.8. LBPERE: the soft threshold is reported.
    code: 0x01,
    subpage: 0,
    changeable: nothing,
    contents: ({ space }) => page(0x01, 0x0a, { 7: space === undefined ? 0x00 : 0x80 }),
  },
  {
    // Caching. SBC-3 6.5.5. WCE in byte 2 tells the truth about volatile acknowledgements.
    code: 0x08,
    subpage: 0,
    changeable: nothing,
    contents: ({ facts }) => page(0x08, 0x12, { 2: facts.writeCache ? 0x04 : 0x00 }),
  },
  {
    // Control. SPC-4 7.5.8. GLTSD; unrestricted reordering; busy timeout unlimited.
    code: 0x0a,
    subpage: 0,
    changeable: { 2: descriptorSenseBit, 4: softwareWriteProtectBit },
    contents: (_unit, state) =>
      page(0x0a, 0x0a, {
        2: 0x02 | (state?.descriptorSense ? descriptorSenseBit : 0),
        3: 0x10,
        4: state?.softwareWriteProtect ? softwareWriteProtectBit : 0,
        8: 0xff,
        9: 0xff,
      }),
    change: (sent, state) => ({
      ...state,
      descriptorSense: (sent[2]! & descriptorSenseBit) !== 0,
      softwareWriteProtect: (sent[4]! & softwareWriteProtectBit) !== 0,
    }),
  },
  {
    // Informational exceptions control. SBC-3 6.5.6. DEXCPT: none are reported.
    code: 0x1c,
    subpage: 0,
    changeable: nothing,
    contents: () => page(0x1c, 0x0a, { 2: 0x08 }),
  },
  {
    // Logical block provisioning. SBC-3 6.5.7.
    code: 0x1c,
    subpage: 2,
    changeable: nothing,
    when: ({ space }) => space !== undefined,
    contents: thresholdPage,
  },
]

export function pagesOf(unit: UnitDescription): readonly ModePage[] {
  return modePages.filter((row) => row.when?.(unit) ?? true)
}

/** The same page with every bit that an initiator may change set, and no other. */
export function changeableMask(row: ModePage, current: Buffer, settable: boolean): Buffer {
  const mask = Buffer.alloc(current.length)
  current.copy(mask, 0, 0, row.subpage === 0 ? 2 : 4)
  if (!settable) return mask
  for (const [byte, bits] of Object.entries(row.changeable)) mask[Number(byte)] = bits
  return mask
}

/**
 * Mode pages, one row each, in the order in which they are returned. SPC-4 7.5, SBC-3 6.5. Nothing
 * can be changed or saved: MODE SELECT does not exist and every changeable bit is zero.
 */
import type { UnitFacts } from './logical-unit.ts'

export interface ModePage {
  readonly code: number
  readonly subpage: number
  /** The whole page, with its two-byte header. */
  current(facts: UnitFacts): Buffer
}

/** Page_0 format. */
function page(code: number, parameterBytes: number, set: Readonly<Record<number, number>>): Buffer {
  const buffer = Buffer.alloc(2 + parameterBytes)
  buffer[0] = code
  buffer[1] = parameterBytes
  for (const [byte, value] of Object.entries(set)) buffer[Number(byte)] = value
  return buffer
}

export const modePages: readonly ModePage[] = [
  {
    // Caching. SBC-3 6.5.5. WCE in byte 2 tells the truth about volatile acknowledgements.
    code: 0x08,
    subpage: 0,
    current: ({ writeCache }) => page(0x08, 0x12, { 2: writeCache ? 0x04 : 0x00 }),
  },
  {
    // Control. SPC-4 7.5.8. GLTSD; unrestricted reordering; busy timeout unlimited; D_SENSE 0.
    code: 0x0a,
    subpage: 0,
    current: () => page(0x0a, 0x0a, { 2: 0x02, 3: 0x10, 8: 0xff, 9: 0xff }),
  },
  {
    // Informational exceptions control. SBC-3 6.5.6. DEXCPT: none are reported.
    code: 0x1c,
    subpage: 0,
    current: () => page(0x1c, 0x0a, { 2: 0x08 }),
  },
]

/** The same page with every bit that an initiator may change set: none. */
export function changeable(current: Buffer): Buffer {
  const mask = Buffer.alloc(current.length)
  current.copy(mask, 0, 0, 2)
  return mask
}

/**
 * MODE SENSE (6) and (10): header, block descriptor, pages. SPC-4 6.13, 6.14; device-specific
 * parameter and block descriptors SBC-3 6.5.
 */
import type { Call } from './call.ts'
import { modeSense6, modeSense10 } from './cdb-primary.ts'
import { allocated, type Command, command, dataIn, invalidFieldInCdb } from './command.ts'
import type { UnitFacts } from './logical-unit.ts'
import { changeable, type ModePage, modePages } from './mode-pages.ts'
import { checkCondition, type ScsiResult } from './result.ts'
import { SAVING_PARAMETERS_NOT_SUPPORTED } from './sense.ts'

const PageControl = { CURRENT: 0, CHANGEABLE: 1, DEFAULT: 2, SAVED: 3 } as const
const allPages = 0x3f
const allSubpages = 0xff
const writeProtect = 0x80
const dpoAndFua = 0x10

interface Wanted {
  readonly disableBlockDescriptors: boolean
  readonly pageControl: number
  readonly pageCode: number
  readonly subpageCode: number
}

/** Pages of the code asked for, or all; of the subpage asked for, or with their subpages. */
function selected({ pageCode, subpageCode }: Wanted): readonly ModePage[] {
  return modePages.filter((page) => {
    const wantedPage = pageCode === allPages || page.code === pageCode
    return wantedPage && (subpageCode === allSubpages || page.subpage === subpageCode)
  })
}

function check(_call: Call, wanted: Wanted): ScsiResult | undefined {
  if (wanted.pageControl === PageControl.SAVED) return savingNotSupported
  return selected(wanted).length > 0 ? undefined : invalidFieldInCdb
}

const savingNotSupported = checkCondition(SAVING_PARAMETERS_NOT_SUPPORTED)

function pagesOf(facts: UnitFacts, wanted: Wanted): Buffer {
  const pages = selected(wanted).map((page) => page.current(facts))
  const asked = wanted.pageControl === PageControl.CHANGEABLE ? pages.map(changeable) : pages
  return Buffer.concat(asked)
}

/** FFFFFFFFh where the number of blocks needs more than the field has. SBC-3 6.5. */
function shortDescriptor({ blocks, blockBytes }: UnitFacts): Buffer {
  const descriptor = Buffer.alloc(8)
  descriptor.writeUInt32BE(Math.min(blocks, 0xffff_ffff), 0)
  descriptor.writeUIntBE(blockBytes, 5, 3)
  return descriptor
}

function longDescriptor({ blocks, blockBytes }: UnitFacts): Buffer {
  const descriptor = Buffer.alloc(16)
  descriptor.writeBigUInt64BE(BigInt(blocks), 0)
  descriptor.writeUInt32BE(blockBytes, 12)
  return descriptor
}

function deviceSpecific({ readOnly }: UnitFacts): number {
  return (readOnly ? writeProtect : 0) | dpoAndFua
}

function modeData6(facts: UnitFacts, wanted: Wanted): Buffer {
  const descriptor = wanted.disableBlockDescriptors ? Buffer.alloc(0) : shortDescriptor(facts)
  const pages = pagesOf(facts, wanted)
  const length = 3 + descriptor.length + pages.length
  const header = Buffer.from([length, 0, deviceSpecific(facts), descriptor.length])
  return Buffer.concat([header, descriptor, pages])
}

function modeData10(facts: UnitFacts, wanted: Wanted & { longLbaAccepted: boolean }): Buffer {
  const long = wanted.longLbaAccepted && !wanted.disableBlockDescriptors
  const some = long ? longDescriptor(facts) : shortDescriptor(facts)
  const descriptor = wanted.disableBlockDescriptors ? Buffer.alloc(0) : some
  const pages = pagesOf(facts, wanted)
  const header = Buffer.alloc(8)
  header.writeUInt16BE(6 + descriptor.length + pages.length, 0)
  header[3] = deviceSpecific(facts)
  header[4] = long ? 0x01 : 0x00
  header.writeUInt16BE(descriptor.length, 6)
  return Buffer.concat([header, descriptor, pages])
}

export const modeSenseCommands: readonly Command[] = [
  command(modeSense6, {
    medium: 'none',
    reservation: 'read',
    transfer: dataIn,
    check,
    run: (call, fields) => allocated(modeData6(call.facts, fields), fields.allocationLength),
  }),
  command(modeSense10, {
    medium: 'none',
    reservation: 'read',
    transfer: dataIn,
    check,
    run: (call, fields) => allocated(modeData10(call.facts, fields), fields.allocationLength),
  }),
]

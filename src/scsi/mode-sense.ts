/**
 * MODE SENSE (6) and (10): header, block descriptor, pages. SPC-4 6.13, 6.14; device-specific
 * parameter and block descriptors SBC-3 6.5.
 */
import type { Call } from './call.ts'
import { modeSense6, modeSense10 } from './cdb-primary.ts'
import { allocated, type Command, command, dataIn, invalidCdbField } from './command.ts'
import { blockDescriptor } from './mode-descriptor.ts'
import { changeableMask, type ModePage, pagesOf } from './mode-pages.ts'
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
function selected(call: Call, { pageCode, subpageCode }: Wanted): readonly ModePage[] {
  return pagesOf(call.unit).filter((page) => {
    const wantedPage = pageCode === allPages || page.code === pageCode
    return wantedPage && (subpageCode === allSubpages || page.subpage === subpageCode)
  })
}

function check(call: Call, wanted: Wanted): ScsiResult | undefined {
  if (wanted.pageControl === PageControl.SAVED) return savingNotSupported
  return selected(call, wanted).length > 0 ? undefined : invalidCdbField(2, 5)
}

const savingNotSupported = checkCondition(SAVING_PARAMETERS_NOT_SUPPORTED)

function pageData(call: Call, wanted: Wanted): Buffer {
  const { unit } = call
  const current = wanted.pageControl === PageControl.CURRENT ? unit.settings?.state : undefined
  return Buffer.concat(
    selected(call, wanted).map((page) => {
      const contents = page.contents(unit, current)
      if (wanted.pageControl !== PageControl.CHANGEABLE) return contents
      return changeableMask(page, contents, unit.settings !== undefined)
    }),
  )
}

function deviceSpecific(call: Call): number {
  return (call.writeProtected ? writeProtect : 0) | dpoAndFua
}

function modeData6(call: Call, wanted: Wanted): Buffer {
  const without = wanted.disableBlockDescriptors
  const descriptor = without ? Buffer.alloc(0) : blockDescriptor(call.facts, false)
  const pages = pageData(call, wanted)
  const length = 3 + descriptor.length + pages.length
  const header = Buffer.from([length, 0, deviceSpecific(call), descriptor.length])
  return Buffer.concat([header, descriptor, pages])
}

function modeData10(call: Call, wanted: Wanted & { longLbaAccepted: boolean }): Buffer {
  const long = wanted.longLbaAccepted && !wanted.disableBlockDescriptors
  const without = wanted.disableBlockDescriptors
  const descriptor = without ? Buffer.alloc(0) : blockDescriptor(call.facts, long)
  const pages = pageData(call, wanted)
  const header = Buffer.alloc(8)
  header.writeUInt16BE(6 + descriptor.length + pages.length, 0)
  header[3] = deviceSpecific(call)
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
    run: (call, fields) => allocated(modeData6(call, fields), fields.allocationLength),
  }),
  command(modeSense10, {
    medium: 'none',
    reservation: 'read',
    transfer: dataIn,
    check,
    run: (call, fields) => allocated(modeData10(call, fields), fields.allocationLength),
  }),
]

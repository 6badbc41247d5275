/**
 * INQUIRY: standard data, and the way to the vital product data pages of vpd-pages.ts. SPC-4 6.6.
 * Answered for every LUN: where there is no unit, the peripheral qualifier says so.
 */
import type { Call } from './call.ts'
import { inquiry } from './cdb-primary.ts'
import { allocated, type Command, command, dataIn, invalidCdbField } from './command.ts'
import { hasThirdPartyCopy } from './copy/third-party-copy-page.ts'
import { vendorIdentification } from './designators.ts'
import { isVpdPage, vpdPage } from './vpd-pages.ts'

const productIdentification = 'VIRTUAL-DISK'
const productRevision = '0001'

/** Qualifier 011b, type 1Fh: this target can have no unit at this LUN. SPC-4 6.6.2. */
const noUnit = 0x7f
const directAccessBlockDevice = 0x00

/** SAM-5, iSCSI, SPC-4 and SBC-3, no version claimed of each. SPC-4 6.6.2 and annex E. */
const versionDescriptors = [0x00a0, 0x0960, 0x0460, 0x04c0]

const standardBytes = 96
const versionSpc4 = 0x06
const hiSupAndFormat = 0x12
const commandQueueing = 0x02
const removableMedium = 0x80
/** TPGS 01b: the state of a target port group can be asked for; 11b: and set. */
const implicitPortGroups = 0x10
const settablePortGroups = 0x30
/** 3PC: it makes copies. */
const thirdPartyCopy = 0x08

function standardInquiry(call: Call): Buffer {
  const { hasUnit } = call
  const data = Buffer.alloc(standardBytes)
  data[0] = hasUnit ? directAccessBlockDevice : noUnit
  data[1] = hasUnit && call.facts.removable ? removableMedium : 0
  data[2] = versionSpc4
  data[3] = hiSupAndFormat
  data[4] = standardBytes - 5
  const portGroups =
    hasUnit && call.unit.portGroups?.settable ? settablePortGroups : implicitPortGroups
  data[5] = hasUnit ? portGroups : 0
  if (hasUnit && hasThirdPartyCopy(call.commands)) data[5] |= thirdPartyCopy
  data[7] = commandQueueing
  data.write(vendorIdentification.padEnd(8), 8, 'latin1')
  data.write(productIdentification.padEnd(16), 16, 'latin1')
  data.write(productRevision.padEnd(4), 32, 'latin1')
  for (const [index, version] of versionDescriptors.entries()) {
    data.writeUInt16BE(version, 58 + 2 * index)
  }
  return data
}

export const inquiryCommands: readonly Command[] = [
  command(inquiry, {
    anyLun: true,
    inAnyState: true,
    medium: 'none',
    reservation: 'never',
    transfer: dataIn,
    check(call, { enableVitalProductData, pageCode }) {
      if (!enableVitalProductData) return pageCode === 0 ? undefined : invalidCdbField(2)
      if (!call.hasUnit) return invalidCdbField(1, 0)
      return isVpdPage(pageCode, call.unit) ? undefined : invalidCdbField(2)
    },
    run(call, { enableVitalProductData, pageCode, allocationLength }) {
      const data = enableVitalProductData ? vpdPage(pageCode, call) : standardInquiry(call)
      return allocated(data, allocationLength)
    },
  }),
]

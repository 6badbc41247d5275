/** REPORT LUNS: the logical units of this target. SPC-4 6.33; LUN formats SAM-5 4.7. */
import { reportLuns } from './cdb-primary.ts'
import { allocated, type Command, command, dataIn, invalidFieldInCdb } from './command.ts'

const headerBytes = 8
const lunBytes = 8
/** SELECT REPORT: all but well-known units, only those (there are none), all. */
const SelectReport = { REGULAR: 0x00, WELL_KNOWN: 0x01, ALL: 0x02 } as const

/** Peripheral device addressing below 256, flat space addressing above. SAM-5 4.7. */
function encodeLun(lun: number, buffer: Buffer, offset: number): void {
  buffer.writeUInt16BE(lun < 0x100 ? lun : 0x4000 | lun, offset)
}

function lunList(luns: readonly number[]): Buffer {
  const list = Buffer.alloc(headerBytes + luns.length * lunBytes)
  list.writeUInt32BE(luns.length * lunBytes, 0)
  for (const [index, lun] of luns.entries()) encodeLun(lun, list, headerBytes + index * lunBytes)
  return list
}

export const reportLunsCommands: readonly Command[] = [
  command(reportLuns, {
    anyLun: true,
    inAnyState: true,
    medium: 'none',
    reservation: 'never',
    transfer: dataIn,
    // SPC-3 refused room for less than one unit; SPC-4 cuts the list like any other data.
    check: (_call, { selectReport }) =>
      selectReport <= SelectReport.ALL ? undefined : invalidFieldInCdb,
    run(call, { selectReport, allocationLength }) {
      call.clearReportedLuns()
      const luns = selectReport === SelectReport.WELL_KNOWN ? [] : call.luns
      return allocated(lunList(luns), allocationLength)
    },
  }),
]

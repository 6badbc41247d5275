/**
 * READ DEFECT DATA (10) and (12): the lists are valid and empty, in whatever format is asked for.
 * SBC-3 5.17, 5.18. Bad places are the business of what is below us; no initiator can see one.
 */
import { readDefectData10, readDefectData12 } from './cdb-medium.ts'
import { allocated, type Command, command, dataIn } from './command.ts'

interface Wanted {
  readonly requestPrimaryList: boolean
  readonly requestGrownList: boolean
  readonly defectListFormat: number
}

/** PLISTV, GLISTV and the format, at the places of the bits in the CDB. */
function listsByte({ requestPrimaryList, requestGrownList, defectListFormat }: Wanted): number {
  return (requestPrimaryList ? 0x10 : 0) | (requestGrownList ? 0x08 : 0) | defectListFormat
}

export const defectDataCommands: readonly Command[] = [
  command(readDefectData10, {
    medium: 'read',
    reservation: 'read',
    transfer: dataIn,
    run: (_call, fields) =>
      allocated(Buffer.from([0, listsByte(fields), 0, 0]), fields.allocationLength),
  }),
  command(readDefectData12, {
    medium: 'read',
    reservation: 'read',
    transfer: dataIn,
    run: (_call, fields) =>
      allocated(Buffer.from([0, listsByte(fields), 0, 0, 0, 0, 0, 0]), fields.allocationLength),
  }),
]

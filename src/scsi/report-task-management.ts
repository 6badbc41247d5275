/** REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS. SPC-4 6.36, with the extended format of SPC-5. */
import { portal } from '../base/limits.ts'
import { reportTaskManagementFunctions } from './cdb-primary.ts'
import { allocated, type Command, command, dataIn } from './command.ts'

/** ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET. */
const supported = 0x80 | 0x40 | 0x10 | 0x08 | 0x02
const extendedBytes = 16

/** Each has the long timeout, in units of 100 ms. */
function functions(extended: boolean): Buffer {
  const data = Buffer.alloc(extended ? extendedBytes : 4)
  data[0] = supported
  if (!extended) return data
  data[3] = extendedBytes - 4
  data[4] = 0x01
  data[6] = supported
  const timeout = portal.taskManagementDeadlineMs / 100
  data.writeUInt32BE(timeout, 8)
  data.writeUInt32BE(timeout, 12)
  return data
}

export const reportTaskManagementCommands: readonly Command[] = [
  command(reportTaskManagementFunctions, {
    medium: 'none',
    reservation: 'read',
    inAnyState: true,
    transfer: dataIn,
    run: (_call, fields) => allocated(functions(fields.returnExtended), fields.allocationLength),
  }),
]

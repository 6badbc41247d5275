import { bits, bytes, reserved, u32, type Value } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** Task Management Function Request, initiator to target. RFC 7143 11.5. */
export const taskManagementRequest = pdu(
  'Task Management Function Request',
  Opcode.TASK_MANAGEMENT_REQUEST,
  '11.5',
  {
    fields: {
      function: bits(1, 6, 0, '11.5.1'),
      lun: bytes(8, 8),
      initiatorTaskTag: u32(16),
      referencedTaskTag: u32(20),
      cmdSn: u32(24),
      expStatSn: u32(28),
      refCmdSn: u32(32, 'CmdSN of the task to abort'),
      expDataSn: u32(36),
    },
    constants: [alwaysFinal],
    reserved: [reserved(2, 2), reserved(40, 8)],
  },
)
export type TaskManagementRequest = Value<typeof taskManagementRequest>

/** RFC 7143 11.5.1. */
export const TaskManagementFunction = {
  ABORT_TASK: 1,
  ABORT_TASK_SET: 2,
  CLEAR_ACA: 3,
  CLEAR_TASK_SET: 4,
  LOGICAL_UNIT_RESET: 5,
  TARGET_WARM_RESET: 6,
  TARGET_COLD_RESET: 7,
  TASK_REASSIGN: 8,
} as const

import { reserved, reservedBits, u8, u32 } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** Task Management Function Response, target to initiator. RFC 7143 11.6. */
export const taskManagementResponse = pdu(
  'Task Management Function Response',
  Opcode.TASK_MANAGEMENT_RESPONSE,
  '11.6',
  {
    fields: {
      response: u8(2, '11.6.1'),
      initiatorTaskTag: u32(16),
      statSn: u32(24),
      expCmdSn: u32(28),
      maxCmdSn: u32(32),
    },
    constants: [alwaysFinal],
    reserved: [
      reservedBits(1, 6, 0),
      reserved(3),
      reserved(8, 8),
      reserved(20, 4),
      reserved(36, 12),
    ],
  },
)

/** RFC 7143 11.6.1. */
export const TaskManagementOutcome = {
  COMPLETE: 0,
  TASK_DOES_NOT_EXIST: 1,
  LUN_DOES_NOT_EXIST: 2,
  TASK_STILL_ALLEGIANT: 3,
  REASSIGNMENT_NOT_SUPPORTED: 4,
  FUNCTION_NOT_SUPPORTED: 5,
  AUTHORIZATION_FAILED: 6,
  REJECTED: 255,
} as const

import { constant, reserved, reservedBits, u8, u32 } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** Reject, target to initiator; the data segment is the header of the rejected PDU. RFC 7143 11.17. */
export const reject = pdu('Reject', Opcode.REJECT, '11.17', {
  fields: {
    reason: u8(2, '11.17.1'),
    statSn: u32(24),
    expCmdSn: u32(28),
    maxCmdSn: u32(32),
    dataSn: u32(36, 'DataSN or R2TSN, only for a data digest error or SNACK'),
  },
  constants: [alwaysFinal, ...[16, 17, 18, 19].map((byte) => constant(byte, 7, 0, 0xff))],
  reserved: [reservedBits(1, 6, 0), reserved(3), reserved(8, 8), reserved(20, 4), reserved(40, 8)],
})

/** RFC 7143 11.17.1. */
export const RejectReason = {
  DATA_DIGEST_ERROR: 0x02,
  SNACK_REJECT: 0x03,
  PROTOCOL_ERROR: 0x04,
  COMMAND_NOT_SUPPORTED: 0x05,
  TOO_MANY_IMMEDIATE_COMMANDS: 0x06,
  TASK_IN_PROGRESS: 0x07,
  INVALID_DATA_ACK: 0x08,
  INVALID_PDU_FIELD: 0x09,
  LONG_OPERATION_REJECT: 0x0a,
  WAITING_FOR_LOGOUT: 0x0c,
} as const
export type RejectReason = (typeof RejectReason)[keyof typeof RejectReason]

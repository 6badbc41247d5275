import { bytes, constant, reserved, reservedBits, u8, u16, u32 } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** Asynchronous Message, target to initiator. RFC 7143 11.9. */
export const asyncMessage = pdu('Asynchronous Message', Opcode.ASYNC_MESSAGE, '11.9', {
  fields: {
    lun: bytes(8, 8, 'only for SCSI events'),
    statSn: u32(24),
    expCmdSn: u32(28),
    maxCmdSn: u32(32),
    asyncEvent: u8(36, '11.9.1'),
    asyncVCode: u8(37),
    parameter1: u16(38, 'by event, 11.9.1: the CID of event 2'),
    parameter2: u16(40),
    parameter3: u16(42),
  },
  constants: [alwaysFinal, ...[16, 17, 18, 19].map((byte) => constant(byte, 7, 0, 0xff))],
  reserved: [reservedBits(1, 6, 0), reserved(2, 2), reserved(20, 4), reserved(44, 4)],
})

/** RFC 7143 11.9.1. */
export const AsyncEvent = {
  SCSI: 0,
  LOGOUT_REQUESTED: 1,
  CONNECTION_DROPPED: 2,
  SESSION_DROPPED: 3,
  NEGOTIATION_REQUESTED: 4,
  TASKS_TERMINATED: 5,
  VENDOR: 255,
} as const

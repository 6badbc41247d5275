import { bits, bytes, reserved, reservedBits, u32, type Value } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** SNACK Request, initiator to target. RFC 7143 11.16. */
export const snackRequest = pdu('SNACK Request', Opcode.SNACK_REQUEST, '11.16', {
  fields: {
    type: bits(1, 3, 0, '11.16.1'),
    lun: bytes(8, 8),
    initiatorTaskTag: u32(16),
    targetTransferTag: u32(20, 'of a Data-In with the A bit; or SNACK Tag'),
    expStatSn: u32(28),
    begRun: u32(40, 'DataSN, R2TSN or StatSN of the first'),
    runLength: u32(44, '0: all from there on'),
  },
  constants: [alwaysFinal],
  reserved: [reservedBits(1, 6, 4), reserved(2, 2), reserved(24, 4), reserved(32, 8)],
})
export type SnackRequest = Value<typeof snackRequest>

/** RFC 7143 11.16.1. */
export const SnackType = {
  DATA_OR_R2T: 0,
  STATUS: 1,
  DATA_ACK: 2,
  R_DATA: 3,
} as const

import { bits, bytes, reserved, reservedBits, u32 } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/**
 * SNACK Request, initiator to target. RFC 7143 11.16. Only read here, to reject it by name:
 * ErrorRecoveryLevel is 0 and nothing is retransmitted.
 */
export const snackRequest = pdu('SNACK Request', Opcode.SNACK_REQUEST, '11.16', {
  fields: {
    type: bits(1, 3, 0),
    lun: bytes(8, 8),
    initiatorTaskTag: u32(16),
    targetTransferTag: u32(20, 'or SNACK Tag'),
    expStatSn: u32(28),
    begRun: u32(40),
    runLength: u32(44),
  },
  constants: [alwaysFinal],
  reserved: [reservedBits(1, 6, 4), reserved(2, 2), reserved(24, 4), reserved(32, 8)],
})

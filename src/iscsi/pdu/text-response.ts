import { bit, bytes, reserved, reservedBits, u32 } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { pdu } from './pdu.ts'

/** Text Response, target to initiator. RFC 7143 11.11. */
export const textResponse = pdu('Text Response', Opcode.TEXT_RESPONSE, '11.11', {
  fields: {
    final: bit(1, 7, 'F: the exchange is over; TargetTransferTag is ffffffff'),
    continues: bit(1, 6, 'C: the text goes on in the next response'),
    lun: bytes(8, 8),
    initiatorTaskTag: u32(16),
    targetTransferTag: u32(20, 'the next request of this exchange carries it'),
    statSn: u32(24),
    expCmdSn: u32(28),
    maxCmdSn: u32(32),
  },
  reserved: [reservedBits(1, 5, 0), reserved(2, 2), reserved(36, 12)],
})

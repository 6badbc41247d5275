import { bit, bytes, reserved, reservedBits, u32, type Value } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { pdu } from './pdu.ts'

/** Text Request, initiator to target; the data segment holds key=value pairs. RFC 7143 11.10. */
export const textRequest = pdu('Text Request', Opcode.TEXT_REQUEST, '11.10', {
  fields: {
    final: bit(1, 7, 'F: the initiator has nothing more to negotiate'),
    continues: bit(1, 6, 'C: the text goes on in the next request'),
    lun: bytes(8, 8, 'where the TargetTransferTag is valid: as in the response'),
    initiatorTaskTag: u32(16),
    targetTransferTag: u32(20, 'ffffffff begins a new exchange'),
    cmdSn: u32(24),
    expStatSn: u32(28),
  },
  reserved: [reservedBits(1, 5, 0), reserved(2, 2), reserved(32, 16)],
})
export type TextRequest = Value<typeof textRequest>

import { bytes, reserved, reservedBits, u32 } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** NOP-Out, initiator to target: a ping, or the answer to one. RFC 7143 11.18. */
export const nopOut = pdu('NOP-Out', Opcode.NOP_OUT, '11.18', {
  fields: {
    lun: bytes(8, 8, 'copied from the NOP-In that is answered'),
    initiatorTaskTag: u32(16, 'ffffffff: no answer wanted'),
    targetTransferTag: u32(20, 'copied from the NOP-In that is answered, or ffffffff'),
    cmdSn: u32(24),
    expStatSn: u32(28),
  },
  constants: [alwaysFinal],
  reserved: [reservedBits(1, 6, 0), reserved(2, 2), reserved(32, 16)],
})

import { bytes, reserved, reservedBits, u32 } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** NOP-In, target to initiator: a ping, or the answer to one. RFC 7143 11.19. */
export const nopIn = pdu('NOP-In', Opcode.NOP_IN, '11.19', {
  fields: {
    lun: bytes(8, 8, 'only where an answer is wanted'),
    initiatorTaskTag: u32(16, 'copied from the NOP-Out that is answered, or ffffffff'),
    targetTransferTag: u32(20, 'ffffffff: no answer wanted'),
    statSn: u32(24, 'advanced only by the answer to a NOP-Out'),
    expCmdSn: u32(28),
    maxCmdSn: u32(32),
  },
  constants: [alwaysFinal],
  reserved: [reservedBits(1, 6, 0), reserved(2, 2), reserved(36, 12)],
})

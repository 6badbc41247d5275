import { bit, reserved, reservedBits, u8, u32 } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** SCSI Response, target to initiator; sense is its data segment. RFC 7143 11.4. */
export const scsiResponse = pdu('SCSI Response', Opcode.SCSI_RESPONSE, '11.4', {
  fields: {
    bidirectionalOverflow: bit(1, 4, 'o: of the read part of a bidirectional command'),
    bidirectionalUnderflow: bit(1, 3, 'u: of the read part of a bidirectional command'),
    overflow: bit(1, 2, 'O: residualCount bytes did not fit'),
    underflow: bit(1, 1, 'U: residualCount bytes were not transferred'),
    response: u8(2, '0 completed at target, 1 target failure, 11.4.3'),
    status: u8(3, 'SCSI status, 11.4.2'),
    initiatorTaskTag: u32(16),
    snackTag: u32(20),
    statSn: u32(24),
    expCmdSn: u32(28),
    maxCmdSn: u32(32),
    expDataSn: u32(36, 'Data-In and R2T PDUs sent for this command'),
    bidirectionalReadResidualCount: u32(40),
    residualCount: u32(44, 'bytes'),
  },
  constants: [alwaysFinal],
  reserved: [reservedBits(1, 6, 5), reservedBits(1, 0, 0), reserved(8, 8)],
})

import { bit, bytes, reserved, reservedBits, u8, u32 } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { pdu } from './pdu.ts'

/** SCSI Data-In, target to initiator. RFC 7143 11.7. */
export const dataIn = pdu('SCSI Data-In', Opcode.DATA_IN, '11.7', {
  fields: {
    final: bit(1, 7, 'F: last PDU of a sequence'),
    acknowledge: bit(1, 6, 'A: asks for a DataACK; ErrorRecoveryLevel 1 and up'),
    overflow: bit(1, 2, 'O: as in SCSI Response, only with S'),
    underflow: bit(1, 1, 'U: as in SCSI Response, only with S'),
    hasStatus: bit(1, 0, 'S: status, statSn and residualCount are valid; no SCSI Response follows'),
    status: u8(3),
    lun: bytes(8, 8),
    initiatorTaskTag: u32(16),
    targetTransferTag: u32(20, 'ffffffff unless the A bit is set'),
    statSn: u32(24, 'only with S'),
    expCmdSn: u32(28),
    maxCmdSn: u32(32),
    dataSn: u32(36, 'counts from 0 over the whole command'),
    bufferOffset: u32(40, 'bytes'),
    residualCount: u32(44, 'bytes, only with S'),
  },
  reserved: [reservedBits(1, 5, 3), reserved(2)],
})

import { bit, bytes, reserved, reservedBits, u32, type Value } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { pdu } from './pdu.ts'

/** SCSI Data-Out, initiator to target. RFC 7143 11.7. */
export const dataOut = pdu('SCSI Data-Out', Opcode.DATA_OUT, '11.7', {
  fields: {
    final: bit(1, 7, 'F: last PDU of an unsolicited run or of the answer to one R2T'),
    lun: bytes(8, 8),
    initiatorTaskTag: u32(16),
    targetTransferTag: u32(20, 'of the R2T; ffffffff where unsolicited'),
    expStatSn: u32(28),
    dataSn: u32(36, 'counts from 0 for each run'),
    bufferOffset: u32(40, 'bytes, in the whole transfer of the task'),
  },
  reserved: [
    reservedBits(1, 6, 0),
    reserved(2, 2),
    reserved(24, 4),
    reserved(32, 4),
    reserved(44, 4),
  ],
})
export type DataOut = Value<typeof dataOut>

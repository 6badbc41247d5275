import { bit, bits, bytes, reserved, reservedBits, u32, type Value } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { pdu } from './pdu.ts'

/** SCSI Command, initiator to target. RFC 7143 11.3. */
export const scsiCommand = pdu('SCSI Command', Opcode.SCSI_COMMAND, '11.3', {
  fields: {
    final: bit(1, 7, 'F: no unsolicited Data-Out follows'),
    read: bit(1, 6, 'R: data flows to the initiator'),
    write: bit(1, 5, 'W: data flows to the target'),
    attribute: bits(1, 2, 0, 'ATTR: task attribute, 11.3.1'),
    lun: bytes(8, 8),
    initiatorTaskTag: u32(16),
    expectedDataTransferLength: u32(20, 'bytes, for the whole task and not this PDU'),
    cmdSn: u32(24),
    expStatSn: u32(28),
    cdb: bytes(32, 16, 'longer CDBs continue in an AHS'),
  },
  reserved: [reservedBits(1, 4, 3), reserved(2, 2)],
})
export type ScsiCommand = Value<typeof scsiCommand>

/** Task attributes. RFC 7143 11.3.1. */
export const TaskAttribute = {
  UNTAGGED: 0,
  SIMPLE: 1,
  ORDERED: 2,
  HEAD_OF_QUEUE: 3,
  ACA: 4,
} as const

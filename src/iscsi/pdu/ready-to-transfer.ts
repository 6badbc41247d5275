import { bytes, reserved, reservedBits, u32, type Value } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** Ready To Transfer (R2T), target to initiator. RFC 7143 11.8. */
export const readyToTransfer = pdu('Ready To Transfer', Opcode.READY_TO_TRANSFER, '11.8', {
  fields: {
    lun: bytes(8, 8),
    initiatorTaskTag: u32(16),
    targetTransferTag: u32(20, 'the Data-Out PDUs that answer carry it'),
    statSn: u32(24, 'the next StatSN; not advanced by an R2T'),
    expCmdSn: u32(28),
    maxCmdSn: u32(32),
    r2tSn: u32(36, 'counts from 0 over the whole command'),
    bufferOffset: u32(40, 'bytes'),
    desiredDataTransferLength: u32(44, 'bytes, at most MaxBurstLength'),
  },
  constants: [alwaysFinal],
  reserved: [reservedBits(1, 6, 0), reserved(2, 2)],
})
export type ReadyToTransfer = Value<typeof readyToTransfer>

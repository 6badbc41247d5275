import {
  bit,
  bits,
  bytes,
  reserved,
  reservedBits,
  u8,
  u16,
  u32,
  type Value,
} from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { pdu } from './pdu.ts'

/** Login Response, target to initiator. RFC 7143 11.13. */
export const loginResponse = pdu('Login Response', Opcode.LOGIN_RESPONSE, '11.13', {
  fields: {
    transit: bit(1, 7, 'T: the target agrees to go to nextStage'),
    continues: bit(1, 6, 'C: the text goes on in the next response'),
    currentStage: bits(1, 3, 2, 'CSG'),
    nextStage: bits(1, 1, 0, 'NSG, only with T'),
    versionMax: u8(2),
    versionActive: u8(3),
    isid: bytes(8, 6),
    tsih: u16(14, 'assigned with the last response of a leading login'),
    initiatorTaskTag: u32(16),
    statSn: u32(24, 'only with status class 0'),
    expCmdSn: u32(28),
    maxCmdSn: u32(32),
    statusClass: u8(36),
    statusDetail: u8(37),
  },
  reserved: [reservedBits(1, 5, 4), reserved(20, 4), reserved(38, 10)],
})
export type LoginResponse = Value<typeof loginResponse>

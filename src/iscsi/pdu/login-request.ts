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

/** Login Request, initiator to target; always immediate. RFC 7143 11.12. */
export const loginRequest = pdu('Login Request', Opcode.LOGIN_REQUEST, '11.12', {
  fields: {
    transit: bit(1, 7, 'T: the initiator is ready to go to nextStage'),
    continues: bit(1, 6, 'C: the text goes on in the next request'),
    currentStage: bits(1, 3, 2, 'CSG'),
    nextStage: bits(1, 1, 0, 'NSG, only with T'),
    versionMax: u8(2),
    versionMin: u8(3),
    isid: bytes(8, 6),
    tsih: u16(14, '0 asks for a new session'),
    initiatorTaskTag: u32(16, 'one for the whole login'),
    cid: u16(20),
    cmdSn: u32(24),
    expStatSn: u32(28),
  },
  reserved: [reservedBits(1, 5, 4), reserved(22, 2), reserved(32, 16)],
})
export type LoginRequest = Value<typeof loginRequest>

/** Stages of the login, and of the connection after it. RFC 7143 11.12.3. */
export const Stage = {
  SECURITY: 0,
  OPERATIONAL: 1,
  FULL_FEATURE: 3,
} as const

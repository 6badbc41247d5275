import { reserved, reservedBits, u8, u16, u32 } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** Logout Response, target to initiator. RFC 7143 11.15. */
export const logoutResponse = pdu('Logout Response', Opcode.LOGOUT_RESPONSE, '11.15', {
  fields: {
    response: u8(2, '11.15.1'),
    initiatorTaskTag: u32(16),
    statSn: u32(24),
    expCmdSn: u32(28),
    maxCmdSn: u32(32),
    time2Wait: u16(40, 'seconds'),
    time2Retain: u16(42, 'seconds'),
  },
  constants: [alwaysFinal],
  reserved: [
    reservedBits(1, 6, 0),
    reserved(3),
    reserved(8, 8),
    reserved(20, 4),
    reserved(36, 4),
    reserved(44, 4),
  ],
})

/** RFC 7143 11.15.1. */
export const LogoutOutcome = {
  SUCCESS: 0,
  CID_NOT_FOUND: 1,
  RECOVERY_NOT_SUPPORTED: 2,
  CLEANUP_FAILED: 3,
} as const

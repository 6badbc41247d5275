import { bits, reserved, u16, u32, type Value } from '../../wire/layout.ts'
import { Opcode } from './opcode.ts'
import { alwaysFinal, pdu } from './pdu.ts'

/** Logout Request, initiator to target. RFC 7143 11.14. */
export const logoutRequest = pdu('Logout Request', Opcode.LOGOUT_REQUEST, '11.14', {
  fields: {
    reason: bits(1, 6, 0, '11.14.1'),
    initiatorTaskTag: u32(16),
    cid: u16(20, 'not for reason 0'),
    cmdSn: u32(24),
    expStatSn: u32(28),
  },
  constants: [alwaysFinal],
  reserved: [reserved(2, 2), reserved(8, 8), reserved(22, 2), reserved(32, 16)],
})

export type LogoutRequest = Value<typeof logoutRequest>

/** RFC 7143 11.14.1. */
export const LogoutReason = {
  CLOSE_SESSION: 0,
  CLOSE_CONNECTION: 1,
  REMOVE_FOR_RECOVERY: 2,
} as const

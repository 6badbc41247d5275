/**
 * What the first Login Request of a connection asks for: a target, or discovery. It reads the keys
 * of that one PDU and answers nothing but a refusal; the login itself is between the initiator and
 * the storage server. RFC 7143 11.12, 13.4, 13.21.
 */
import { textLimits } from '../../base/limits.ts'
import { encodeFrame } from '../../iscsi/encode-frame.ts'
import { Framer } from '../../iscsi/framer.ts'
import { type LoginRequest, loginRequest } from '../../iscsi/pdu/login-request.ts'
import { loginResponse } from '../../iscsi/pdu/login-response.ts'
import type { LoginStatus } from '../../iscsi/pdu/login-status.ts'
import { Opcode } from '../../iscsi/pdu/opcode.ts'
import { isTextFault, parseText } from '../../iscsi/text.ts'

export type FirstLogin =
  /** More bytes are needed. */
  | { readonly kind: 'more' }
  /** Discovery, or a login that names nothing: for the portal, which knows what to say. */
  | { readonly kind: 'discovery' }
  | { readonly kind: 'normal'; readonly targetName: string; readonly request: LoginRequest }
  /** No login at all. */
  | { readonly kind: 'fault'; readonly why: string }

/** MaxRecvDataSegmentLength before it is negotiated. RFC 7143 13.12. */
const loginSegmentBytes = 8192

export class FirstLoginReader {
  readonly #framer = new Framer({ maxDataSegmentBytes: () => loginSegmentBytes, maxAhsBytes: 0 })

  push(chunk: Buffer): FirstLogin {
    this.#framer.push(chunk)
    const frame = this.#framer.next()
    if (frame === undefined) return { kind: 'more' }
    if (frame.kind !== 'frame') return { kind: 'fault', why: frame.kind }
    if (frame.opcode !== Opcode.LOGIN_REQUEST) {
      return { kind: 'fault', why: `the first PDU has opcode ${frame.opcode}` }
    }
    return readKeys(loginRequest.decode(frame.header, 0), Buffer.concat(frame.data))
  }
}

function readKeys(request: LoginRequest, data: Buffer): FirstLogin {
  // A text that goes on in the next PDU may be cut inside a pair.
  const whole = request.continues ? data.subarray(0, data.lastIndexOf(0) + 1) : data
  const pairs = parseText(whole, textLimits.pairs)
  if (isTextFault(pairs)) return { kind: 'fault', why: pairs.why }
  const keys = new Map(pairs)
  const targetName = keys.get('TargetName')
  if (keys.get('SessionType') === 'Discovery' || targetName === undefined) {
    return { kind: 'discovery' }
  }
  return { kind: 'normal', targetName, request }
}

/** The response that refuses the login. RFC 7143 11.13.5. */
export function refuseLogin(request: LoginRequest, status: LoginStatus): Uint8Array[] {
  const header = Buffer.alloc(48)
  loginResponse.encode(
    {
      transit: false,
      continues: false,
      currentStage: request.currentStage,
      nextStage: 0,
      versionMax: 0,
      versionActive: 0,
      isid: request.isid,
      tsih: request.tsih,
      initiatorTaskTag: request.initiatorTaskTag,
      statSn: 0,
      expCmdSn: request.cmdSn,
      maxCmdSn: request.cmdSn,
      statusClass: status >>> 8,
      statusDetail: status & 0xff,
    },
    header,
    0,
  )
  return encodeFrame(header)
}

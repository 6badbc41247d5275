/**
 * Login Responses and the rules that a single Login Request must obey, target role. RFC 7143 6.3.1,
 * 11.12, 11.13.
 */
import { loginRounds } from '../base/limits.ts'
import { serialAdd } from '../base/serial.ts'
import type { Begun, LoginReply, LoginStep } from './login-state.ts'
import { type LoginRequest, Stage } from './pdu/login-request.ts'
import { loginResponse } from './pdu/login-response.ts'
import { LoginStatus } from './pdu/login-status.ts'

const nothing = Buffer.alloc(0)

interface ReplyFields {
  readonly stage: number
  readonly next?: number
  readonly continues?: boolean
  readonly tsih?: number
  readonly statSn?: number
  readonly status?: number
  readonly windowCommands?: number
  readonly data?: Buffer
}

export function reply(request: LoginRequest, fields: ReplyFields): LoginReply {
  const status = fields.status ?? LoginStatus.SUCCESS
  const header = loginResponse.build({
    transit: fields.next !== undefined,
    continues: fields.continues ?? false,
    currentStage: fields.stage,
    nextStage: fields.next ?? 0,
    versionMax: 0,
    versionActive: 0,
    isid: request.isid,
    tsih: fields.tsih ?? request.tsih,
    initiatorTaskTag: request.initiatorTaskTag,
    statSn: fields.statSn ?? 0,
    // Login requests are immediate: the next command carries the CmdSN that they show.
    expCmdSn: request.cmdSn,
    maxCmdSn: serialAdd(request.cmdSn, (fields.windowCommands ?? 1) - 1),
    statusClass: status >> 8,
    statusDetail: status & 0xff,
  })
  return { header, data: fields.data ?? nothing }
}

export function refuse(
  request: LoginRequest,
  status: number,
  why: string,
  data: Buffer = nothing,
): LoginStep & { kind: 'refuse' } {
  return {
    kind: 'refuse',
    reply: reply(request, { stage: request.currentStage, status, data }),
    status,
    why,
  }
}

/** Rules that a single request must obey. RFC 7143 6.3.1, 11.12.1 to 11.12.3. */
export function faultOfFlags(request: LoginRequest): string | undefined {
  const { currentStage, nextStage, transit, continues } = request
  if (currentStage !== Stage.SECURITY && currentStage !== Stage.OPERATIONAL) return 'no such stage'
  if (!transit) return undefined
  if (continues) return 'T and C bit together'
  if (nextStage !== Stage.OPERATIONAL && nextStage !== Stage.FULL_FEATURE)
    return 'no such next stage'
  return nextStage > currentStage ? undefined : 'next stage is not ahead'
}

export function refuseNew(request: LoginRequest): LoginStep | undefined {
  return request.versionMin > 0
    ? refuse(request, LoginStatus.UNSUPPORTED_VERSION, 'only version 0 is spoken')
    : undefined
}

export function faultOfIdentity(state: Begun, request: LoginRequest): string | undefined {
  const { identity, stage, rounds } = state
  if (!request.isid.equals(identity.isid)) return 'ISID changed'
  if (request.cid !== identity.cid) return 'CID changed'
  if (request.tsih !== identity.tsih) return 'TSIH changed'
  if (request.initiatorTaskTag !== identity.initiatorTaskTag) return 'InitiatorTaskTag changed'
  if (request.currentStage !== stage) return 'not the stage that was agreed'
  return rounds >= loginRounds ? 'too many rounds' : undefined
}

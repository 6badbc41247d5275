/**
 * The login phase, target role, as data: what comes in, what is remembered between requests, and
 * what a step may come to. The steps themselves are in `login-target.ts`. RFC 7143 6.3, 11.12.
 */
import type { ChapTargetState } from './chap-target.ts'
import type { LoginPolicy } from './login-policy.ts'
import type { Settlements } from './negotiation.ts'
import type { LoginRequest, Stage } from './pdu/login-request.ts'
import type { SessionParameters } from './session-parameters.ts'
import type { TextPair, TextParts } from './text.ts'

/** A Login Request as the framer hands it over. */
export interface ReceivedLogin {
  readonly request: LoginRequest
  readonly data: readonly Buffer[]
}

/** A Login Response: header and data segment for `encodeFrame`, without digests. */
export interface LoginReply {
  readonly header: Buffer
  readonly data: Buffer
}

export type LoginStage = typeof Stage.SECURITY | typeof Stage.OPERATIONAL

/** What all requests of one login have in common. RFC 7143 6.3, 11.12.5 to 11.12.8. */
export interface LoginIdentity {
  readonly isid: Buffer
  readonly cid: number
  readonly initiatorTaskTag: number
  /** 0 asks for a new session; otherwise the session that this connection joins. */
  readonly tsih: number
}

export interface Begun {
  readonly policy: LoginPolicy
  readonly identity: LoginIdentity
  readonly stage: LoginStage
  readonly settled: Settlements
  readonly chap: ChapTargetState
  /** Keys of ours that the initiator named, in the order in which they came. */
  readonly keyOrder: readonly string[]
  readonly initiatorMaxRecv: number | undefined
  readonly declaredMaxRecv: boolean
  readonly statSn: number
  readonly rounds: number
}

export type LoginState =
  | { readonly kind: 'new'; readonly policy: LoginPolicy }
  /** Waiting for a request; `text` is what came before it with the C bit. */
  | ({ readonly kind: 'listening'; readonly text: TextParts } & Begun)
  /** Our answer is longer than one PDU: each empty request fetches the next piece. */
  | ({ readonly kind: 'telling'; readonly queue: readonly Buffer[] } & Begun)

/** A login for a session that exists already. RFC 7143 6.3.1, 6.3.4. */
export interface JoinedSession {
  readonly tsih: number
  readonly cid: number
}

export interface LoginFacts {
  /** Of a login that joins a session only what has the scope of a connection counts. */
  readonly parameters: SessionParameters
  /** CmdSN of the first command that this session expects. */
  readonly expCmdSn: number
  /** StatSN of the first response after the login. */
  readonly statSn: number
  /** Present where TSIH was not 0: the connection is added to, or reinstated in, that session. */
  readonly join?: JoinedSession
  /** Name with which the initiator proved itself by CHAP. */
  readonly chapUser?: string
  /** Keys that the initiator named, in the order in which they came. */
  readonly keyOrder: readonly string[]
}

export type LoginStep =
  | { readonly kind: 'respond'; readonly state: LoginState; readonly reply: LoginReply }
  /** All is agreed but the last response; exactly one of the two functions is to be called. */
  | {
      readonly kind: 'decide'
      readonly facts: LoginFacts
      readonly accept: (tsih: number) => LoginReply
      readonly refuse: (status: number, pairs?: readonly TextPair[]) => LoginReply
    }
  /** Send this and close the connection. */
  | {
      readonly kind: 'refuse'
      readonly reply: LoginReply
      readonly status: number
      readonly why: string
    }

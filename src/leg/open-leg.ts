/**
 * Logs a leg in: dial, login, full-feature phase, under one deadline. A refusal by the target is
 * data, and so is every failure; nothing a target does can throw here. Probing a portal is the
 * same with a discovery session that is ended as soon as it stands.
 */
import { toError } from '../base/errors.ts'
import { leg as limits } from '../base/limits.ts'
import type { ChapCredentials } from '../iscsi/chap-initiator.ts'
import type { Frame } from '../iscsi/framer.ts'
import { parseNumber } from '../iscsi/key.ts'
import { keys } from '../iscsi/keys.ts'
import {
  advanceInitiatorLogin,
  beginInitiatorLogin,
  type EstablishedSession,
  type InitiatorLoginState,
  type OutgoingLogin,
} from '../iscsi/login-initiator.ts'
import { type LoginOffer, legOffer } from '../iscsi/login-offer.ts'
import { loginResponse } from '../iscsi/pdu/login-response.ts'
import { describeLoginStatus } from '../iscsi/pdu/login-status.ts'
import { Opcode } from '../iscsi/pdu/opcode.ts'
import type { Clock } from '../ports/clock.ts'
import type { Network } from '../ports/network.ts'
import { Leg } from './leg.ts'
import { type ConnectionHandler, LegConnection } from './leg-connection.ts'

export interface PortalAddress {
  readonly network: Network
  readonly clock: Clock
  readonly address: string
  readonly initiatorName: string
  /** 6 bytes; the same for all sessions of one kind of program. */
  readonly isid: Buffer
  /** We prove ourselves, and log in nowhere that does not ask for it. */
  readonly chap?: ChapCredentials
}

export interface LegOptions extends PortalAddress {
  readonly targetName: string
  /** The generation header is required; the number must be larger than that of every login before. */
  readonly fenced?: { readonly loginNumber: number }
}

export type LegOpening =
  | { readonly kind: 'open'; readonly leg: Leg }
  /** The target answered and said no. */
  | {
      readonly kind: 'refused'
      readonly cause: string
      readonly status: number
      /** The login number that the target knows, where that was the reason. */
      readonly knownLoginNumber?: number
      /** `HOST:PORT` where the session is to be opened instead. */
      readonly elsewhere?: string
    }
  /** Unreachable, silent or broken: the login may still arrive there. */
  | { readonly kind: 'failed'; readonly cause: string }

/** Opens a session. Settles by the login deadline; never rejects. */
export function openLeg(options: LegOptions): Promise<LegOpening> {
  const { fenced, clock } = options
  const offer: LoginOffer = {
    ...offerOf(options),
    sessionType: 'Normal',
    targetName: options.targetName,
    ...(fenced === undefined
      ? { headerDigest: ['CRC32C', 'None'] }
      : { generation: { version: 1, loginNumber: fenced.loginNumber } }),
  }
  return logIn(options, offer, limits.loginDeadlineMs, (connection, session) => {
    const { generationVersion } = session.parameters
    if (fenced !== undefined && generationVersion === 0) {
      const cause = 'the target does not speak the generation header'
      connection.fail(cause)
      return { kind: 'failed', cause }
    }
    return { kind: 'open', leg: new Leg({ connection, clock, session }) }
  })
}

/** Does this portal answer? A discovery session that is ended at once. Never rejects. */
export async function probe(
  portal: PortalAddress & { readonly deadlineMs: number },
): Promise<boolean> {
  const offer: LoginOffer = {
    ...offerOf(portal),
    sessionType: 'Discovery',
    headerDigest: ['CRC32C', 'None'],
  }
  const outcome = await logIn(portal, offer, portal.deadlineMs, (connection) => connection)
  if (!(outcome instanceof LegConnection)) return false
  outcome.close('probed')
  return true
}

function offerOf({ initiatorName, isid, chap }: PortalAddress) {
  const proof = chap === undefined ? {} : { chap }
  return { ...legOffer, ...proof, initiatorName, isid, cid: 0, initiatorTaskTag: 0, cmdSn: 1 }
}

type Failure = LegOpening & { readonly kind: 'refused' | 'failed' }
type Establish<T> = (connection: LegConnection, session: EstablishedSession) => T

async function logIn<T>(
  { network, clock, address }: PortalAddress,
  offer: LoginOffer,
  deadlineMs: number,
  establish: Establish<T>,
): Promise<T | Failure> {
  const startMs = clock.nowMs()
  try {
    const stream = await network.dial(address, deadlineMs)
    const leftMs = Math.max(0, startMs + deadlineMs - clock.nowMs())
    return await new Promise((resolve) => {
      const driver = new LoginDriver(offer, establish, (outcome: T | Failure) => {
        cancel()
        resolve(outcome)
      })
      const cancel = clock.after(leftMs, () => driver.fail('no answer to the login in time'))
      driver.start(new LegConnection(stream, driver))
    })
  } catch (thrown) {
    return { kind: 'failed', cause: toError(thrown).message }
  }
}

/** Drives the pure login steps over one connection, until it is settled once. */
class LoginDriver<T> implements ConnectionHandler {
  readonly #establish: Establish<T>
  readonly #settle: (outcome: T | Failure) => void
  readonly #first: OutgoingLogin
  #state: InitiatorLoginState
  #connection: LegConnection | undefined
  #settled = false

  constructor(offer: LoginOffer, establish: Establish<T>, settle: (outcome: T | Failure) => void) {
    const { state, request } = beginInitiatorLogin(offer)
    this.#state = state
    this.#first = request
    this.#establish = establish
    this.#settle = settle
  }

  start(connection: LegConnection): void {
    this.#connection = connection
    this.#send(this.#first)
  }

  frame(frame: Frame): void {
    const connection = this.#connection
    if (connection === undefined || this.#settled) return
    if (frame.opcode !== Opcode.LOGIN_RESPONSE) {
      this.fail(`PDU ${frame.opcode} during the login`)
      return
    }
    const response = loginResponse.decode(frame.header)
    const step = advanceInitiatorLogin(this.#state, { response, data: frame.data })
    switch (step.kind) {
      case 'request':
        this.#state = step.state
        this.#send(step.request)
        return
      case 'fault':
        this.fail(`broken login response: ${step.why}`)
        return
      case 'refused':
        this.#finish(refusal(step.status, step.keys))
        connection.close('the login was refused')
        return
      case 'established':
        this.#finish(this.#establish(connection, step.session))
    }
  }

  closed(cause: string): void {
    this.#finish({ kind: 'failed', cause })
  }

  fail(cause: string): void {
    this.#finish({ kind: 'failed', cause })
    this.#connection?.fail(cause)
  }

  #send({ header, data }: OutgoingLogin): void {
    this.#connection?.send(header, { immediate: true, data: [data] })
  }

  #finish(outcome: T | Failure): void {
    if (this.#settled) return
    this.#settled = true
    this.#settle(outcome)
  }
}

function refusal(status: number, said: ReadonlyMap<string, string>): Failure {
  const known = parseNumber(said.get(keys.Login.name) ?? '')
  const cause = describeLoginStatus(status)
  const movedTo = status >> 8 === 1 ? said.get(keys.TargetAddress.name) : undefined
  return {
    kind: 'refused',
    cause,
    status,
    ...(known !== undefined && { knownLoginNumber: known }),
    ...(movedTo !== undefined && { elsewhere: movedTo }),
  }
}

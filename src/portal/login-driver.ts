/**
 * One login on one connection: feeds the pure step with requests, asks the host, brings former
 * sessions of the same initiator port to their end, and only then answers. RFC 7143 6.3, 6.3.5. It
 * owns nothing that outlives the login.
 */
import { background } from '../base/background.ts'
import { StorageError } from '../base/errors.ts'
import { encodeFrame } from '../iscsi/encode-frame.ts'
import type { Frame } from '../iscsi/framer.ts'
import type { LoginPolicy } from '../iscsi/login-policy.ts'
import type { JoinedSession, LoginReply, LoginState, LoginStep } from '../iscsi/login-state.ts'
import { advanceLogin, beginLogin } from '../iscsi/login-target.ts'
import { loginRequest } from '../iscsi/pdu/login-request.ts'
import { describeLoginStatus, LoginStatus } from '../iscsi/pdu/login-status.ts'
import { Opcode } from '../iscsi/pdu/opcode.ts'
import { type SessionNames, sessionNames } from '../iscsi/session-parameters.ts'
import type { Log } from '../ports/log.ts'
import type { ByteStream } from '../ports/network.ts'
import type { LoginDecision, LoginRequestFacts, PortalHost } from './portal-host.ts'
import type { Session } from './session.ts'
import type { PortKey, SessionRegistry, WaitingLogin } from './session-registry.ts'

type Decide = LoginStep & { kind: 'decide' }
export type Accepted = LoginDecision & { kind: 'accept' }

/** Bytes of ExpCmdSN and MaxCmdSN in a Login Response. RFC 7143 11.13. */
const expCmdSnByte = 28
const maxCmdSnByte = 32

export interface LoginDriverOptions {
  readonly stream: ByteStream
  readonly policy: LoginPolicy
  readonly host: PortalHost
  readonly registry: SessionRegistry
  readonly log: Log
  /** May another session be opened? */
  readonly hasRoom: () => boolean
  /** Makes the session; from now on frames go there. */
  readonly open: (decided: Decide, order: number, accepted?: Accepted) => Session
  /** Makes the connection one of this session's; from now on frames go there. */
  readonly join: (decided: Decide, session: Session) => void
}

export class LoginDriver implements WaitingLogin {
  readonly order: number
  readonly #options: LoginDriverOptions
  #state: LoginState
  #phase: 'talking' | 'deciding' | 'over' = 'talking'
  #port: PortKey | undefined
  #abandon!: () => void
  readonly #abandoned: Promise<void>

  constructor(options: LoginDriverOptions) {
    this.#options = options
    this.order = options.registry.nextOrder()
    this.#state = beginLogin(options.policy)
    this.#abandoned = new Promise((resolve) => {
      this.#abandon = resolve
    })
  }

  /** The host is thinking about it, or former sessions are coming to their end. */
  get isDeciding(): boolean {
    return this.#phase === 'deciding'
  }

  receive(frame: Frame): void {
    if (this.#phase === 'over') return
    if (frame.opcode !== Opcode.LOGIN_REQUEST || this.#phase === 'deciding') {
      // RFC 7143 6.3: nothing but login requests, one at a time, before the login is over.
      this.#giveUp('a PDU that has no place in a login')
      return
    }
    const request = loginRequest.decode(frame.header)
    const step = advanceLogin(this.#state, { request, data: frame.data })
    switch (step.kind) {
      case 'respond':
        this.#state = step.state
        this.#send(step.reply)
        return
      case 'refuse':
        this.#refuse(step.reply, step.status, step.why)
        return
      case 'decide':
        this.#phase = 'deciding'
        background(this.#decide(step), (error) => {
          this.#giveUp(error.message)
        })
    }
  }

  supersede(): void {
    this.#giveUp('a newer login of the same initiator port')
  }

  /** The connection is gone, or its time is up: the login is not answered any more. */
  abandon(): void {
    if (this.#phase === 'over') return
    this.#end()
  }

  #end(): void {
    this.#phase = 'over'
    this.#abandon()
    if (this.#port !== undefined) this.#options.registry.release(this.#port, this)
  }

  #giveUp(cause: string): void {
    if (this.#phase === 'over') return
    this.#log('login given up', { cause })
    this.#end()
    this.#options.stream.destroy()
  }

  async #decide(step: Decide): Promise<void> {
    const { parameters, join } = step.facts
    if (join !== undefined) {
      await this.#join(step, join)
      return
    }
    if (!this.#options.hasRoom()) {
      this.#refuse(step.refuse(LoginStatus.OUT_OF_RESOURCES), LoginStatus.OUT_OF_RESOURCES)
      return
    }
    if (parameters.sessionType === 'Discovery') {
      this.#accept(step)
      return
    }
    const names = sessionNames(parameters)
    const decision = await this.#ask(step, names)
    if (this.#over) return
    if (decision.kind === 'refuse') {
      this.#refuse(step.refuse(decision.status, decision.keys), decision.status)
      return
    }
    const port = { ...names, portalGroupTag: this.#options.policy.portalGroupTag }
    if (!this.#options.registry.claim(port, this)) {
      this.supersede()
      return
    }
    this.#port = port
    // A newer login may have superseded this one in the very turn in which the wait ended.
    if ((await this.#reinstate(port)) && !this.#over) this.#accept(step, decision)
  }

  /** A connection for a session that exists: added to it, or in place of a former one. */
  async #join(step: Decide, { tsih, cid }: JoinedSession): Promise<void> {
    const session = this.#options.registry.get(tsih)
    const refusal = this.#joinRefusal(step, session)
    if (session === undefined || refusal !== undefined) {
      const status = refusal ?? LoginStatus.SESSION_DOES_NOT_EXIST
      this.#refuse(step.refuse(status), status)
      return
    }
    await Promise.race([session.reinstate(cid), this.#abandoned])
    const changed = this.#joinRefusal(step, session)
    if (this.#over || changed !== undefined) {
      session.notJoined()
      if (!this.#over && changed !== undefined) this.#refuse(step.refuse(changed), changed)
      return
    }
    this.#end()
    this.#options.join(step, session)
    const reply = step.accept(tsih)
    // The window is the session's: other connections have moved it. RFC 7143 11.13.4.
    reply.header.writeUInt32BE(session.order.window.expCmdSn, expCmdSnByte)
    reply.header.writeUInt32BE(session.order.window.maxCmdSn, maxCmdSnByte)
    this.#send(reply)
  }

  #joinRefusal(step: Decide, session: Session | undefined): LoginStatus | undefined {
    if (session === undefined) return LoginStatus.SESSION_DOES_NOT_EXIST
    return this.#outsider(session, step)
      ? LoginStatus.CANNOT_INCLUDE_IN_SESSION
      : session.refusal(step.facts)
  }

  /** RFC 7143 4.4.3: a session belongs to one portal group; here also to one CHAP user. */
  #outsider(session: Session, { facts }: Decide): boolean {
    const { portalGroupTag } = this.#options.policy
    const { chapUser } = session.describe()
    return session.portalGroupTag !== portalGroupTag || chapUser !== facts.chapUser
  }

  /** A host that fails is our own trouble, not the initiator's. */
  async #ask(step: Decide, names: SessionNames): Promise<LoginDecision> {
    const { parameters } = step.facts
    const { stream, policy, registry, host, log } = this.#options
    const facts: LoginRequestFacts = {
      ...names,
      portalAddress: stream.localAddress,
      portalGroupTag: policy.portalGroupTag,
      remoteAddress: stream.remoteAddress,
      generationVersion: parameters.generationVersion,
      loginNumber: parameters.loginNumber,
      sessions: registry.ofTarget(names.targetName),
      abandoned: () => this.#over,
    }
    try {
      return await host.login(facts)
    } catch (thrown) {
      if (!(thrown instanceof StorageError)) throw thrown
      log.error('login failed', { ...names, error: thrown })
      return { kind: 'refuse', status: LoginStatus.TARGET_ERROR }
    }
  }

  /** Ends former sessions of this port and waits for what they began; false: given up meanwhile. */
  async #reinstate(port: PortKey): Promise<boolean> {
    const { registry } = this.#options
    for (;;) {
      const former = registry.ofPort(port)
      if (former.length === 0) return !this.#over
      for (const session of former) session.end('the initiator port logged in anew')
      await Promise.race([Promise.all(former.map(({ ended }) => ended)), this.#abandoned])
      if (this.#over) return false
    }
  }

  #accept(step: Decide, accepted?: Accepted): void {
    this.#end()
    const session = this.#options.open(step, this.order, accepted)
    this.#send(step.accept(session.handle))
  }

  #refuse(reply: LoginReply, status: number, why?: string): void {
    this.#log('login refused', { status: describeLoginStatus(status), why })
    this.#send(reply)
    this.#end()
    this.#options.stream.close()
  }

  #send(reply: LoginReply): void {
    this.#options.stream.write(encodeFrame(reply.header, { data: [reply.data] }))
  }

  get #over(): boolean {
    return this.#phase === 'over'
  }

  #log(event: string, fields: Readonly<Record<string, unknown>>): void {
    const { stream, log } = this.#options
    log.info(event, { from: stream.remoteAddress, ...fields })
  }
}

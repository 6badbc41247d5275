/**
 * One connection from an initiator: bytes to frames, frames to the login and then to the session.
 * It owns the framer, and whether the stream is read: reading stops while the peer does not take
 * what it is sent.
 */
import { background } from '../base/background.ts'
import { portal } from '../base/limits.ts'
import { type Frame, type FrameFault, Framer } from '../iscsi/framer.ts'
import type { LoginPolicy } from '../iscsi/login-policy.ts'
import type { SendTargetsRecord } from '../iscsi/send-targets.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { ByteStream, StreamReceiver } from '../ports/network.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { HalfOpen, HalfOpenLogins } from './half-open.ts'
import type { KeptBudget } from './kept-budget.ts'
import { LoginDriver } from './login-driver.ts'
import type { PortalHost } from './portal-host.ts'
import { readShareBytes } from './read-share.ts'
import { Session } from './session.ts'
import type { Link, SessionConnection } from './session-connection.ts'
import type { SessionRegistry } from './session-registry.ts'

/** AHS that we understand are 12 and 20 bytes; more than this is no honest peer's. */
const maxAhsBytes = 1020
/** Until the login has agreed on more. RFC 7143 13.12. */
const loginSegmentBytes = 8192

export interface ConnectionOptions {
  readonly stream: ByteStream
  readonly policy: LoginPolicy
  readonly host: PortalHost
  /** SendTargets, as it is answered to this initiator on this connection. */
  readonly discover: (initiatorName: string) => readonly SendTargetsRecord[]
  readonly registry: SessionRegistry
  readonly writeBudget: ByteBudget
  readonly keptBudget: KeptBudget
  readonly clock: Clock
  readonly log: Log
  /** Where it is counted until its login is over, well or not. */
  readonly logins: HalfOpenLogins
}

export class Connection implements StreamReceiver, HalfOpen {
  readonly remoteHost: string
  readonly #options: ConnectionOptions
  readonly #framer: Framer
  readonly #login: LoginDriver
  readonly #cancelDeadline: Cancel
  #writeBudget: ByteBudget
  #member: SessionConnection | undefined
  #maxDataSegmentBytes = loginSegmentBytes
  #waitingForDrain = false

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#writeBudget = options.writeBudget
    const { remoteAddress } = options.stream
    this.remoteHost = remoteAddress.slice(0, remoteAddress.lastIndexOf(':'))
    const { stream, policy, host, registry, clock, log } = options
    this.#framer = new Framer({ maxDataSegmentBytes: () => this.#maxDataSegmentBytes, maxAhsBytes })
    this.#login = new LoginDriver({
      stream,
      policy,
      host,
      registry,
      log,
      hasRoom: () => registry.size < portal.sessions,
      open: (decided, order, accepted) => {
        this.#writeBudget = accepted?.writeBudget ?? options.writeBudget
        const session = new Session({
          handle: registry.nextHandle(),
          login: decided.facts,
          portalGroupTag: policy.portalGroupTag,
          windowCommands: policy.windowCommands,
          link: this.#link(),
          ...(accepted === undefined ? {} : { target: accepted.target }),
          discover: () => options.discover(decided.facts.parameters.initiatorName),
          writeBudget: this.#writeBudget,
          clock,
          log,
          shareBytes: () => readShareBytes(registry.size),
          keptBudget: options.keptBudget,
          sessionsOf: (targetName) => registry.ofTarget(targetName),
          gone: (gone) => registry.remove(gone),
        })
        registry.add(session, order)
        this.#enter(session.leading)
        return session
      },
      join: (decided, session) => this.#enter(session.join(decided.facts, this.#link())),
    })
    this.#cancelDeadline = clock.after(portal.loginDeadlineMs, () => this.#tooLate())
    options.logins.add(this)
    stream.receive(this)
  }

  get isDeciding(): boolean {
    return this.#login.isDeciding
  }

  /** A login that is not over is given up. */
  abandon(): void {
    if (this.#member !== undefined) return
    this.#login.abandon()
    this.#options.stream.destroy()
  }

  data(chunk: Buffer): void {
    this.#framer.push(chunk)
    this.#readFrames()
  }

  ended(cause?: Error): void {
    this.#settle()
    this.#login.abandon()
    this.#member?.streamEnded(cause?.message ?? 'the connection was closed')
  }

  /** One chunk may hold a thousand requests, each for more than the peer takes. */
  #readFrames(): void {
    const { stream } = this.#options
    while (!this.#waitingForDrain || stream.queuedBytes < portal.sessionReadBytes) {
      if (this.#member?.isFlooding === true) {
        this.#waitForMemory()
        return
      }
      const frame = this.#framer.next()
      if (frame === undefined) return
      if (frame.kind === 'frame') this.#dispatch(frame)
      else if (!this.#fault(frame)) return
    }
  }

  #dispatch(frame: Frame): void {
    if (this.#member !== undefined) {
      this.#member.receive(frame)
      return
    }
    this.#options.logins.progressed(this)
    this.#login.receive(frame)
  }

  /** False when the stream cannot be understood any more. RFC 7143 7.7, 7.8. */
  #fault(fault: FrameFault): boolean {
    const { stream, log } = this.#options
    const member = this.#member
    if (fault.kind === 'passed-over') {
      log.warn('PDU passed over', { from: stream.remoteAddress, cause: 'header digest' })
      return true
    }
    if (fault.kind === 'data-digest' && member !== undefined && fault.header !== undefined) {
      member.dataDigestError(fault.header)
      return true
    }
    log.warn('connection broken off', { from: stream.remoteAddress, cause: fault.kind })
    if (member !== undefined && fault.header !== undefined) {
      member.protocolError(fault.header, fault.kind)
    } else {
      stream.destroy()
    }
    return false
  }

  #link(): Link {
    return { stream: this.#options.stream, full: () => this.#holdBack() }
  }

  #enter(member: SessionConnection): void {
    const { parameters } = member
    this.#member = member
    this.#maxDataSegmentBytes = parameters.targetMaxRecvDataSegmentBytes
    this.#framer.setDigests({
      header: parameters.headerDigest,
      data: parameters.dataDigest,
      passesOver: parameters.errorRecoveryLevel > 0,
    })
    this.#settle()
  }

  #settle(): void {
    this.#cancelDeadline()
    this.#options.logins.delete(this)
  }

  #tooLate(): void {
    const { stream, log } = this.#options
    if (this.#member !== undefined) return
    log.info('login given up', { from: stream.remoteAddress, cause: 'it took too long' })
    this.abandon()
  }

  /** Its own data, or those of others, have to be worked off first. */
  #waitForMemory(): void {
    this.#options.stream.pause()
    this.#writeBudget.whenGiven(this.#memoryAgain)
  }

  readonly #memoryAgain = (): void => {
    if (!this.#waitingForDrain) this.#options.stream.resume()
    this.#readFrames()
  }

  #holdBack(): void {
    if (this.#waitingForDrain) return
    this.#waitingForDrain = true
    const { stream } = this.#options
    stream.pause()
    const resume = (): void => {
      this.#waitingForDrain = false
      stream.resume()
      this.#member?.drained()
      this.#readFrames()
    }
    background(stream.drained().then(resume), () => stream.destroy())
  }
}

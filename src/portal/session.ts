/**
 * One session in full-feature phase (RFC 7143 4.2.5.1, 6.3): what its connections have in common.
 * It owns the order of commands and the proofs that its initiator lives; which connections belong to
 * it is `Membership`'s affair, tasks belong to the connection to which they are allegiant.
 */
import { portal } from '../base/limits.ts'
import type { Frame } from '../iscsi/framer.ts'
import { type InitiatorProfile, initiatorProfile } from '../iscsi/initiator-profile.ts'
import type { LoginFacts } from '../iscsi/login-state.ts'
import { AsyncEvent } from '../iscsi/pdu/async-message.ts'
import { LoginStatus } from '../iscsi/pdu/login-status.ts'
import { RejectReason } from '../iscsi/pdu/reject.ts'
import type { SendTargetsRecord } from '../iscsi/send-targets.ts'
import { type SessionParameters, sessionNames } from '../iscsi/session-parameters.ts'
import type { Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Nexus } from '../scsi/logical-unit.ts'
import type { ScsiTarget } from '../scsi/scsi-target.ts'
import { reassign } from './allegiance.ts'
import { ByteBudget } from './byte-budget.ts'
import { CommandOrder } from './command-order.ts'
import type { KeptBudget } from './kept-budget.ts'
import { answerLogout } from './logout.ts'
import { Membership } from './membership.ts'
import type { FrontSession, PortalTask, SessionDescription } from './portal-host.ts'
import { type Link, SessionConnection, type SessionDuties } from './session-connection.ts'
import type { CommandTask } from './task.ts'
import {
  Aborting,
  type AskingSession,
  type ManagedSession,
  manageTasks,
  noSessions,
} from './task-management.ts'

export interface SessionOptions {
  readonly handle: number
  readonly login: LoginFacts
  readonly portalGroupTag: number
  readonly windowCommands: number
  /** The connection of the leading login. */
  readonly link: Link
  /** Absent in a discovery session. */
  readonly target?: ScsiTarget<PortalTask>
  readonly discover: () => readonly SendTargetsRecord[]
  /** Write data of all sessions of the program. */
  readonly writeBudget: ByteBudget
  readonly clock: Clock
  readonly log: Log
  /** Read data that one session may have under way now. */
  readonly shareBytes: () => number
  /** Sent responses of all sessions of the program, kept to be sent again. */
  readonly keptBudget: KeptBudget
  /** All sessions with a target, this one included. */
  readonly sessionsOf: (targetName: string) => readonly ManagedSession[]
  /** Called once when the session has ended altogether. */
  readonly gone: (session: Session) => void
}

export class Session implements FrontSession, SessionDuties, AskingSession {
  readonly nexus: Nexus
  readonly handle: number
  readonly portalGroupTag: number
  readonly generationVersion: number
  /** As the leading login left them. */
  readonly parameters: SessionParameters
  readonly ended: Promise<void>
  readonly order: CommandOrder
  /** The connection of the leading login: frames of its stream go there. */
  readonly leading: SessionConnection
  readonly #options: SessionOptions
  readonly #profile: InitiatorProfile
  readonly #writeBudget: ByteBudget
  readonly #members: Membership
  readonly #pings = new Set<(answered: boolean) => void>()
  /** The newest proof of connections that are gone. */
  #provenAtMs = Number.NEGATIVE_INFINITY
  #managing = 0
  #phase: 'open' | 'ending' | 'ended' = 'open'
  #resolveEnded!: () => void

  constructor(options: SessionOptions) {
    const { login, target, writeBudget } = options
    this.#options = options
    this.#profile = initiatorProfile(login.parameters.initiatorName, login.keyOrder)
    this.handle = options.handle
    this.portalGroupTag = options.portalGroupTag
    this.parameters = login.parameters
    this.generationVersion = login.parameters.generationVersion
    const { portalGroupTag } = options
    this.nexus = { ...sessionNames(login.parameters), portalGroupTag }
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.order = new CommandOrder({
      expCmdSn: login.expCmdSn,
      windowCommands: options.windowCommands,
    })
    this.#writeBudget = new ByteBudget(portal.sessionWriteBytes, writeBudget)
    this.#members = new Membership({
      parameters: login.parameters,
      order: this.order,
      clock: options.clock,
      gone: ({ pinger }) => {
        this.#provenAtMs = Math.max(this.#provenAtMs, pinger.provenAtMs)
      },
      over: (cause) => this.#finish(cause, () => undefined),
      log: (event, fields) => options.log.info(event, { ...this.#name(), ...fields }),
    })
    this.leading = this.#member(login.parameters, login.statSn, options.link)
    target?.nexusGained(this.nexus)
    if (target !== undefined) {
      const about = { profile: this.#profile, chapUser: login.chapUser }
      options.log.info('session opened', { ...this.#name(), ...about })
    }
  }

  get provenAtMs(): number {
    let newest = this.#provenAtMs
    for (const { pinger } of this.#members.all) newest = Math.max(newest, pinger.provenAtMs)
    return newest
  }

  get portalAddresses(): readonly string[] {
    return this.#members.all.map(({ localAddress }) => localAddress)
  }

  get idle(): boolean {
    return this.#members.all.every(({ tasks }) => tasks === undefined || tasks.all().length === 0)
  }

  distrust(): void {
    this.#provenAtMs = Number.NEGATIVE_INFINITY
    for (const { pinger } of this.#members.all) pinger.distrust()
  }

  describe(): SessionDescription {
    const { login } = this.#options
    const { initiatorName, initiatorAlias, headerDigest, dataDigest } = this.parameters
    return {
      initiatorName,
      ...(initiatorAlias === undefined ? {} : { initiatorAlias }),
      profile: this.#profile,
      addresses: this.#members.open.map(({ remoteAddress }) => remoteAddress),
      portalGroupTag: this.portalGroupTag,
      headerDigest,
      dataDigest,
      errorRecoveryLevel: this.parameters.errorRecoveryLevel,
      ...(login.chapUser === undefined ? {} : { chapUser: login.chapUser }),
    }
  }

  ping(): Promise<boolean> {
    if (this.#phase !== 'open') return Promise.resolve(false)
    return new Promise((resolve) => {
      const settle = (answered: boolean): void => {
        this.#pings.delete(settle)
        resolve(answered)
      }
      this.#pings.add(settle)
      for (const member of this.#members.all) this.#pingOver(member)
    })
  }

  get others(): readonly ManagedSession[] {
    if (this.generationVersion > 0) return noSessions
    return this.#options.sessionsOf(this.nexus.targetName).filter((each) => each !== this)
  }

  tasks(): CommandTask[] {
    return this.#members.tasks()
  }

  find(initiatorTaskTag: number): CommandTask | undefined {
    return this.#members.find(initiatorTaskTag)
  }

  inUse(initiatorTaskTag: number, except: SessionConnection): boolean {
    return this.#members.inUse(initiatorTaskTag, except)
  }

  /** Why this login cannot become one of its connections; undefined: it can. RFC 7143 6.3.1. */
  refusal({ parameters }: LoginFacts): LoginStatus | undefined {
    if (this.#phase !== 'open') return LoginStatus.SESSION_DOES_NOT_EXIST
    const { initiatorPort, targetName } = sessionNames(parameters)
    const isSame =
      initiatorPort === this.nexus.initiatorPort && targetName === this.nexus.targetName
    if (!isSame || this.#options.target === undefined) return LoginStatus.CANNOT_INCLUDE_IN_SESSION
    // Legs have one connection, and nothing is recovered within them. Design 3.
    const hasRoom = this.generationVersion === 0 && this.#members.hasRoom(parameters.cid)
    return hasRoom ? undefined : LoginStatus.TOO_MANY_CONNECTIONS
  }

  /** Before a connection joins: see `Membership.reinstate`. `join` or `notJoined` is to follow. */
  reinstate(cid: number): Promise<void> {
    return this.#members.reinstate(cid)
  }

  /** The connection that was awaited does not come. */
  notJoined(): void {
    this.#members.arrived()
  }

  /** Adds a connection. RFC 7143 6.3.1: what holds for the session was settled by its first. */
  join(login: LoginFacts, link: Link): SessionConnection {
    const { cid, headerDigest, dataDigest } = login.parameters
    const { initiatorMaxRecvDataSegmentBytes, targetMaxRecvDataSegmentBytes } = login.parameters
    const own = { cid, headerDigest, dataDigest }
    const limits = { initiatorMaxRecvDataSegmentBytes, targetMaxRecvDataSegmentBytes }
    const member = this.#member({ ...this.parameters, ...own, ...limits }, login.statSn, link)
    this.#members.arrived()
    this.#options.log.info('connection added', { ...this.#name(), cid })
    if (this.#pings.size > 0) this.#pingOver(member)
    return member
  }

  inOrder(frame: Frame, from: SessionConnection): void {
    if (this.#phase !== 'open') return
    if (frame.immediate) from.process(frame)
    else this.order.arrive(frame, from)
  }

  manage(frame: Frame, from: SessionConnection): void {
    const { clock, target } = this.#options
    const tooMany = this.#managing >= portal.immediateCommands
    if (target === undefined || tooMany) {
      const { TOO_MANY_IMMEDIATE_COMMANDS, COMMAND_NOT_SUPPORTED } = RejectReason
      from.freeSlot(frame)
      const reason = tooMany ? TOO_MANY_IMMEDIATE_COMMANDS : COMMAND_NOT_SUPPORTED
      from.sender.reject(reason, frame.header)
      return
    }
    this.#managing++
    const options = {
      session: this,
      target,
      sender: from.sender,
      clock,
      reassign: (request: Parameters<typeof reassign>[0]) =>
        reassign(request, this.#members.all, from),
      whenOthersHeard: (done: () => void) => this.#whenOthersHeard(from, done),
    }
    manageTasks(frame.header, options, () => {
      this.#managing--
      from.freeSlot(frame)
    })
  }

  logout(frame: Frame, from: SessionConnection): void {
    const close = (): void => this.close('logout')
    const { clock } = this.#options
    answerLogout(frame.header, { members: this.#members, close, from, clock })
  }

  abortTasks(lun: number): Promise<void> {
    return this.#abort([this], lun)
  }

  abortTasksOf(initiatorPorts: readonly string[], lun: number): Promise<void> {
    const theirs = this.others.filter(({ nexus }) => initiatorPorts.includes(nexus.initiatorPort))
    return this.#abort(theirs, lun)
  }

  #abort(sessions: readonly ManagedSession[], lun: number): Promise<void> {
    return new Promise((resolve) => {
      const aborting = new Aborting(this.#options.clock, () => resolve())
      for (const task of sessions.flatMap((session) => session.tasks())) {
        if (task.lun === lun) aborting.add(task)
      }
      aborting.begun()
    })
  }

  lost(member: SessionConnection, cause: string): void {
    this.#members.lost(member, cause)
  }

  /** Looked at now and then: silent peers, overdue data. */
  sweep(): void {
    this.#members.sweep()
  }

  /** Tells the initiator that the target goes away. RFC 7143 11.9.1. */
  requestLogout(withinMs: number): void {
    this.#members.requestLogout(withinMs)
  }

  /** Ends at once. */
  end(cause: string): void {
    this.#finish(cause, (member) => member.destroyStream())
  }

  close(cause: string): void {
    this.#finish(cause, (member) => member.closeStream())
  }

  /** Ends, and says so: the target drops the session. RFC 7143 11.9.1. */
  dropSession(cause: string): void {
    const { defaultTime2Wait } = this.parameters
    this.#finish(cause, (member) => {
      if (member.phase === 'open') {
        member.notify(AsyncEvent.SESSION_DROPPED, [0, defaultTime2Wait, 0])
      }
      member.closeStream()
    })
  }

  /** For the log. */
  #name(): Readonly<Record<string, unknown>> {
    const { initiatorPort, targetName } = this.nexus
    return { initiatorPort, targetName, handle: this.handle }
  }

  #member(parameters: SessionParameters, statSn: number, link: Link): SessionConnection {
    const { target, discover, shareBytes, keptBudget, clock, log } = this.#options
    const member = new SessionConnection({
      duties: this,
      session: this,
      parameters,
      statSn,
      link,
      window: this.order.window,
      target,
      discover,
      writeBudget: this.#writeBudget,
      shareBytes,
      keptBudget,
      clock,
      log,
    })
    this.#members.add(member)
    return member
  }

  #pingOver(member: SessionConnection): void {
    const asked = [...this.#pings]
    void member.pinger.ping().then((answered) => {
      if (answered) for (const settle of asked) settle(true)
    })
  }

  /** RFC 7143 4.2.3.3 (d). */
  #whenOthersHeard(from: SessionConnection, done: () => void): void {
    const others = this.#members.open.filter((each) => each !== from)
    if (others.length === 0) {
      done()
      return
    }
    let isDone = false
    const once = (): void => {
      if (isDone) return
      isDone = true
      cancel()
      done()
    }
    const cancel = this.#options.clock.after(portal.othersHeardMs, once)
    void Promise.all(others.map(({ pinger }) => pinger.ping())).then(once)
  }

  #finish(cause: string, endStream: (member: SessionConnection) => void): void {
    if (this.#phase !== 'open') return
    this.#phase = 'ending'
    const { log, target } = this.#options
    if (target !== undefined) log.info('session ends', { ...this.#name(), cause })
    for (const settle of [...this.#pings]) settle(false)
    this.#members.end(endStream, () => this.#over())
  }

  #over(): void {
    this.#phase = 'ended'
    this.#options.target?.nexusLost(this.nexus)
    this.#options.gone(this)
    this.#resolveEnded()
  }
}

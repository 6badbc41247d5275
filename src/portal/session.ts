/**
 * One session in full-feature phase, with all its connections (RFC 7143 4.2.5.1, 6.3, 8.2): who
 * belongs to it, what becomes of the tasks of a connection that is lost, and when it is over. It
 * owns the order of commands; tasks belong to the connection to which they are allegiant.
 *
 * At ErrorRecoveryLevel 2 a lost connection leaves its tasks for Time2Wait + Time2Retain; below, they
 * end with it. A session with no connection left, and none to come back, is over.
 */
import { portal } from '../base/limits.ts'
import type { Frame } from '../iscsi/framer.ts'
import { type InitiatorProfile, initiatorProfile } from '../iscsi/initiator-profile.ts'
import type { LoginFacts } from '../iscsi/login-state.ts'
import { AsyncEvent } from '../iscsi/pdu/async-message.ts'
import { LoginStatus } from '../iscsi/pdu/login-status.ts'
import { RejectReason } from '../iscsi/pdu/reject.ts'
import type { SendTargetsRecord } from '../iscsi/send-targets.ts'
import {
  type SessionNames,
  type SessionParameters,
  sessionNames,
} from '../iscsi/session-parameters.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { Log } from '../ports/log.ts'
import type { Nexus } from '../scsi/logical-unit.ts'
import type { ScsiTarget } from '../scsi/scsi-target.ts'
import { reassign } from './allegiance.ts'
import { ByteBudget } from './byte-budget.ts'
import { CommandOrder } from './command-order.ts'
import { answerLogout } from './logout.ts'
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
  readonly #members: SessionConnection[] = []
  readonly #expiries = new Map<SessionConnection, Cancel>()
  readonly #pings = new Set<(answered: boolean) => void>()
  /** The newest proof of connections that are gone. */
  #provenAtMs = Number.NEGATIVE_INFINITY
  #managing = 0
  /** The target goes away: nobody is waited for that has no connection. */
  #isGoing = false
  #phase: 'open' | 'ending' | 'ended' = 'open'
  #resolveEnded!: () => void

  constructor(options: SessionOptions) {
    const { login, target, writeBudget } = options
    this.#options = options
    this.#profile = initiatorProfile(login.said)
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
    this.leading = this.#member(login.parameters, login.statSn, options.link)
    target?.nexusGained(this.nexus)
    if (target !== undefined) {
      const about = { profile: this.#profile, chapUser: login.chapUser }
      options.log.info('session opened', { ...this.#name(), ...about })
    }
  }

  get provenAtMs(): number {
    let newest = this.#provenAtMs
    for (const { pinger } of this.#members) newest = Math.max(newest, pinger.provenAtMs)
    return newest
  }

  get portalAddresses(): readonly string[] {
    return this.#members.map(({ localAddress }) => localAddress)
  }

  get idle(): boolean {
    return this.#members.every(({ tasks }) => tasks === undefined || tasks.all().length === 0)
  }

  distrust(): void {
    this.#provenAtMs = Number.NEGATIVE_INFINITY
    for (const { pinger } of this.#members) pinger.distrust()
  }

  describe(): SessionDescription {
    const { login } = this.#options
    const { initiatorName, initiatorAlias, headerDigest, dataDigest } = this.parameters
    const connected = this.#members.filter(({ phase }) => phase === 'open')
    return {
      initiatorName,
      ...(initiatorAlias === undefined ? {} : { initiatorAlias }),
      profile: this.#profile,
      addresses: connected.map(({ remoteAddress }) => remoteAddress),
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
      for (const member of this.#members) this.#pingOver(member)
    })
  }

  get others(): readonly ManagedSession[] {
    if (this.generationVersion > 0) return noSessions
    return this.#options.sessionsOf(this.nexus.targetName).filter((each) => each !== this)
  }

  tasks(): CommandTask[] {
    return this.#members.flatMap((member) => member.tasks?.all() ?? [])
  }

  find(initiatorTaskTag: number): CommandTask | undefined {
    for (const { tasks } of this.#members) {
      const task = tasks?.find(initiatorTaskTag)
      if (task !== undefined) return task
    }
    return undefined
  }

  inUse(initiatorTaskTag: number, except: SessionConnection): boolean {
    if (this.#members.length === 1) return false
    const isTheirs = ({ tasks }: SessionConnection): boolean =>
      tasks?.find(initiatorTaskTag) !== undefined
    return this.#members.some((member) => member !== except && isTheirs(member))
  }

  /** Why this login cannot become one of its connections; undefined: it can. RFC 7143 6.3.1. */
  refusal(names: SessionNames, cid: number): LoginStatus | undefined {
    const { initiatorPort, targetName } = this.nexus
    if (this.#phase !== 'open') return LoginStatus.SESSION_DOES_NOT_EXIST
    if (names.initiatorPort !== initiatorPort || names.targetName !== targetName) {
      return LoginStatus.CANNOT_INCLUDE_IN_SESSION
    }
    if (this.#options.target === undefined) return LoginStatus.CANNOT_INCLUDE_IN_SESSION
    const others = this.#members.filter((each) => each.phase !== 'lost' && each.cid !== cid)
    // RFC 7143 6.3.4: at level 2 one more may come, to clean up after one that is not known dead.
    const extra = this.parameters.errorRecoveryLevel === 2 ? 1 : 0
    const room = this.generationVersion > 0 ? 0 : this.parameters.maxConnections + extra
    return others.length < room ? undefined : LoginStatus.TOO_MANY_CONNECTIONS
  }

  /** Logs the former connection of this CID out, implicitly. RFC 7143 6.3.4. */
  reinstate(cid: number): Promise<void> {
    const former = this.#members.filter((each) => each.cid === cid && !each.recovered)
    const ends = former.map((member) => {
      if (member.phase !== 'lost') member.destroyStream()
      if (this.recovers) {
        this.removeForRecovery(member)
        return Promise.resolve()
      }
      return new Promise<void>((resolve) => this.#drop(member, resolve))
    })
    return Promise.all(ends).then(() => undefined)
  }

  /** Adds a connection. RFC 7143 6.3.1: what holds for the session was settled by its first. */
  join(login: LoginFacts, link: Link): SessionConnection {
    const { cid, headerDigest, dataDigest } = login.parameters
    const { initiatorMaxRecvDataSegmentBytes, targetMaxRecvDataSegmentBytes } = login.parameters
    const own = { cid, headerDigest, dataDigest }
    const limits = { initiatorMaxRecvDataSegmentBytes, targetMaxRecvDataSegmentBytes }
    const member = this.#member({ ...this.parameters, ...own, ...limits }, login.statSn, link)
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
      reassign: (request: Parameters<typeof reassign>[0]) => reassign(request, this.#members, from),
      whenOthersHeard: (done: () => void) => this.#whenOthersHeard(from, done),
    }
    manageTasks(frame.header, options, () => {
      this.#managing--
      from.freeSlot(frame)
    })
  }

  logout(frame: Frame, from: SessionConnection): void {
    answerLogout(frame.header, { session: this, from, clock: this.#options.clock })
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

  /** Connections that a logout may name. */
  get members(): readonly SessionConnection[] {
    return this.#members
  }

  /** Tasks of lost connections are kept for a while, to be reassigned. */
  get recovers(): boolean {
    const { errorRecoveryLevel, defaultTime2Retain } = this.parameters
    return errorRecoveryLevel === 2 && defaultTime2Retain > 0
  }

  /** Its tasks are free to be taken over by another connection. */
  removeForRecovery(member: SessionConnection): void {
    if (member.phase !== 'lost') this.#detach(member)
    member.recovered = true
  }

  /** After its logout, or because it was lost: nothing is left of it when `done` is called. */
  remove(member: SessionConnection): void {
    if (this.#members.length > 1) this.#drop(member)
    else this.#finish('logout', (each) => each.closeStream())
  }

  lost(member: SessionConnection, cause: string): void {
    if (member.phase === 'lost' || member.phase === 'ended' || this.#phase !== 'open') return
    const isLeaving = member.phase === 'leaving'
    const isLast = !this.#members.some((each) => each !== member && each.phase !== 'lost')
    if (isLast && this.#isGoing) {
      this.#finish(cause, () => undefined)
      return
    }
    if (this.recovers && !isLeaving) this.#detach(member)
    else if (this.#members.length > 1) this.#drop(member)
    else {
      this.#finish(cause, () => undefined)
      return
    }
    this.#options.log.info('connection lost', { ...this.#name(), cid: member.cid, cause })
    if (isLeaving) return
    const { defaultTime2Wait, defaultTime2Retain } = this.parameters
    const retainSeconds = this.recovers ? defaultTime2Retain : 0
    const other = this.#members.find(({ phase }) => phase === 'open')
    other?.notify(AsyncEvent.CONNECTION_DROPPED, [member.cid, defaultTime2Wait, retainSeconds])
  }

  /** Looked at now and then: silent peers, overdue data. */
  sweep(): void {
    for (const member of [...this.#members]) {
      const cause = this.#phase === 'open' ? member.sweep() : undefined
      if (cause === undefined) continue
      member.destroyStream()
      if (member.phase === 'lost') this.#expire(member)
      else this.lost(member, cause)
    }
  }

  /** Tells the initiator that the target goes away. RFC 7143 11.9.1. */
  requestLogout(withinMs: number): void {
    this.#isGoing = true
    const member = this.#members.find(({ phase }) => phase === 'open')
    if (member !== undefined) member.requestLogout(withinMs)
    else if (this.#members.every(({ phase }) => phase === 'lost')) this.end('the target goes away')
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
    const { target, discover, shareBytes, clock, log } = this.#options
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
      clock,
      log,
    })
    this.#members.push(member)
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
    const others = this.#members.filter((each) => each !== from && each.phase === 'open')
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

  /** The connection is gone, its tasks stay until they are taken over or their time is up. */
  #detach(member: SessionConnection): void {
    const { defaultTime2Wait, defaultTime2Retain } = this.parameters
    this.order.forget(member)
    member.detach()
    const keptMs = (defaultTime2Wait + defaultTime2Retain) * 1000
    this.#expiries.set(
      member,
      this.#options.clock.after(keptMs, () => this.#expire(member)),
    )
  }

  #expire(member: SessionConnection): void {
    if (this.#members.length > 1) this.#drop(member)
    else this.#finish('no connection came back in time', () => undefined)
  }

  /** One of several connections ends, with its tasks. */
  #drop(member: SessionConnection, done: () => void = () => undefined): void {
    this.order.forget(member)
    this.#expiries.get(member)?.()
    this.#expiries.delete(member)
    if (member.phase === 'leaving') member.closeStream()
    member.stop(() => {
      this.#provenAtMs = Math.max(this.#provenAtMs, member.pinger.provenAtMs)
      const index = this.#members.indexOf(member)
      if (index >= 0) this.#members.splice(index, 1)
      done()
      if (this.#members.length === 0 && this.#phase === 'open') {
        this.#finish('its last connection is gone', () => undefined)
      }
    })
  }

  #finish(cause: string, endStream: (member: SessionConnection) => void): void {
    if (this.#phase !== 'open') return
    this.#phase = 'ending'
    const { log, target } = this.#options
    if (target !== undefined) log.info('session ends', { ...this.#name(), cause })
    for (const cancel of this.#expiries.values()) cancel()
    for (const settle of [...this.#pings]) settle(false)
    let left = this.#members.length
    const one = (): void => {
      left--
      if (left <= 0) this.#over()
    }
    if (left === 0) this.#over()
    for (const member of [...this.#members]) {
      endStream(member)
      member.stop(one)
    }
  }

  #over(): void {
    this.#phase = 'ended'
    this.#options.target?.nexusLost(this.nexus)
    this.#options.gone(this)
    this.#resolveEnded()
  }
}

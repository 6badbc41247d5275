/**
 * Who belongs to a session: its connections, those that are lost and whose tasks wait to be taken
 * over, and those that are awaited in the place of a former one. RFC 7143 6.3.4, 7.2, 8.2. It owns
 * the list and how long what is lost is kept; what the session does is the session's affair.
 *
 * At ErrorRecoveryLevel 2 a lost connection leaves its tasks for Time2Wait + Time2Retain; below, they
 * end with it. With no connection left, and none to come back, the session is over.
 */
import { AsyncEvent } from '../iscsi/pdu/async-message.ts'
import type { SessionParameters } from '../iscsi/session-parameters.ts'
import type { Cancel, Clock } from '../ports/clock.ts'
import type { CommandOrder } from './command-order.ts'
import type { SessionConnection } from './session-connection.ts'
import type { CommandTask } from './task.ts'

export interface MembershipOptions {
  readonly parameters: SessionParameters
  readonly order: CommandOrder
  readonly clock: Clock
  /** Called once for each connection that is gone altogether. */
  readonly gone: (member: SessionConnection) => void
  /** No connection is left, or to be awaited: the session is to end, by way of `end`. */
  readonly over: (cause: string) => void
  readonly log: (event: string, fields: Readonly<Record<string, unknown>>) => void
}

const nothing = (): void => undefined

export class Membership {
  readonly #options: MembershipOptions
  readonly #members: SessionConnection[] = []
  readonly #expiries = new Map<SessionConnection, Cancel>()
  /** Logins that wait for a former connection to end, and take its place. */
  #awaited = 0
  #isGoing = false
  #ended = false

  constructor(options: MembershipOptions) {
    this.#options = options
  }

  /** Those that are lost included. */
  get all(): readonly SessionConnection[] {
    return this.#members
  }

  /** Those that take requests. */
  get open(): readonly SessionConnection[] {
    return this.#members.filter(({ phase }) => phase === 'open')
  }

  /** Tasks of lost connections are kept for a while, to be reassigned. */
  get recovers(): boolean {
    const { errorRecoveryLevel, defaultTime2Retain } = this.#options.parameters
    return errorRecoveryLevel === 2 && defaultTime2Retain > 0
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

  hasRoom(cid: number): boolean {
    const { maxConnections, errorRecoveryLevel } = this.#options.parameters
    const others = this.#members.filter((each) => each.phase !== 'lost' && each.cid !== cid)
    // RFC 7143 6.3.4: at level 2 one more may come, to clean up after one that is not known dead.
    return others.length < maxConnections + (errorRecoveryLevel === 2 ? 1 : 0)
  }

  add(member: SessionConnection): void {
    this.#members.push(member)
  }

  /**
   * Logs the former connection of this CID out, implicitly (RFC 7143 6.3.4). Another is awaited from
   * now on: afterwards `arrived` is to be called, whether it came or not.
   */
  async reinstate(cid: number): Promise<void> {
    this.#awaited++
    const former = this.#members.filter((each) => each.cid === cid && !each.recovered)
    const ends = former.map((member) => {
      if (member.phase !== 'lost') member.destroyStream()
      if (!this.recovers) return new Promise<void>((resolve) => this.#drop(member, resolve))
      this.removeForRecovery(member)
      return Promise.resolve()
    })
    await Promise.all(ends)
  }

  arrived(): void {
    this.#awaited--
    this.#checkEmpty()
  }

  /** Its tasks are free to be taken over by another connection. */
  removeForRecovery(member: SessionConnection): void {
    if (member.phase !== 'lost') this.#detach(member)
    member.recovered = true
  }

  /** After its logout: nothing is left of it. */
  remove(member: SessionConnection): void {
    this.#drop(member)
  }

  lost(member: SessionConnection, cause: string): void {
    if (member.phase === 'lost' || member.phase === 'ended' || this.#ended) return
    const isLeaving = member.phase === 'leaving'
    const isLast = !this.#members.some((each) => each !== member && each.phase !== 'lost')
    const isKept = this.recovers && !isLeaving
    if (isLast && (this.#isGoing || !isKept) && this.#awaited === 0) {
      this.#options.over(cause)
      return
    }
    if (isKept) this.#detach(member)
    else this.#drop(member)
    this.#options.log('connection lost', { cid: member.cid, cause })
    if (!isLeaving) this.#tellOthers(member)
  }

  /** The target goes away: nobody is waited for that has no connection. RFC 7143 11.9.1. */
  requestLogout(withinMs: number): void {
    this.#isGoing = true
    const [member] = this.open
    if (member !== undefined) member.requestLogout(withinMs)
    else if (this.#members.every(({ phase }) => phase === 'lost')) {
      this.#options.over('the target goes away')
    }
  }

  /** Looked at now and then: silent peers, overdue data. */
  sweep(): void {
    for (const member of [...this.#members]) {
      const cause = this.#ended ? undefined : member.sweep()
      if (cause === undefined) continue
      member.destroyStream()
      if (member.phase === 'lost') this.#expire(member)
      else this.lost(member, cause)
    }
  }

  /** All end; `done` when nothing of theirs is under way any more. */
  end(endStream: (member: SessionConnection) => void, done: () => void): void {
    this.#ended = true
    for (const cancel of this.#expiries.values()) cancel()
    let left = this.#members.length
    if (left === 0) done()
    for (const member of [...this.#members]) {
      endStream(member)
      member.stop(() => {
        left--
        if (left === 0) done()
      })
    }
  }

  #tellOthers(member: SessionConnection): void {
    const { defaultTime2Wait, defaultTime2Retain } = this.#options.parameters
    const retainSeconds = this.recovers ? defaultTime2Retain : 0
    const times = [member.cid, defaultTime2Wait, retainSeconds] as const
    this.open[0]?.notify(AsyncEvent.CONNECTION_DROPPED, times)
  }

  /** The connection is gone, its tasks stay until they are taken over or their time is up. */
  #detach(member: SessionConnection): void {
    const { parameters, order, clock } = this.#options
    order.forget(member)
    member.detach()
    const keptMs = (parameters.defaultTime2Wait + parameters.defaultTime2Retain) * 1000
    this.#expiries.set(
      member,
      clock.after(keptMs, () => this.#expire(member)),
    )
  }

  #expire(member: SessionConnection): void {
    if (this.#members.length > 1 || this.#awaited > 0) this.#drop(member)
    else this.#options.over('no connection came back in time')
  }

  /** One connection ends, with its tasks. */
  #drop(member: SessionConnection, done: () => void = nothing): void {
    this.#options.order.forget(member)
    this.#expiries.get(member)?.()
    this.#expiries.delete(member)
    if (member.phase === 'leaving') member.closeStream()
    member.stop(() => {
      const index = this.#members.indexOf(member)
      if (index >= 0) this.#members.splice(index, 1)
      this.#options.gone(member)
      done()
      this.#checkEmpty()
    })
  }

  #checkEmpty(): void {
    if (this.#members.length > 0 || this.#awaited > 0 || this.#ended) return
    this.#options.over('its last connection is gone')
  }
}

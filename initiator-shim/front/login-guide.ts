/**
 * Sends logins on to other gateways, by the rule of `login-spread.ts` and what is known of them. A
 * plain shim has no others and sends nobody on; where the manager is away nothing is known for long.
 *
 * Why no login is sent around for ever, however old what the gateways know of one another: a gateway
 * that stays sends an initiator of a volume on once in `spreadOnceMs`, and lets it in after that (which
 * also heals the case that it could not reach where it was sent). One that stops sends it on always,
 * but only to gateways that the manager counted among those that serve after it had noted that this
 * one stops: so among those that stop a login goes from the earlier to the later, never back. With n
 * gateways a login meets at most n(n+1) answers before it is let in or there is nobody left to ask.
 *
 * And why it costs no command: an initiator with one path is in standby at another gateway as long as
 * the map names one that serves. So whoever works through this gateway is sent on only where another
 * session of the initiator lives here, which is then the active path, or where this gateway stops and
 * the manager knows, so that the next command takes its place at once.
 */
import { frontEnds as limits, shim } from '../../src/base/limits.ts'
import type { FrontSession, LeadingLoginFacts } from '../../src/portal/portal-host.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Attendance } from './attendance.ts'
import { attachmentKey, elsewhere, type There } from './login-spread.ts'

export interface LoginGuideOptions {
  readonly clock: Clock
  readonly attendance: Attendance
  /** With volumes; of all initiators. */
  readonly sessions: () => readonly FrontSession[]
}

/** A login that is not yet heard of as a session where it was sent, or let in. */
interface Pending {
  readonly atMs: number
  readonly initiatorPort: string
  /** See `attachmentKey`. */
  readonly key: number
  /** Client of the gateway; absent: here. */
  readonly to?: string
}

interface Candidate extends There {
  readonly addresses: readonly string[]
}

export class LoginGuide {
  readonly #options: LoginGuideOptions
  /** The newest of each initiator and volume. */
  readonly #letIn = new Map<string, Pending>()
  readonly #sentOn = new Map<string, Pending>()
  /** Logins sent on so far. */
  sent = 0

  constructor(options: LoginGuideOptions) {
    this.#options = options
  }

  /** `HOST:PORT` of another gateway; undefined: the login is for this one. */
  elsewhere(login: LeadingLoginFacts, worksHere: boolean): string | undefined {
    const { attendance, clock } = this.#options
    if (!attendance.isGateway) return undefined
    this.#forget()
    const key = keyOf(login)
    const isLeaving = attendance.isLeaving
    const others = this.#others(login)
    const stays = !isLeaving && (this.#sentOn.has(key) || this.#returns(login))
    const isAttached = this.#isAttached(login, worksHere)
    const sessions = this.#load(this.#options.sessions().length, undefined)
    const here = { sessions, isAttached, isLeaving }
    const isSettled = stays || (worksHere && !isAttached && !isLeaving)
    const to = isSettled ? undefined : elsewhere(here, others)
    const { initiatorPort, initiatorName, targetName, portalIndex } = login
    const address = to && (to.addresses[portalIndex] ?? to.addresses[0])
    const hasRoom = this.#letIn.size + this.#sentOn.size < limits.spreadLogins
    const atMs = clock.nowMs()
    const pending = { atMs, initiatorPort, key: attachmentKey(targetName, initiatorName) }
    if (to === undefined || address === undefined) {
      if (hasRoom) this.#letIn.set(key, pending)
      return undefined
    }
    // What would not be remembered could come back for ever.
    if (!hasRoom && !isLeaving) return undefined
    if (hasRoom) this.#sentOn.set(key, { ...pending, to: to.client })
    this.sent++
    return address
  }

  /** Session reinstatement: its end is what this login is for. RFC 7143 6.3.5. */
  #returns({ initiatorPort, sessions }: LeadingLoginFacts): boolean {
    return sessions.some(({ nexus }) => nexus.initiatorPort === initiatorPort)
  }

  /** By a session that lives, or by a login that was let in just now. */
  #isAttached(login: LeadingLoginFacts, worksHere: boolean): boolean {
    const { initiatorName, initiatorPort, sessions } = login
    const letIn = this.#letIn.get(keyOf(login))
    const isComing = letIn !== undefined && letIn.initiatorPort !== initiatorPort
    if (isComing && !worksHere) return true
    return sessions.some((session) => {
      const { nexus } = session
      if (nexus.initiatorName !== initiatorName || nexus.initiatorPort === initiatorPort)
        return false
      return this.#lives(session, worksHere)
    })
  }

  /** What is used was heard of lately: `Liveness` sees to it. What is not used is nobody's only path. */
  #lives(session: FrontSession, worksHere: boolean): boolean {
    if (session.describe().addresses.length === 0) return false
    return !worksHere || this.#options.clock.nowMs() - session.provenAtMs <= shim.proofMs
  }

  #others({ targetName, initiatorName }: LeadingLoginFacts): Candidate[] {
    const key = attachmentKey(targetName, initiatorName)
    return this.#options.attendance.loads.map(({ client, sessions, attachments, addresses }) => {
      const isAttached = attachments.has(key)
      return { client, addresses, isAttached, sessions: this.#load(sessions, client) }
    })
  }

  /** With those that are on their way there. */
  #load(sessions: number, to: string | undefined): number {
    let pending = 0
    for (const each of (to === undefined ? this.#letIn : this.#sentOn).values()) {
      if (each.to === to && this.#isPending(each) && !this.#isHeard(each)) pending++
    }
    return sessions + pending
  }

  #isHeard({ to, key, initiatorPort }: Pending): boolean {
    if (to !== undefined) {
      const load = this.#options.attendance.loads.find(({ client }) => client === to)
      return load?.attachments.has(key) === true
    }
    return this.#options.sessions().some(({ nexus }) => nexus.initiatorPort === initiatorPort)
  }

  #isPending({ atMs }: Pending): boolean {
    return this.#options.clock.nowMs() - atMs <= limits.spreadPendingMs
  }

  #forget(): void {
    const oldestMs = this.#options.clock.nowMs() - limits.spreadOnceMs
    for (const [key, { atMs }] of this.#sentOn) if (atMs < oldestMs) this.#sentOn.delete(key)
    for (const [key, pending] of this.#letIn) if (!this.#isPending(pending)) this.#letIn.delete(key)
  }
}

function keyOf({ initiatorName, targetName }: LeadingLoginFacts): string {
  return `${targetName} ${initiatorName}`
}

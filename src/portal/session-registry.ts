/**
 * The sessions of one program, and the logins that wait to become one. It owns session handles
 * (TSIH) and decides which of two logins of one initiator port wins: the one that came later.
 * RFC 7143 6.3.5, 4.4.3.
 */
import { assert } from '../base/assert.ts'
import type { Session } from './session.ts'

const largestHandle = 0xffff

/** What session reinstatement goes by: a session belongs to one portal group. RFC 7143 4.4.3. */
export interface PortKey {
  readonly initiatorPort: string
  readonly targetName: string
  readonly portalGroupTag: number
}

const keyOf = ({ initiatorPort, targetName, portalGroupTag }: PortKey): string =>
  `${initiatorPort} ${targetName} ${portalGroupTag}`

/** A login that its host has accepted, or is thinking about. */
export interface WaitingLogin {
  /** Grows with each login that came to its last request. */
  readonly order: number
  /** A newer login of the same port was accepted: this one must not be answered any more. */
  supersede(): void
}

export class SessionRegistry {
  readonly #sessions = new Map<number, Session>()
  readonly #orders = new Map<Session, number>()
  readonly #accepted = new Map<string, WaitingLogin>()
  #lastHandle = 0
  #lastOrder = 0

  get size(): number {
    return this.#sessions.size
  }

  all(): Session[] {
    return [...this.#sessions.values()]
  }

  get(handle: number): Session | undefined {
    return this.#sessions.get(handle)
  }

  /** Sessions with this target that have not ended. */
  ofTarget(targetName: string): Session[] {
    return this.all().filter((session) => session.nexus.targetName === targetName)
  }

  nextOrder(): number {
    return ++this.#lastOrder
  }

  nextHandle(): number {
    assert(this.#sessions.size < largestHandle, 'there is a free session handle')
    do {
      this.#lastHandle = this.#lastHandle >= largestHandle ? 1 : this.#lastHandle + 1
    } while (this.#sessions.has(this.#lastHandle))
    return this.#lastHandle
  }

  /** False when a later login of the same port was accepted before; otherwise older ones give way. */
  claim(port: PortKey, login: WaitingLogin): boolean {
    const key = keyOf(port)
    const other = this.#accepted.get(key)
    if (other !== undefined && other.order > login.order) return false
    for (const session of this.ofPort(port)) {
      if (this.#orders.get(session)! > login.order) return false
    }
    this.#accepted.set(key, login)
    if (other !== login) other?.supersede()
    return true
  }

  /** Sessions of this initiator port with this target that have not ended. */
  ofPort(port: PortKey): Session[] {
    return this.ofTarget(port.targetName).filter(
      ({ nexus, portalGroupTag }) =>
        nexus.initiatorPort === port.initiatorPort && portalGroupTag === port.portalGroupTag,
    )
  }

  /** The login is over: it became a session, or was given up. */
  release(port: PortKey, login: WaitingLogin): void {
    const key = keyOf(port)
    if (this.#accepted.get(key) === login) this.#accepted.delete(key)
  }

  add(session: Session, order: number): void {
    this.#sessions.set(session.handle, session)
    this.#orders.set(session, order)
  }

  remove(session: Session): void {
    this.#sessions.delete(session.handle)
    this.#orders.delete(session)
  }
}

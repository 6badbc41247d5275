/**
 * Connections that have not logged in yet. There is always room for one more: the address that has
 * most of them gives up the one that has been idle for longest, so that whoever opens connections
 * and says nothing keeps nobody else out.
 */
import { portal } from '../base/limits.ts'

/** A connection on its way to a session. */
export interface HalfOpen {
  readonly remoteHost: string
  /** Its last request has come, and the host is thinking about it. */
  readonly isDeciding: boolean
  abandon(): void
}

export class HalfOpenLogins {
  /** Who has been idle for longest comes first. */
  readonly #logins = new Set<HalfOpen>()

  get size(): number {
    return this.#logins.size
  }

  /** Takes one more, if need be in the place of another. */
  add(login: HalfOpen): void {
    while (this.#logins.size >= portal.halfOpenLogins) {
      const victim = this.#victim()
      this.#logins.delete(victim)
      victim.abandon()
    }
    this.#logins.add(login)
  }

  /** A whole login request came. */
  progressed(login: HalfOpen): void {
    if (this.#logins.delete(login)) this.#logins.add(login)
  }

  delete(login: HalfOpen): void {
    this.#logins.delete(login)
  }

  abandonAll(): void {
    for (const login of [...this.#logins]) login.abandon()
  }

  #victim(): HalfOpen {
    const counts = new Map<string, number>()
    for (const { remoteHost } of this.#logins) {
      counts.set(remoteHost, (counts.get(remoteHost) ?? 0) + 1)
    }
    const most = Math.max(...counts.values())
    const candidates = [...this.#logins].filter((each) => counts.get(each.remoteHost) === most)
    return candidates.find((each) => !each.isDeciding) ?? candidates[0]!
  }
}

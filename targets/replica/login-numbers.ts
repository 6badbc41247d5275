/**
 * The highest login number of each initiator port at each target. A login that was delayed on its
 * way must not end the session of its successor; so a smaller number is refused. In memory only:
 * no connection of a former process can still bring a login.
 */
import { storageServer } from '../../src/base/limits.ts'

export class LoginNumbers {
  /** In order of last use, so that the oldest is forgotten first. */
  readonly #known = new Map<string, number>()

  /** Undefined: accepted and remembered. Otherwise the larger number that is known. */
  offer(initiatorPort: string, targetName: string, number: number): number | undefined {
    const key = `${initiatorPort} ${targetName}`
    const known = this.#known.get(key)
    if (known !== undefined && number < known) return known
    this.#known.delete(key)
    this.#known.set(key, number)
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= storageServer.loginNumbers) break
      this.#known.delete(oldest)
    }
    return undefined
  }
}

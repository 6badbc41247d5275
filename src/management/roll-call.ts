/**
 * Which servers were heard since this manager started, and who waits for that. A manager that has
 * just started may have an old copy of its store, and only the servers know (succession.ts): so no
 * map is changed before each server of it was heard once, or has had time enough for it. Bounded,
 * because a server may be gone and the change may be the one that gives it up. It owns the names.
 */
import { manager as limits } from '../base/limits.ts'
import type { Cancel, Clock } from '../ports/clock.ts'

export interface RollCallContext {
  readonly clock: Pick<Clock, 'after'>
  /** An operator vouches that it is off. */
  readonly isDead: (serverId: string) => boolean
}

interface Waiting {
  readonly serverIds: readonly string[]
  readonly resolve: () => void
}

export class RollCall {
  readonly #context: RollCallContext
  readonly #heard = new Set<string>()
  readonly #cancel: Cancel
  #waiting: Waiting[] = []
  #isOver = false

  /** Begins now. */
  constructor(context: RollCallContext) {
    this.#context = context
    this.#cancel = context.clock.after(limits.rollCallMs, () => {
      this.#isOver = true
      this.#look()
    })
  }

  /** The server has told what it holds, and nothing speaks against this manager's store. */
  heard(serverId: string): void {
    if (this.#isOver) return
    this.#heard.add(serverId)
    this.#look()
  }

  /** Resolves when each of them was heard, or was waited for long enough. */
  taken(serverIds: readonly string[]): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ serverIds, resolve })
      this.#look()
    })
  }

  stop(): void {
    this.#cancel()
  }

  #look(): void {
    const waiting = this.#waiting
    this.#waiting = waiting.filter(({ serverIds }) => !this.#isTaken(serverIds))
    for (const each of waiting) if (!this.#waiting.includes(each)) each.resolve()
  }

  #isTaken(serverIds: readonly string[]): boolean {
    if (this.#isOver) return true
    return serverIds.every((id) => this.#heard.has(id) || this.#context.isDead(id))
  }
}

/**
 * What holds for one logical unit at this target and is no configuration: whether it was stopped,
 * who keeps its medium in, which commands are under way, what became of a sanitize operation. Gone
 * when the program ends. Owned by the device server; changed by start-stop.ts and sanitize.ts.
 * SBC-3 4.19 (power conditions), 5.10 (PREVENT ALLOW MEDIUM REMOVAL), 4.11 (sanitize).
 */
import type { Nexus } from './logical-unit.ts'

/** `failed`: only a new SANITIZE gets it out of that, or EXIT FAILURE MODE where it was allowed. */
export type SanitizeState =
  | { readonly kind: 'none' }
  | { readonly kind: 'running'; readonly progress: () => number }
  | { readonly kind: 'failed'; readonly mayExit: boolean }

export class UnitConditions {
  /** By START STOP UNIT with START 0. */
  stopped = false
  sanitize: SanitizeState = { kind: 'none' }
  /** Nexuses that asked for the medium to stay in. */
  readonly preventing = new Set<Nexus>()
  #underWay = 0
  #waiting: { readonly most: number; readonly resolve: () => void }[] = []

  commandBegins(): void {
    this.#underWay += 1
  }

  commandEnds(): void {
    this.#underWay -= 1
    if (this.#waiting.length === 0) return
    const free = this.#waiting.filter(({ most }) => this.#underWay <= most)
    this.#waiting = this.#waiting.filter(({ most }) => this.#underWay > most)
    for (const { resolve } of free) resolve()
  }

  /** Resolves when the calling command is the only one under way. */
  alone(): Promise<void> {
    if (this.#underWay <= 1) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiting.push({ most: 1, resolve })
    })
  }
}

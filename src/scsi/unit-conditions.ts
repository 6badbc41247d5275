/**
 * What holds for one logical unit at this target and is no configuration: who keeps its medium in,
 * which commands are under way, the sanitize operation that is carried out here. Gone when the
 * program ends. Owned by the device server; changed by start-stop.ts and sanitize*.ts.
 * SBC-3 5.10 (PREVENT ALLOW MEDIUM REMOVAL), 4.11 (sanitize).
 */
import { CopyRecords } from './copy/copy-records.ts'
import type { Nexus } from './logical-unit.ts'

export class UnitConditions {
  /** The soft threshold of thin provisioning was told, and there was no more space since. */
  spaceLow = false
  /** A SANITIZE waits for the commands under way, and lets no other begin. */
  sanitizeBegins = false
  /** How much is done, from 0 to 1, of what is carried out here; more exact than its record. */
  sanitizeShare: number | undefined
  /** The program ends: a sanitize operation stops at the next piece. */
  stopping = false
  /** Settles when the sanitize operation that is under way has ended. */
  sanitizing: Promise<unknown> = Promise.resolve()
  /** Nexuses that asked for the medium to stay in. */
  readonly preventing = new Set<Nexus>()
  /** Of the third-party copies that this unit was asked to make. */
  readonly copies = new CopyRecords()
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

  /** Resolves when there are no more commands under way than these. */
  atMost(commands: number): Promise<void> {
    if (this.#underWay <= commands) return Promise.resolve()
    return new Promise((resolve) => {
      this.#waiting.push({ most: commands, resolve })
    })
  }
}

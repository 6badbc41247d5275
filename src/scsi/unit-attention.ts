/**
 * Unit attention conditions of one target: which I_T nexus has yet to be told what about which
 * logical unit. SAM-5 5.14. Owned by the device server; sessions are known by their Nexus object.
 *
 * Deviation: SAM-5 5.14 has POWER ON (29h/00h) established for every initiator port when the
 * device starts, and I_T NEXUS LOSS (29h/07h) after a session ended. A plain new login raises
 * neither here: a reinstated session is the normal way of going on for legs and for open-iscsi, and
 * a condition there would fail the first command of each. An initiator port that lost something
 * with its session (a RESERVE, a PREVENT) is told so by 29h/07h when it comes back; what did lose
 * data raises 29h/00h explicitly.
 */
import { unitState } from '../base/limits.ts'
import type { Nexus } from './logical-unit.ts'
import type { Sense } from './result.ts'
import {
  COMMANDS_CLEARED_BY_POWER_LOSS,
  I_T_NEXUS_LOSS_OCCURRED,
  REPORTED_LUNS_DATA_HAS_CHANGED,
  sameSense,
} from './sense.ts'

export class UnitAttentions {
  readonly #pending = new Map<Nexus, Map<number, Sense[]>>()
  /** Initiator ports that lost something with their session, and on which units. */
  readonly #losers = new Map<string, readonly number[]>()

  gained(nexus: Nexus): void {
    this.#pending.set(nexus, new Map())
    const luns = this.#losers.get(nexus.initiatorPort)
    if (luns === undefined) return
    this.#losers.delete(nexus.initiatorPort)
    this.raise(I_T_NEXUS_LOSS_OCCURRED, luns, (each) => each === nexus)
  }

  /** `lostOn`: units on which the nexus had set something that ended with it. */
  lost(nexus: Nexus, lostOn: readonly number[] = []): void {
    this.#pending.delete(nexus)
    if (lostOn.length === 0) return
    this.#losers.delete(nexus.initiatorPort)
    this.#losers.set(nexus.initiatorPort, lostOn)
    if (this.#losers.size <= unitState.rememberedNexusLosses) return
    for (const oldest of this.#losers.keys()) {
      this.#losers.delete(oldest)
      break
    }
  }

  /** Of the nexuses that there are. */
  get initiatorPorts(): string[] {
    return [...this.#pending.keys()].map(({ initiatorPort }) => initiatorPort)
  }

  /** Each condition is held once, so a queue is no longer than the list of conditions there are. */
  raise(attention: Sense, luns: readonly number[], to: (nexus: Nexus) => boolean): void {
    for (const [nexus, units] of this.#pending) {
      if (!to(nexus)) continue
      for (const lun of luns) {
        const queue = units.get(lun) ?? []
        units.set(lun, queue)
        if (!queue.some((held) => sameSense(held, attention))) enqueue(queue, attention)
      }
    }
  }

  /** The next condition, which is thereby cleared. */
  take(nexus: Nexus, lun: number): Sense | undefined {
    const units = this.#pending.get(nexus)
    const attention = units?.get(lun)?.shift()
    if (attention && sameSense(attention, REPORTED_LUNS_DATA_HAS_CHANGED)) {
      this.clearReportedLuns(nexus)
    }
    return attention
  }

  /** Told through one logical unit, it is told for all. SAM-5 5.14. */
  clearReportedLuns(nexus: Nexus): void {
    for (const queue of this.#pending.get(nexus)?.values() ?? []) {
      const index = queue.findIndex((held) => sameSense(held, REPORTED_LUNS_DATA_HAS_CHANGED))
      if (index >= 0) queue.splice(index, 1)
    }
  }
}

/** What says the most goes first, each in the order in which it came. SAM-5 5.14. */
function enqueue(queue: Sense[], attention: Sense): void {
  const mine = rank(attention)
  const before = queue.findIndex((held) => rank(held) > mine)
  queue.splice(before < 0 ? queue.length : before, 0, attention)
}

/** Power on, hard reset, reset of the unit, loss of the nexus, commands lost; then all others. */
function rank(attention: Sense): number {
  if (attention.asc === 0x29) return attention.ascq
  return sameSense(attention, COMMANDS_CLEARED_BY_POWER_LOSS) ? 0x100 : 0x101
}

/**
 * Unit attention conditions of one target: which I_T nexus has yet to be told what about which
 * logical unit. SAM-5 5.14. Owned by the device server; sessions are known by their Nexus object.
 *
 * Deviation: SAM-5 5.14 has POWER ON (29h/00h) established for every initiator port when the
 * device starts, and I_T NEXUS LOSS (29h/07h) after a session ended. A plain new login raises
 * neither here: no mode parameter can be changed, so nothing that an initiator set was lost; a
 * reinstated session is the normal way of going on for legs and for open-iscsi, and a condition
 * there would fail the first command of each. What did lose data raises 29h/00h explicitly.
 */
import type { Nexus } from './logical-unit.ts'
import type { Sense } from './result.ts'
import { REPORTED_LUNS_DATA_HAS_CHANGED, sameSense } from './sense.ts'

const resetAsc = 0x29

export class UnitAttentions {
  readonly #pending = new Map<Nexus, Map<number, Sense[]>>()

  gained(nexus: Nexus): void {
    this.#pending.set(nexus, new Map())
  }

  lost(nexus: Nexus): void {
    this.#pending.delete(nexus)
  }

  /** Each condition is held once, so a queue is no longer than the list of conditions there are. */
  raise(attention: Sense, luns: readonly number[], except?: Nexus): void {
    for (const [nexus, units] of this.#pending) {
      if (nexus === except) continue
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

/** Resets go before everything else: what they say makes the rest less important. SAM-5 5.14. */
function enqueue(queue: Sense[], attention: Sense): void {
  if (attention.asc === resetAsc) queue.unshift(attention)
  else queue.push(attention)
}

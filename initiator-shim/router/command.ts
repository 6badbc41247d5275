/**
 * One front command on its way through the router: what it is waiting for, what of it is at the
 * servers, and how it is to end if it has to end before they answered. Owned by the router.
 */
import type { LegAnswer, LegTask } from '../../src/leg/leg-command.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import type { ScsiResult } from '../../src/scsi/result.ts'
import { Signal } from '../signal.ts'

/** Why no piece is sent any more: `aborted` has no answer for the initiator, the others are it. */
export type Verdict = ScsiResult | 'aborted'

export class Command {
  readonly task: PortalTask
  readonly acceptedAtMs: number
  /** Segments that keep it waiting: it is held. */
  readonly heldBy = new Set<string>()
  readonly #flying = new Set<LegTask>()
  #verdict: Verdict | undefined
  #wake: Signal | undefined

  constructor(task: PortalTask, acceptedAtMs: number) {
    this.task = task
    this.acceptedAtMs = acceptedAtMs
  }

  get verdict(): Verdict | undefined {
    return this.#verdict
  }

  /** Notified when its waiting pieces have to look again. */
  get wake(): Signal {
    this.#wake ??= new Signal()
    return this.#wake
  }

  /** The first verdict stands, except that an abort outdoes an answer that has not gone yet. */
  end(verdict: Verdict): void {
    if (this.#verdict === undefined || verdict === 'aborted') this.#verdict = verdict
    if (verdict === 'aborted') for (const task of this.#flying) task.abort()
    this.#wake?.notify()
  }

  /** The answer to a piece that was just sent; an abort of the command reaches it. */
  async fly(task: LegTask): Promise<LegAnswer> {
    this.#flying.add(task)
    try {
      return await task.answer
    } finally {
      this.#flying.delete(task)
    }
  }
}

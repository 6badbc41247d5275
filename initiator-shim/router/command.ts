/**
 * One front command on its way through the router: what it is waiting for, what of it is at the
 * servers, and how it is to end if it has to end before they answered. Owned by the router.
 */
import type { LegTask } from '../../src/leg/leg-command.ts'
import { Signal } from '../../src/leg/signal.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import { checkCondition, type ScsiResult, Status } from '../../src/scsi/result.ts'
import { LOGICAL_UNIT_COMMUNICATION_FAILURE, SenseKey } from '../../src/scsi/sense.ts'

/** Why no piece is sent any more: `aborted` has no answer for the initiator, the others are it. */
export type Verdict = ScsiResult | 'aborted'

const nothing: ReadonlySet<string> = new Set()

export class Command {
  readonly task: PortalTask
  readonly acceptedAtMs: number
  #heldBy: Set<string> | undefined
  readonly #flying: LegTask[] = []
  #verdict: Verdict | undefined
  #mayHaveHappened = false
  #wake: Signal | undefined

  constructor(task: PortalTask, acceptedAtMs: number) {
    this.task = task
    this.acceptedAtMs = acceptedAtMs
  }

  /** Segments that keep it waiting: it is held. */
  get heldBy(): ReadonlySet<string> {
    return this.#heldBy ?? nothing
  }

  holdFor(segmentId: string): void {
    this.#heldBy ??= new Set()
    this.#heldBy.add(segmentId)
  }

  get verdict(): Verdict | undefined {
    return this.#verdict
  }

  /**
   * A piece that must not be sent twice was sent and lost: an answer that invites the initiator to
   * send the command again, BUSY or NOT READY, would be a guess that it did not happen.
   */
  mayHaveHappened(): void {
    this.#mayHaveHappened = true
  }

  /** Notified when its waiting pieces have to look again. */
  get wake(): Signal {
    this.#wake ??= new Signal()
    return this.#wake
  }

  /** The first verdict stands, except that an abort outdoes an answer that has not gone yet. */
  end(verdict: Verdict): void {
    if (this.#verdict === undefined || verdict === 'aborted') {
      this.#verdict = this.#mayHaveHappened && invitesRetry(verdict) ? outcomeUnknown : verdict
    }
    if (verdict === 'aborted') for (const task of [...this.#flying]) task.abort()
    this.#wake?.notify()
  }

  /** A piece was just sent: an abort of the command reaches it until it has `landed`. */
  flies(task: LegTask): void {
    this.#flying.push(task)
  }

  landed(task: LegTask): void {
    this.#flying.splice(this.#flying.indexOf(task), 1)
  }
}

/** What was asked for may have been done or not. */
export const outcomeUnknown = checkCondition(LOGICAL_UNIT_COMMUNICATION_FAILURE)

function invitesRetry(verdict: Verdict): boolean {
  if (verdict === 'aborted') return false
  if (verdict.status === Status.CHECK_CONDITION) return verdict.sense.key === SenseKey.NOT_READY
  return verdict.status === Status.BUSY
}

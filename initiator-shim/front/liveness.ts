/**
 * Front ends forward only for the living: a command is forwarded, first time or again, only while
 * its front connection has answered something that was sent no longer ago than `shim.proofMs`: a
 * NOP-In, or a response or an R2T, which prove as much and cost a busy initiator nothing. So
 * what a dead connection had in the network cannot overtake what its initiator sends elsewhere.
 * A command that touches no block but changes what holds for others (reservations, modes, the medium)
 * waits where a login has passed its session over: not else, for an initiator that sleeps after it
 * (iscsi-test-cu does) could not answer. A proof that ages is renewed beside the commands, so that these wait only after a silence.
 */
import { shim } from '../../src/base/limits.ts'
import { anyOf, Signal } from '../../src/leg/signal.ts'
import type { FrontSession, PortalTask } from '../../src/portal/portal-host.ts'
import type { Clock } from '../../src/ports/clock.ts'
import { type ScsiResult, Status } from '../../src/scsi/result.ts'

const busy: ScsiResult = { status: Status.BUSY }
/** Nobody gets it. */
const aborted: ScsiResult = { status: Status.TASK_ABORTED }

interface Proof {
  asking: boolean
  /** Notified when a NOP-In was answered, or never will be. */
  readonly changed: Signal
}

export class Liveness {
  readonly #clock: Clock
  readonly #proofs = new WeakMap<FrontSession, Proof>()
  /** Sessions that a login has passed over, and that have proved nothing since. */
  readonly #distrusted = new WeakSet<FrontSession>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A login of its initiator does not wait for it; see `front-host.ts`. */
  distrust(session: FrontSession): void {
    session.distrust()
    this.#distrusted.add(session)
  }

  /**
   * May a command of this session be forwarded in this turn? If not, a proof was asked for. What was
   * sent before `sinceMs` proves nothing.
   */
  alive(session: FrontSession, sinceMs = Number.NEGATIVE_INFINITY): boolean {
    const { provenAtMs } = session
    const ageMs = this.#clock.nowMs() - provenAtMs
    const counts = provenAtMs >= sinceMs
    if (!counts || ageMs > shim.proofRenewMs) this.#ask(session)
    return counts && ageMs <= shim.proofMs
  }

  /** Where to wait after `alive` said no. */
  changed(session: FrontSession): Signal {
    return this.#proof(session).changed
  }

  /**
   * For a command that is not forwarded but changes what holds for others: undefined when it may be
   * carried out, or its answer where no proof came for as long as a command is held.
   */
  async awaited(task: PortalTask): Promise<ScsiResult | undefined> {
    const { session } = task
    const { holdStretchMs } = shim
    const untilMs = this.#clock.nowMs() + holdStretchMs
    const ended = new Signal()
    task.whenAborted(() => ended.notify())
    while (this.#isDistrusted(session)) {
      const ms = untilMs - this.#clock.nowMs()
      if (task.aborted) return aborted
      if (ms <= 0) return busy
      this.alive(session)
      await anyOf([ended, this.changed(session)], { clock: this.#clock, ms })
    }
    return task.aborted ? aborted : undefined
  }

  #isDistrusted(session: FrontSession): boolean {
    if (session.provenAtMs > Number.NEGATIVE_INFINITY) this.#distrusted.delete(session)
    return this.#distrusted.has(session)
  }

  #proof(session: FrontSession): Proof {
    let proof = this.#proofs.get(session)
    if (proof === undefined) {
      proof = { asking: false, changed: new Signal() }
      this.#proofs.set(session, proof)
    }
    return proof
  }

  #ask(session: FrontSession): void {
    const proof = this.#proof(session)
    if (proof.asking) return
    proof.asking = true
    // Never rejects. After the end of the session nobody is left to ask again.
    void session.ping().then((answered) => {
      proof.asking = !answered
      proof.changed.notify()
    })
  }
}

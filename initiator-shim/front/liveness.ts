/**
 * Front ends forward only for the living: a command is forwarded, first time or again, only while
 * its front connection has answered something that was sent no longer ago than `shim.proofMs`: a
 * NOP-In, or a response or an R2T, which prove as much and cost a busy initiator nothing. So
 * what a dead connection had in the network cannot overtake what its initiator sends elsewhere.
 * A proof that ages is renewed beside the commands, so that these wait only after a silence.
 */
import { shim } from '../../src/base/limits.ts'
import { Signal } from '../../src/leg/signal.ts'
import type { FrontSession } from '../../src/portal/portal-host.ts'
import type { Clock } from '../../src/ports/clock.ts'

interface Proof {
  asking: boolean
  /** Notified when a NOP-In was answered, or never will be. */
  readonly changed: Signal
}

export class Liveness {
  readonly #clock: Clock
  readonly #proofs = new WeakMap<FrontSession, Proof>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** May a command of this session be forwarded in this turn? If not, a proof was asked for. */
  alive(session: FrontSession): boolean {
    const ageMs = this.#clock.nowMs() - session.provenAtMs
    if (ageMs > shim.proofRenewMs) this.#ask(session)
    return ageMs <= shim.proofMs
  }

  /** Where to wait after `alive` said no. */
  changed(session: FrontSession): Signal {
    return this.#proof(session).changed
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

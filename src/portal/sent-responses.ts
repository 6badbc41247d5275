/**
 * Responses of one connection that the initiator has not acknowledged by ExpStatSN, kept so that a
 * SNACK or a task reassignment can have them sent again. RFC 7143 4.2.2.2, 11.16. Only sessions of
 * ErrorRecoveryLevel 1 and up keep any. It owns what is kept, within limits: beyond them what has
 * been unacknowledged for longest is forgotten, and cannot be asked for any more.
 */
import { portal } from '../base/limits.ts'
import { serialAdd, serialDistance } from '../base/serial.ts'
import type { Keeper, KeptBudget } from './kept-budget.ts'
import type { SentAnswer } from './sent-answer.ts'

/** A response that is no answer to a SCSI command: it goes out again as it was. */
export interface SentPdu {
  readonly kind: 'pdu'
  readonly statSn: number
  readonly header: Buffer
  readonly data: readonly Uint8Array[] | undefined
  readonly heldBytes: number
}

export type SentResponse = SentPdu | SentAnswer

/** Why a response cannot be had: the initiator has acknowledged it, or it was never sent. */
export type Missing = 'acknowledged' | 'forgotten' | 'never-sent'

export interface KeptMemory {
  /** How much this connection may hold now. */
  readonly shareBytes: () => number
  /** Of all connections of the program. */
  readonly budget: KeptBudget
}

export class SentResponses implements Keeper {
  readonly #kept: SentResponse[] = []
  #heldBytes = 0
  /** All before it were acknowledged. */
  #acknowledged: number
  #nextStatSn: number
  #forgotten = false
  readonly #memory: KeptMemory

  constructor(statSn: number, memory: KeptMemory) {
    this.#acknowledged = statSn
    this.#nextStatSn = statSn
    this.#memory = memory
    memory.budget.add(this)
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  /** In the order of StatSN. */
  get kept(): readonly SentResponse[] {
    return this.#kept
  }

  /** Something that was not acknowledged had to go. */
  get hasForgotten(): boolean {
    return this.#forgotten
  }

  keep(response: SentResponse): void {
    this.#kept.push(response)
    this.#heldBytes += response.heldBytes
    this.#memory.budget.more(response.heldBytes)
    this.#nextStatSn = serialAdd(response.statSn, 1)
    while (
      this.#kept.length > portal.keptResponses ||
      (this.#heldBytes > this.#memory.shareBytes() && this.#kept.length > 1)
    ) {
      this.forgetFirst()
    }
  }

  forgetFirst(): boolean {
    if (this.#kept.length === 0) return false
    this.#forgotten = true
    this.#dropFirst()
    return true
  }

  /** The connection is over, and nobody takes its tasks over. */
  close(): void {
    while (this.#kept.length > 0) this.#dropFirst()
    this.#memory.budget.remove(this)
  }

  /** ExpStatSN of a PDU that came; nonsense and old news move nothing. */
  acknowledged(expStatSn: number): void {
    if (serialDistance(this.#acknowledged, expStatSn) <= 0) return
    if (serialDistance(expStatSn, this.#nextStatSn) < 0) return
    this.#acknowledged = expStatSn
    for (;;) {
      const first = this.#kept[0]
      if (first === undefined || serialDistance(first.statSn, expStatSn) <= 0) return
      this.#dropFirst()
    }
  }

  /** What is kept from this number on; 0 of them: all. */
  from(statSn: number, count: number): readonly SentResponse[] | Missing {
    // RFC 7143 11.16.6, 11.16.7: two zeros ask for all that were not acknowledged.
    if (statSn === 0 && count === 0) return this.#kept
    if (serialDistance(statSn, this.#acknowledged) > 0) return 'acknowledged'
    const end = count === 0 ? this.#nextStatSn : serialAdd(statSn, count)
    if (serialDistance(statSn, this.#nextStatSn) <= 0) return 'never-sent'
    if (serialDistance(end, this.#nextStatSn) < 0) return 'never-sent'
    const first = this.#kept[0]
    if (first === undefined || serialDistance(statSn, first.statSn) > 0) return 'forgotten'
    return this.#kept.filter(
      (each) => serialDistance(statSn, each.statSn) >= 0 && serialDistance(each.statSn, end) > 0,
    )
  }

  /** The answer to the command with this tag: the newest, for a tag may be used again. */
  answer(initiatorTaskTag: number): SentAnswer | undefined {
    return this.#find((answer) => answer.task.command.initiatorTaskTag === initiatorTaskTag)
  }

  /** It was sent over another connection. */
  forget(answer: SentAnswer): void {
    this.#kept.splice(this.#kept.indexOf(answer), 1)
    this.#given(answer.heldBytes)
  }

  /** The answer whose Data-In PDUs ask to be acknowledged under this tag. */
  acknowledging(targetTransferTag: number): SentAnswer | undefined {
    return this.#find((answer) => answer.ackTag === targetTransferTag)
  }

  #find(fits: (answer: SentAnswer) => boolean): SentAnswer | undefined {
    for (let index = this.#kept.length - 1; index >= 0; index--) {
      const each = this.#kept[index]!
      if (each.kind === 'answer' && fits(each)) return each
    }
    return undefined
  }

  #dropFirst(): void {
    this.#given(this.#kept.shift()!.heldBytes)
  }

  #given(bytes: number): void {
    this.#heldBytes -= bytes
    this.#memory.budget.less(bytes)
  }
}

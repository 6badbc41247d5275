/**
 * Who may still believe that something it wrote is safe when it is not. A new epoch says that a
 * segment lost what no flush had made durable: then the next flush of every initiator logged in
 * before fails, unless all that it wrote was acknowledged before a flush of the whole volume was
 * sent that answered GOOD (design, section 6). Bookkeeping of one volume, in this process only. What an
 * initiator wrote through another front end is not known here: it counts as not flushed, in the epoch
 * that comes while it works there, for a while, as in one that comes after it has moved here.
 */
import { shim } from '../../src/base/limits.ts'
import type { Clock } from '../../src/ports/clock.ts'

interface Account {
  /** Writes begun so far. */
  begun: number
  /** Of those, not yet answered. */
  open: number
  /** All writes up to this one were acknowledged before a good flush was sent. */
  covered: number
  /** The next flush has to fail. */
  owed: boolean
  /** It has to until then, if the initiator was not told of its loss where it worked. */
  owedUntilMs: number
  sessions: number
}

/** What a flush may cover, noted when it is sent. */
export interface FlushTicket {
  readonly epoch: number
  readonly covers: ReadonlyMap<Account, number>
}

export class FlushLedger {
  readonly #clock: Clock
  readonly #accounts = new Map<string, Account>()
  /** Counts the new epochs seen here, of whatever segment. */
  #epoch = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  loggedIn(initiatorName: string): void {
    this.#account(initiatorName).sessions++
  }

  /** What an initiator without a session leaves behind is kept only as long as it matters. */
  loggedOut(initiatorName: string): void {
    const account = this.#account(initiatorName)
    account.sessions--
    this.#forgetIfSettled(initiatorName, account)
  }

  /** A write is about to be sent; call what is returned when it was answered, however. */
  writeBegins(initiatorName: string): () => void {
    const account = this.#account(initiatorName)
    account.begun++
    account.open++
    return () => {
      account.open--
    }
  }

  /** A flush of the whole volume is about to be sent. */
  flushBegins(): FlushTicket {
    const covers = new Map<Account, number>()
    for (const account of this.#accounts.values()) {
      if (account.open === 0) covers.set(account, account.begun)
    }
    return { epoch: this.#epoch, covers }
  }

  /** It was answered GOOD by all segments. False: its initiator must hear of a write error. */
  flushEnds(ticket: FlushTicket, initiatorName: string): boolean {
    const own = this.#account(initiatorName)
    if (ticket.epoch === this.#epoch) {
      for (const [account, upTo] of ticket.covers) {
        account.covered = Math.max(account.covered, upTo)
      }
      this.#sweep()
    }
    const isOwed = own.owed || this.#clock.nowMs() < own.owedUntilMs
    own.owed = false
    own.owedUntilMs = Number.NEGATIVE_INFINITY
    return !isOwed
  }

  /** It has worked through another front end until now. */
  inherits(initiatorName: string): void {
    this.#account(initiatorName).begun++
  }

  /** A segment has lost what was not flushed; `elsewhere`: who worked through another front end. */
  newEpoch(elsewhere: readonly string[] = []): void {
    this.#epoch++
    const untilMs = this.#clock.nowMs() + shim.lossElsewhereMs
    for (const initiatorName of elsewhere) {
      const account = this.#accounts.get(initiatorName)
      if (account !== undefined) account.owedUntilMs = untilMs
    }
    for (const account of this.#accounts.values()) {
      if (account.covered < account.begun) account.owed = true
    }
  }

  #account(initiatorName: string): Account {
    let account = this.#accounts.get(initiatorName)
    if (account === undefined) {
      account = {
        ...{ begun: 0, open: 0, covered: 0, owed: false, sessions: 0 },
        owedUntilMs: Number.NEGATIVE_INFINITY,
      }
      this.#accounts.set(initiatorName, account)
    }
    return account
  }

  #sweep(): void {
    for (const [name, account] of this.#accounts) this.#forgetIfSettled(name, account)
  }

  #forgetIfSettled(initiatorName: string, account: Account): void {
    const settled = account.covered === account.begun && !account.owed && account.open === 0
    if (settled && account.sessions <= 0) this.#accounts.delete(initiatorName)
  }
}

/**
 * NOP-In pings of one session (RFC 7143 11.19) and what they prove: that the initiator, which sent
 * an answer after a moment we know, was alive then. It owns the tags of the pings.
 */
import { portal } from '../base/limits.ts'
import type { Clock } from '../ports/clock.ts'

interface Ping {
  readonly sentAtMs: number
  readonly resolve: (answered: boolean) => void
}

export class Pinger {
  readonly #clock: Clock
  readonly #send: (targetTransferTag: number) => void
  readonly #waiting = new Map<number, Ping>()
  #nextTag = 1
  #provenAtMs = Number.NEGATIVE_INFINITY
  #heardAtMs: number
  #ended = false

  constructor(clock: Clock, send: (targetTransferTag: number) => void) {
    this.#clock = clock
    this.#send = send
    this.#heardAtMs = clock.nowMs()
  }

  /** When the newest answered ping was sent. */
  get provenAtMs(): number {
    return this.#provenAtMs
  }

  /** True once it is answered, false when the session ended first. */
  ping(): Promise<boolean> {
    if (this.#ended) return Promise.resolve(false)
    const tag = this.#nextTag
    this.#nextTag = tag >= 0x7fffffff ? 1 : tag + 1
    return new Promise((resolve) => {
      this.#waiting.set(tag, { sentAtMs: this.#clock.nowMs(), resolve })
      this.#send(tag)
    })
  }

  /** An answer came. False: no such ping. */
  answered(tag: number): boolean {
    const ping = this.#waiting.get(tag)
    if (ping === undefined) return false
    this.#waiting.delete(tag)
    this.#provenAtMs = Math.max(this.#provenAtMs, ping.sentAtMs)
    ping.resolve(true)
    return true
  }

  /** Anything came from the peer. */
  heard(): void {
    this.#heardAtMs = this.#clock.nowMs()
  }

  /** Looked at now and then: pings a silent peer; false when it has been silent for too long. */
  sweep(options: { readonly mayPing: boolean }): boolean {
    const silentMs = this.#clock.nowMs() - this.#heardAtMs
    if (silentMs < portal.idleBeforePingMs) return true
    if (silentMs >= portal.idleBeforePingMs + portal.pingDeadlineMs) return false
    if (options.mayPing && this.#waiting.size === 0) void this.ping()
    return true
  }

  end(): void {
    this.#ended = true
    for (const { resolve } of this.#waiting.values()) resolve(false)
    this.#waiting.clear()
  }
}

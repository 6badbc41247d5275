/**
 * Proofs that the initiator of one session was alive, each of a moment we know: it answered a
 * NOP-In of ours (RFC 7143 11.19), sent data for an R2T, or acknowledged a response, all of which
 * it can only do after we sent them. It owns the tags of the pings.
 *
 * A busy initiator proves its life by what it does, and is not pinged for it. That is more than
 * thrift: libiscsi breaks a session off when it has to answer a NOP-In while data for an R2T are in
 * its queue, because it gives its answer the CmdSN of their command, which has been acknowledged.
 */
import { portal } from '../base/limits.ts'
import { serialDistance } from '../base/serial.ts'
import type { Cancel, Clock } from '../ports/clock.ts'

interface Ping {
  readonly askedAtMs: number
  readonly resolve: (answered: boolean) => void
  /** Set while the NOP-In is put off. */
  cancel: Cancel | undefined
  /** False: its answer proves nothing. */
  counts: boolean
}

/** Something that only a living initiator can answer, and no earlier than `atMs`. */
interface Mark {
  readonly number: number
  readonly atMs: number
}

export interface PingerOptions {
  readonly clock: Clock
  readonly send: (targetTransferTag: number) => void
  /** Data for R2Ts are still to come. */
  readonly soliciting: () => boolean
}

export class Pinger {
  readonly #clock: Clock
  readonly #options: PingerOptions
  readonly #waiting = new Map<number, Ping>()
  #nextTag = 1
  #provenAtMs = Number.NEGATIVE_INFINITY
  #heardAtMs: number
  #ended = false
  #response: Mark | undefined
  #request: Mark | undefined

  constructor(options: PingerOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#heardAtMs = options.clock.nowMs()
  }

  /** When the newest thing was sent that the initiator has answered. */
  get provenAtMs(): number {
    return this.#provenAtMs
  }

  /** True once the initiator has proved that it lives now, false when the session ended first. */
  ping(): Promise<boolean> {
    if (this.#ended) return Promise.resolve(false)
    const tag = this.#nextTag
    this.#nextTag = tag >= 0x7fffffff ? 1 : tag + 1
    return new Promise((resolve) => {
      const ping: Ping = {
        askedAtMs: this.#clock.nowMs(),
        resolve,
        cancel: undefined,
        counts: true,
      }
      this.#waiting.set(tag, ping)
      if (this.#options.soliciting()) {
        ping.cancel = this.#clock.after(portal.pingPutOffMs, () => this.#options.send(tag))
      } else {
        this.#options.send(tag)
      }
    })
  }

  /** An answer came. False: no such ping. */
  answered(tag: number): boolean {
    const ping = this.#waiting.get(tag)
    if (ping === undefined) return false
    this.#waiting.delete(tag)
    ping.cancel?.()
    ping.resolve(true)
    if (ping.counts) this.#proven(ping.askedAtMs)
    return true
  }

  /** Nothing counts any more but answers to what is sent from now on. */
  distrust(): void {
    this.#provenAtMs = Number.NEGATIVE_INFINITY
    this.#response = undefined
    this.#request = undefined
    for (const ping of this.#waiting.values()) ping.counts = false
  }

  /** The peer took what it was sent. */
  heard(): void {
    this.#heardAtMs = this.#clock.nowMs()
  }

  /**
   * Any PDU came. `nextStatSn` is that of our next response; once the initiator acknowledges the one
   * after it, it has seen something that was sent after this moment. (Not the next itself: its
   * number stands in NOP-Ins sent before, and an initiator might take those for it.)
   */
  received(expStatSn: number, nextStatSn: number): void {
    const nowMs = this.#clock.nowMs()
    this.#heardAtMs = nowMs
    const mark = this.#response
    if (mark !== undefined) {
      if (serialDistance(mark.number, expStatSn) < 2) return
      this.#proven(mark.atMs)
    }
    this.#response = { number: nextStatSn, atMs: nowMs }
  }

  /** An R2T goes out. */
  requested(targetTransferTag: number): void {
    const nowMs = this.#clock.nowMs()
    // One is watched at a time; one that was aborted meanwhile may never be answered.
    if (this.#request !== undefined && nowMs - this.#request.atMs < portal.pingPutOffMs) return
    this.#request = { number: targetTransferTag, atMs: nowMs }
  }

  /** Data came for an R2T. */
  delivered(targetTransferTag: number): void {
    if (this.#request?.number !== targetTransferTag) return
    this.#proven(this.#request.atMs)
    this.#request = undefined
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
    for (const { resolve, cancel } of this.#waiting.values()) {
      cancel?.()
      resolve(false)
    }
    this.#waiting.clear()
  }

  /** Also answers pings that were asked for before: their NOP-In may be on its way, or put off. */
  #proven(atMs: number): void {
    if (atMs <= this.#provenAtMs) return
    this.#provenAtMs = atMs
    for (const [tag, { askedAtMs, resolve, cancel }] of this.#waiting) {
      if (askedAtMs >= atMs) return
      this.#waiting.delete(tag)
      cancel?.()
      resolve(true)
    }
  }
}

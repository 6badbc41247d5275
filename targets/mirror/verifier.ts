/**
 * The comparison of all copies of a segment that an administrator asked for, for as long as this
 * server is the primary: it rests while the volume is closed and goes on where it was under the next
 * map. What it found stays until the next one is asked for. The comparing itself is Verification's.
 */
import { background } from '../../src/base/background.ts'
import { toError } from '../../src/base/errors.ts'
import { mirror as limits } from '../../src/base/limits.ts'
import type { Difference, SegmentVerification } from '../../src/control/messages/server.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import { Verification, type VerificationOptions } from './verification.ts'

/** What a comparison works with under one map. */
export type Bench = Omit<VerificationOptions, 'repair' | 'firstRegion'>

interface Found {
  readonly nextRegion: number
  readonly comparedBytes: number
  readonly differingPages: number
  readonly repairedPages: number
  readonly named: readonly Difference[]
}

const nothing: Found = {
  nextRegion: 0,
  comparedBytes: 0,
  differingPages: 0,
  repairedPages: 0,
  named: [],
}

/** How many of the first differences are told; all are counted. */
type Said = Omit<SegmentVerification, 'segmentId' | 'totalBytes'>

export class Verifier {
  readonly #clock: Clock
  #bench: Bench | undefined
  #asked: { readonly repair: boolean; readonly startedMs: number } | undefined
  #run: Verification | undefined
  /** By those before `#run`. */
  #found: Found = nothing
  /** Tries that ended where they began: a copy may not know the newest map yet, or be away. */
  #failures = 0
  #cancelRetry: Cancel | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes the place of one that runs. */
  start(repair: boolean): void {
    this.#cancelRetry?.()
    this.#run?.stop()
    this.#run = undefined
    this.#found = nothing
    this.#failures = 0
    this.#asked = { repair, startedMs: this.#clock.nowMs() }
    this.#go()
  }

  /** The segment is served, under this map. */
  serve(bench: Bench): void {
    this.rest()
    this.#bench = bench
    if (this.#run === undefined) this.#go()
  }

  /** The segment is not served for now. */
  rest(): void {
    this.#bench = undefined
    this.#cancelRetry?.()
    if (this.#state() !== 'running') return
    this.#run?.stop()
    this.#keepFound()
  }

  /** Another server is the primary. */
  forget(): void {
    this.rest()
    this.#asked = undefined
    this.#run = undefined
    this.#found = nothing
  }

  report(): Said {
    const { nextRegion: _, ...found } = this.#sum()
    const state = this.#state()
    const ms = this.#clock.nowMs() - (this.#asked?.startedMs ?? 0)
    const isRunning = state === 'running' && ms > 0
    return {
      ...found,
      state,
      cause: this.#run?.progress.why ?? '',
      bytesPerSecond: isRunning ? Math.round((found.comparedBytes / ms) * 1000) : 0,
    }
  }

  #go(): void {
    if (this.#asked === undefined || this.#bench === undefined) return
    if (this.#bench.partners.length === 0) return
    const { repair } = this.#asked
    const { nextRegion } = this.#found
    const run = new Verification({ ...this.#bench, repair, firstRegion: nextRegion })
    const { log } = this.#bench
    this.#run = run
    background(
      run.ended.then(() => this.#ended(run, nextRegion)),
      (error) => log.error('comparing copies failed', { error: toError(error) }),
    )
  }

  #ended(run: Verification, firstRegion: number): void {
    if (this.#run !== run || run.progress.state !== 'failed') return
    this.#failures = run.progress.nextRegion > firstRegion ? 1 : this.#failures + 1
    if (this.#failures >= limits.verifyTries) return
    this.#keepFound()
    this.#cancelRetry = this.#clock.after(limits.retryLongestMs, () => this.#go())
  }

  #keepFound(): void {
    this.#found = this.#sum()
    this.#run = undefined
  }

  #state(): Said['state'] {
    if (this.#asked === undefined) return 'none'
    const state = this.#run?.progress.state
    if (state === 'done' || state === 'failed') return state
    return this.#run === undefined && this.#bench?.partners.length === 0 ? 'alone' : 'running'
  }

  #sum(): Found {
    const now = this.#run?.progress
    if (now === undefined) return this.#found
    const { comparedBytes, differingPages, repairedPages, named } = this.#found
    return {
      nextRegion: now.nextRegion,
      comparedBytes: comparedBytes + now.comparedBytes,
      differingPages: differingPages + now.differingPages,
      repairedPages: repairedPages + now.repairedPages,
      named: [...named, ...now.differences],
    }
  }
}

/**
 * Brings a replica that is behind up to date, while clients go on, for as long as the map calls it
 * behind: attempt after attempt until one comes to its end, and from then on as long as nothing it
 * was sent fails. Then it is `up-to-date`, which the manager makes `in sync` by a change of the map.
 *
 * One of these belongs to one replica and one map, on the primary. It is begun after the masks were
 * brought together (Comparison). It sends no writes of clients: it says whether they are to be sent.
 */
import { StorageError } from '../../src/base/errors.ts'
import { BringUpRun, type BringUpRunOptions } from './bring-up-run.ts'
import { PartnerFailure } from './partner.ts'
import { Rate } from './rate.ts'
import { RetryWait } from './retry-wait.ts'

export interface BringUpOptions extends BringUpRunOptions {
  /** The state is another one: the manager wants to know. */
  readonly changed: () => void
}

/** `behind`: waits for the replica, or for another attempt. */
export type BringUpState = 'behind' | 'copying' | 'up-to-date'

export interface BringUpProgress {
  readonly state: BringUpState
  /** What it may lack; everything where that is not known. */
  readonly behindBytes: number
  /** What this attempt began with. */
  readonly totalBytes: number
  readonly bytesPerSecond: number
  /** Content sent to it by all attempts. */
  readonly copiedBytes: number
}

export class BringUp {
  readonly serverId: string
  /** Resolves after `stop`, when nothing of it is under way any more. */
  readonly ended: Promise<void>
  readonly #options: BringUpOptions
  readonly #retry: RetryWait
  readonly #rate: Rate
  #run: BringUpRun | undefined
  #copiedBytes = 0
  #upToDate = false
  #lastFailure = ''

  /** Begins at once. */
  constructor(options: BringUpOptions) {
    this.serverId = options.partner.serverId
    this.#options = options
    this.#retry = new RetryWait(options.clock)
    this.#rate = new Rate(options.clock)
    this.ended = this.#attempts()
  }

  /**
   * Whether a write is sent to it. To be asked in the turn in which the write is marked as lacked by
   * it: what is not sent is marked before this turns true.
   */
  get receivesWrites(): boolean {
    return this.#run?.receivesWrites === true
  }

  get state(): BringUpState {
    if (this.#upToDate && this.receivesWrites) return 'up-to-date'
    return this.receivesWrites ? 'copying' : 'behind'
  }

  /** Another attempt is another object: what one has copied says nothing in the next. */
  get attempt(): object | undefined {
    return this.#run
  }

  /** What is marked as lacked in this region must stay marked. */
  pending(region: number): boolean {
    return !this.receivesWrites || this.#run!.pending(region)
  }

  get progress(): BringUpProgress {
    const run = this.receivesWrites ? this.#run : undefined
    const lackedBytes = run === undefined ? this.#lackedBytes() : 0
    return {
      state: this.state,
      behindBytes: run?.pendingBytes ?? lackedBytes,
      totalBytes: run?.totalBytes ?? lackedBytes,
      bytesPerSecond: run === undefined ? 0 : this.#rate.bytesPerSecond,
      copiedBytes: this.#copiedBytes,
    }
  }

  /** Something it was sent did not succeed: it is sent nothing more, and all begins anew. */
  failed(): void {
    this.#run?.end()
    this.#retry.look()
  }

  /** Nothing is sent any more from this turn on. */
  stop(): void {
    this.#retry.stop()
    this.#run?.end()
  }

  #lackedBytes(): number {
    const { masks, partner } = this.#options
    const lacks = masks.label(partner.serverId) > 0 ? masks.lacks(partner.serverId) : undefined
    return lacks === undefined ? masks.bytes : masks.bytesOf(lacks)
  }

  async #attempts(): Promise<void> {
    while (!this.#retry.stopped) {
      await this.#retry.untilUp(this.#options.partner)
      if (this.#retry.stopped) return
      await this.#attempt()
      await this.#retry.delay()
    }
  }

  async #attempt(): Promise<void> {
    const { partner, regions, log, changed } = this.#options
    const run = new BringUpRun(this.#options, {
      begun: changed,
      copied: (region, bytes) => {
        this.#copiedBytes += bytes
        this.#rate.add(regions.bytes(region))
      },
    })
    this.#run = run
    const watched = this.#watch(run)
    try {
      await run.run()
      this.#upToDate = true
      this.#retry.reset()
      log.info('replica is up to date', { serverId: partner.serverId, ...this.progress })
      changed()
      await watched
    } catch (error) {
      if (!(error instanceof PartnerFailure || error instanceof StorageError)) throw error
      this.#tell(error)
    }
    const hadBegun = run.begun
    run.end()
    this.#retry.look()
    await watched
    this.#upToDate = false
    this.#run = undefined
    if (hadBegun) changed()
  }

  /** Once for each reason: the next attempts may have the same, every second, for days. */
  #tell(error: Error): void {
    if (this.#retry.stopped || error.message === this.#lastFailure) return
    this.#lastFailure = error.message
    const { log, partner } = this.#options
    log.warn('replica is not up to date yet', { serverId: partner.serverId, error })
  }

  /** Whatever stood behind a session that ended may have lost what it had not flushed. */
  async #watch(run: BringUpRun): Promise<void> {
    const { partner } = this.#options
    while (!run.ended && partner.up) await this.#retry.untilChanged(partner)
    run.end()
  }
}

/**
 * Decides whether small file operations may run on the event loop. Where the page cache serves them
 * they take microseconds there, and a multiple of that through the thread pool; one that had to wait
 * for the disk sends the next ones to the pool, for a time that doubles while waits go on.
 */
import { performance } from 'node:perf_hooks'
import { fileIo } from '../base/limits.ts'

export interface LoopPaceOptions {
  /** Longer than this is suspected to have waited for the disk. */
  readonly slowMs: number
  /**
   * A count that grows when the disk is waited for. Without it the time alone decides, which then
   * must be long enough not to be a mere preemption of this thread.
   */
  readonly diskCount?: () => number
  /** Milliseconds that only grow; this process's own clock unless a test has another. */
  readonly nowMs?: () => number
}

export class LoopPace {
  readonly #options: LoopPaceOptions
  readonly #nowMs: () => number
  #count: number
  #inPool = false
  #poolUntilMs = 0
  #poolForMs: number = fileIo.poolFirstMs
  #quick = 0

  constructor(options: LoopPaceOptions) {
    this.#options = options
    this.#nowMs = options.nowMs ?? (() => performance.now())
    this.#count = options.diskCount?.() ?? 0
  }

  /** The time to give to `judge`, or undefined: use the pool. */
  begin(): number | undefined {
    const nowMs = this.#nowMs()
    if (!this.#inPool) return nowMs
    if (nowMs < this.#poolUntilMs) return undefined
    this.#inPool = false
    this.#count = this.#options.diskCount?.() ?? 0
    return nowMs
  }

  /** Called after an operation on the loop. */
  judge(begunMs: number): void {
    const nowMs = this.#nowMs()
    if (nowMs - begunMs <= this.#options.slowMs || !this.#waited()) {
      if (++this.#quick < fileIo.quickToForget) return
      this.#quick = 0
      this.#poolForMs = fileIo.poolFirstMs
      return
    }
    this.#quick = 0
    this.#inPool = true
    this.#poolUntilMs = nowMs + this.#poolForMs
    this.#poolForMs = Math.min(this.#poolForMs * 2, fileIo.poolLongestMs)
  }

  #waited(): boolean {
    const { diskCount } = this.#options
    if (diskCount === undefined) return true
    const count = diskCount()
    const grown = count !== this.#count
    this.#count = count
    return grown
  }
}

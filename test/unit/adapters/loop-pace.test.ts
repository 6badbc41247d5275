/** When small file operations leave the event loop, and when they come back. */
import t from 'tap'
import { LoopPace, type LoopPaceOptions } from '../../../src/adapters/loop-pace.ts'
import { fileIo } from '../../../src/base/limits.ts'

class PaceAtHand {
  readonly pace: LoopPace
  #nowMs = 1_000

  constructor(options: Omit<LoopPaceOptions, 'nowMs'>) {
    this.pace = new LoopPace({ ...options, nowMs: () => this.#nowMs })
  }

  get onLoop(): boolean {
    return this.pace.begin() !== undefined
  }

  /** An operation that takes so long. */
  took(ms: number): void {
    const begunMs = this.#nowMs
    this.#nowMs += ms
    this.pace.judge(begunMs)
  }

  /** How long the pool is used from now on. */
  untilOnLoop(): number {
    const fromMs = this.#nowMs
    while (!this.onLoop) this.#nowMs++
    return this.#nowMs - fromMs
  }
}

t.test('time alone decides', async (t) => {
  const hand = new PaceAtHand({ slowMs: 50 })
  t.ok(hand.onLoop)
  hand.took(0)
  t.ok(hand.onLoop, 'a quick one stays')
  hand.took(60)
  t.notOk(hand.onLoop, 'a slow one sends the next to the pool')
  t.equal(hand.untilOnLoop(), fileIo.poolFirstMs)
  hand.took(60)
  t.equal(hand.untilOnLoop(), 2 * fileIo.poolFirstMs, 'longer while it goes on')
  for (let waits = 0; waits < 20; waits++) {
    hand.took(60)
    t.ok(hand.untilOnLoop() <= fileIo.poolLongestMs)
  }
  for (let quick = 0; quick < fileIo.quickToForget; quick++) hand.took(0)
  hand.took(60)
  t.equal(hand.untilOnLoop(), fileIo.poolFirstMs, 'what was long ago is forgotten')
})

t.test('a thread that was merely preempted has not waited for the disk', async (t) => {
  let count = 7
  const hand = new PaceAtHand({ slowMs: 50, diskCount: () => count })
  hand.took(60)
  t.ok(hand.onLoop)
  count++
  hand.took(0)
  t.ok(hand.onLoop, 'what others read meanwhile does not count while all is quick')
  hand.took(60)
  t.notOk(hand.onLoop)
  count++
  hand.untilOnLoop()
  hand.took(60)
  t.ok(hand.onLoop, 'nor what the pool read')
})

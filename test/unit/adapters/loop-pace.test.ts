/** When small file operations leave the event loop, and when they come back. */
import { performance } from 'node:perf_hooks'
import t from 'tap'
import { LoopPace } from '../../../src/adapters/loop-pace.ts'
import { fileIo } from '../../../src/base/limits.ts'

/** An operation that took `tookMs` up to now. */
function took(pace: LoopPace, tookMs: number): void {
  pace.judge(performance.now() - tookMs)
}

async function untilOnLoop(pace: LoopPace): Promise<number> {
  const fromMs = performance.now()
  while (pace.begin() === undefined) await new Promise((resolve) => setImmediate(resolve))
  return performance.now() - fromMs
}

t.test('time alone decides', async (t) => {
  const pace = new LoopPace({ slowMs: 50 })
  t.ok(pace.begin() !== undefined)
  took(pace, 0)
  t.ok(pace.begin() !== undefined, 'a quick one stays')
  took(pace, 60)
  t.equal(pace.begin(), undefined, 'a slow one sends the next to the pool')
  const first = await untilOnLoop(pace)
  took(pace, 60)
  const second = await untilOnLoop(pace)
  t.ok(first >= fileIo.poolFirstMs - 2, `${first} ms`)
  t.ok(second >= 2 * fileIo.poolFirstMs - 2, `longer while it goes on: ${second} ms`)
  for (let quick = 0; quick < fileIo.quickToForget; quick++) took(pace, 0)
  took(pace, 60)
  t.equal(pace.begin(), undefined)
  await untilOnLoop(pace)
})

t.test('a thread that was merely preempted has not waited for the disk', async (t) => {
  let count = 7
  const pace = new LoopPace({ slowMs: 50, diskCount: () => count })
  took(pace, 60)
  t.ok(pace.begin() !== undefined)
  count++
  took(pace, 0)
  t.ok(pace.begin() !== undefined, 'what others read meanwhile does not count while all is quick')
  took(pace, 60)
  t.equal(pace.begin(), undefined)
  count++
  await untilOnLoop(pace)
  took(pace, 60)
  t.ok(pace.begin() !== undefined, 'nor what the pool read')
})

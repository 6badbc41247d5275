/**
 * Clock on Node. `nowMs` is CLOCK_MONOTONIC; `bootMs` comes from /proc/uptime, which the kernel
 * fills from CLOCK_BOOTTIME and which therefore counts suspended time, in steps of 10 ms.
 */
import { uptime } from 'node:os'
import { performance } from 'node:perf_hooks'
import { assert } from '../base/assert.ts'
import type { Cancel, Clock } from '../ports/clock.ts'

/** setTimeout turns anything longer into 1 ms. */
const longestTimerMs = 2 ** 31 - 1

export const nodeClock: Clock = {
  nowMs: () => performance.now(),
  bootMs: () => uptime() * 1000,
  wallMs: () => Date.now(),
  after(delayMs: number, run: () => void): Cancel {
    assert(delayMs >= 0 && delayMs <= longestTimerMs, `a timer of ${delayMs} ms`)
    const timer = setTimeout(run, delayMs)
    return () => clearTimeout(timer)
  },
}

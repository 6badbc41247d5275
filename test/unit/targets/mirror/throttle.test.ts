import t from 'tap'
import { mirror } from '../../../../src/base/limits.ts'
import { Rate } from '../../../../targets/mirror/rate.ts'
import { Throttle } from '../../../../targets/mirror/throttle.ts'
import { ManualClock } from '../../../support/manual-clock.ts'

const mib = 1024 * 1024

t.test('on the whole no more is moved than the limit says', async (t) => {
  const clock = new ManualClock()
  const throttle = new Throttle(clock, 10 * mib)
  let moved = 0
  let stopped = false
  const mover = async (): Promise<void> => {
    while (!stopped) {
      for (let wait = throttle.wait(); wait !== undefined; wait = throttle.wait()) await wait
      moved += mib
      throttle.spend(mib)
    }
  }
  const movers = [mover(), mover()]
  await clock.advance(10_000)
  const after10s = moved
  t.ok(after10s > 95 * mib && after10s < 105 * mib, `${after10s / mib} MiB in 10 s`)
  throttle.bytesPerSecond = 50 * mib
  await clock.advance(10_000)
  const more = moved - after10s
  t.ok(more > 480 * mib && more < 520 * mib, `${more / mib} MiB in 10 s more`)
  stopped = true
  await clock.advance(1_000)
  await Promise.all(movers)
})

t.test('without a limit nobody waits; a wait ends within a second', async (t) => {
  const clock = new ManualClock()
  const throttle = new Throttle(clock, 0)
  throttle.spend(1000 * mib)
  t.equal(throttle.wait(), undefined)
  throttle.bytesPerSecond = 1
  t.equal(throttle.wait(), undefined, 'what was free is not owed')
  throttle.spend(mib)
  let looked = false
  const wait = throttle.wait()?.then(() => {
    looked = true
  })
  await clock.advance(1_000)
  t.ok(looked)
  await wait
  t.ok(throttle.wait(), 'still owed')
  throttle.bytesPerSecond = 0
  t.equal(throttle.wait(), undefined)
  t.equal(throttle.bytesPerSecond, 0)
})

t.test('work that takes long is followed by as long a rest', async (t) => {
  const clock = new ManualClock()
  const throttle = new Throttle(clock, 10 * mib)
  let pieces = 0
  const mover = async (): Promise<void> => {
    while (clock.nowMs() < 20_000) {
      for (let wait = throttle.wait(); wait !== undefined; wait = throttle.wait()) await wait
      const spend = throttle.begin()
      // A fifth of the limit.
      await new Promise<void>((resolve) => clock.after(500, resolve))
      spend(mib)
      pieces++
    }
  }
  const moved = mover()
  await clock.advance(10_000)
  t.ok(pieces >= 9 && pieces <= 11, `${pieces} pieces of half a second in 10 s`)
  await clock.advance(20_000)
  await moved
  throttle.spend(0, 3_600_000)
  await clock.advance(1_000)
  t.equal(throttle.wait(), undefined, 'no rest is longer than a second')
})

t.test('time that was not used counts for a moment only', async (t) => {
  const clock = new ManualClock()
  const throttle = new Throttle(clock, 4 * mib)
  await clock.advance(60_000)
  throttle.spend(mib)
  t.equal(throttle.wait(), undefined)
  throttle.spend(mib)
  t.ok(throttle.wait())
})

t.test('a rate is of the last seconds, whatever was before', async (t) => {
  const clock = new ManualClock()
  const rate = new Rate(clock)
  t.equal(rate.bytesPerSecond, 0)
  const steadily = async (perSecond: number, seconds: number): Promise<void> => {
    for (let i = 0; i < seconds * 10; i++) {
      rate.add(perSecond / 10)
      await clock.advance(100)
    }
  }
  await steadily(1000, 3)
  t.equal(rate.bytesPerSecond, 1000)
  await steadily(4000, (3 * mirror.rateWindowMs) / 1000)
  t.ok(Math.abs(rate.bytesPerSecond - 4000) < 200, `${rate.bytesPerSecond}`)
  await clock.advance(2 * mirror.rateWindowMs)
  rate.add(0)
  await clock.advance(mirror.rateWindowMs)
  t.ok(rate.bytesPerSecond < 100, `${rate.bytesPerSecond}`)
})

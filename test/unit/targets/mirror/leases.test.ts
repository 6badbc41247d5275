/** Leases and what is promised of them: counted from sending, by a clock that counts suspension. */
import t from 'tap'
import { mirror as limits } from '../../../../src/base/limits.ts'
import { Confirmer } from '../../../../targets/mirror/confirmer.ts'
import { Leases, leaseTerms } from '../../../../targets/mirror/leases.ts'
import { RunningTime } from '../../../../targets/mirror/running-time.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import {
  mirrorMap,
  second,
  segmentId,
  third,
  withStates,
} from '../../../support/replication-rig.ts'

/** The machine can be suspended: boot time goes on, the other clock does not. */
class LaptopClock extends ManualClock {
  #suspendedMs = 0

  override bootMs(): number {
    return this.nowMs() + this.#suspendedMs
  }

  /** So much time goes by, and the clock that counts from boot does not say so. */
  async stand(ms: number): Promise<void> {
    this.#suspendedMs -= ms
    await this.advance(ms)
  }

  suspend(ms: number): void {
    this.#suspendedMs += ms
  }
}

const map = withStates(mirrorMap(7), 'iib')
const terms = leaseTerms(map, map.segments[0]!)
const toSecond = { serverId: second.serverId, number: 16 }
const toThird = { serverId: third.serverId, number: 16 }

t.test('who must confirm: the other in-sync replicas', async (t) => {
  t.strictSame(
    terms.partners.map(({ serverId }) => serverId),
    [second.serverId],
  )
  const alone = withStates(map, 'ibb')
  const leases = new Leases(new ManualClock())
  t.ok(leases.holds(leaseTerms(alone, alone.segments[0]!)), 'one replica needs no lease')
  t.notOk(leases.holds(terms))
  const all = withStates(map, 'iii')
  const both = leaseTerms(all, all.segments[0]!)
  leases.confirmed(toSecond, { generation: 7, sentAtMs: leases.sendingAtMs() })
  t.notOk(leases.holds(both), 'one of two')
  leases.confirmed(toThird, { generation: 7, sentAtMs: leases.sendingAtMs() })
  t.ok(leases.holds(both))
})

t.test('counted from sending, and read at the moment of asking', async (t) => {
  const clock = new ManualClock()
  const leases = new Leases(clock)
  const sentAtMs = leases.sendingAtMs()
  await clock.advance(1_500)
  leases.confirmed(toSecond, { generation: 7, sentAtMs })
  t.ok(leases.holds(terms))
  await clock.advance(499)
  t.ok(leases.holds(terms))
  await clock.advance(1)
  t.notOk(leases.holds(terms), 'a lease after it was sent, whenever the answer came')
})

t.test('an answer that was overtaken takes nothing back', async (t) => {
  const clock = new ManualClock()
  const leases = new Leases(clock)
  const earlierMs = leases.sendingAtMs()
  await clock.advance(1_000)
  leases.confirmed(toSecond, { generation: 7, sentAtMs: leases.sendingAtMs() })
  leases.confirmed(toSecond, { generation: 7, sentAtMs: earlierMs })
  leases.confirmed(toSecond, { generation: 6, sentAtMs: earlierMs })
  await clock.advance(1_500)
  t.ok(leases.holds(terms))
  leases.confirmed(toSecond, { generation: 6, sentAtMs: leases.sendingAtMs() })
  t.notOk(leases.holds(terms), 'it confirms another generation now')
})

t.test('a heartbeat that leaves a replica out, and a refusal, end the lease at once', async (t) => {
  const clock = new ManualClock()
  const leases = new Leases(clock)
  leases.beaten(second.serverId, new Map([[16, 7]]), leases.sendingAtMs())
  leases.beaten(third.serverId, new Map([[16, 7]]), leases.sendingAtMs())
  t.ok(leases.holds(terms))
  leases.beaten(third.serverId, new Map(), leases.sendingAtMs())
  t.ok(leases.holds(terms), 'what the third says is of the third')
  leases.beaten(second.serverId, new Map([[17, 7]]), leases.sendingAtMs())
  t.notOk(leases.holds(terms))
  leases.beaten(second.serverId, new Map([[16, 7]]), leases.sendingAtMs())
  leases.refused(toSecond, 6)
  t.ok(leases.holds(terms), 'a former generation was refused')
  leases.refused(toSecond, 7)
  t.notOk(leases.holds(terms))
})

t.test('a suspended machine has no lease, whatever its monotonic clock says', async (t) => {
  const clock = new LaptopClock()
  const leases = new Leases(clock)
  const beforeMs = leases.sendingAtMs()
  leases.confirmed(toSecond, { generation: 7, sentAtMs: beforeMs })
  clock.suspend(limits.clocksPartMs)
  t.ok(leases.holds(terms), 'within what clocks differ by')
  clock.suspend(limits.clocksPartMs + 1)
  t.notOk(leases.holds(terms), 'long before the lease is over: all is void')
  leases.confirmed(toSecond, { generation: 7, sentAtMs: beforeMs })
  t.notOk(leases.holds(terms), 'also what was sent before and is answered now')
  leases.confirmed(toSecond, { generation: 7, sentAtMs: leases.sendingAtMs() })
  t.notOk(leases.holds(terms), 'in the very moment it may have been sent before')
  await clock.advance(1)
  leases.confirmed(toSecond, { generation: 7, sentAtMs: leases.sendingAtMs() })
  t.ok(leases.holds(terms))
  await clock.advance(1_000)
  clock.suspend(60_000)
  t.notOk(leases.holds(terms))
})

t.test('no lease by a clock that stands still, however often it is looked at', async (t) => {
  const clock = new LaptopClock()
  await clock.advance(100)
  const leases = new Leases(clock)
  await clock.advance(100)
  for (const apart of [1, 10]) {
    leases.confirmed(toSecond, { generation: 7, sentAtMs: leases.sendingAtMs() })
    t.ok(leases.holds(terms))
    for (let ms = 0; ms <= limits.clocksPartMs; ms += apart) {
      await clock.stand(apart)
      leases.holds(terms)
    }
    t.notOk(leases.holds(terms), `looked at every ${apart} ms`)
    leases.confirmed(toSecond, { generation: 7, sentAtMs: leases.sendingAtMs() })
    t.notOk(leases.holds(terms), 'sent while it stands')
    await clock.advance(5)
  }
})

t.test('the confirmer counts a tenth longer, from later on', async (t) => {
  const clock = new ManualClock()
  const confirmer = new Confirmer(clock)
  await clock.advance(60_000)
  t.equal(confirmer.leftMs(segmentId, 2_000), 0, 'it never confirmed')
  confirmer.confirmed(segmentId, 2_000)
  t.equal(confirmer.leftMs(segmentId, 2_000), 2_200)
  t.equal(confirmer.leftMs('another', 2_000), 0)
  await clock.advance(2_100)
  t.equal(confirmer.leftMs(segmentId, 2_000), 100)
  await clock.advance(100)
  t.equal(confirmer.leftMs(segmentId, 2_000), 0)
})

t.test('a holder that asked before never outlasts what the confirmer counts', async (t) => {
  for (const delayMs of [0, 1, 700, 1_999]) {
    const clock = new ManualClock()
    const leases = new Leases(clock)
    const confirmer = new Confirmer(clock)
    await clock.advance(10_000)
    const sentAtMs = leases.sendingAtMs()
    await clock.advance(delayMs)
    confirmer.confirmed(segmentId, map.leaseMs)
    leases.confirmed(toSecond, { generation: 7, sentAtMs })
    await clock.advance(confirmer.leftMs(segmentId, map.leaseMs))
    t.notOk(leases.holds(terms), `${delayMs} ms on its way`)
  }
})

t.test('a server that has just started assumes that it confirmed everything', async (t) => {
  const clock = new LaptopClock()
  await clock.advance(5_000)
  const confirmer = new Confirmer(clock)
  t.equal(confirmer.leftMs(segmentId, 2_000), 2_200)
  await clock.advance(2_200)
  t.equal(confirmer.leftMs(segmentId, 2_000), 0)
  clock.suspend(1_000)
  t.equal(confirmer.leftMs(segmentId, 2_000), 2_200, 'clocks that parted are no better')
})

t.test('silence is not counted while this process stood still', async (t) => {
  const clock = new ManualClock()
  const running = new RunningTime(clock)
  t.teardown(() => running.stop())
  await clock.advance(1_000)
  t.equal(running.nowMs(), 1_000)
  let standing = 0
  class Standing extends ManualClock {
    override nowMs(): number {
      return super.nowMs() + standing
    }
  }
  const stopped = new Standing()
  const other = new RunningTime(stopped)
  t.teardown(() => other.stop())
  await stopped.advance(1_000)
  standing = 10_000
  t.ok(other.nowMs() <= 1_250, 'before its timer ran')
  await stopped.advance(100)
  t.ok(other.nowMs() <= 1_350)
  await stopped.advance(1_000)
  t.ok(other.nowMs() <= 2_350 && other.nowMs() >= 1_900, 'and it goes on')
})

/** The shim's rules that need no network: flushes and epochs, answers of servers, hold times. */
import fc from 'fast-check'
import t from 'tap'
import { FlushLedger } from '../../../initiator-shim/device/flush-ledger.ts'
import { Holds } from '../../../initiator-shim/router/holds.ts'
import { judge } from '../../../initiator-shim/router/judgement.ts'
import { LoginNumbers } from '../../../src/leg/login-numbers.ts'
import { checkCondition } from '../../../src/scsi/result.ts'
import { encodeDescriptors, encodeFixed } from '../../../src/scsi/sense-format.ts'
import { Reason, refusalResult } from '../../../src/volume/refusal.ts'
import { ManualClock } from '../../support/manual-clock.ts'

t.test('a new epoch fails the next flush of who wrote what was not flushed, once', async (t) => {
  const ledger = new FlushLedger(new ManualClock())
  ledger.loggedIn('safe')
  ledger.loggedIn('unsafe')
  ledger.loggedIn('reader')
  ledger.writeBegins('safe')()
  const covering = ledger.flushBegins()
  ledger.writeBegins('unsafe')()
  t.ok(ledger.flushEnds(covering, 'reader'))
  const open = ledger.flushBegins()
  ledger.newEpoch()
  t.notOk(ledger.flushEnds(open, 'unsafe'), 'also one that was under way')
  t.ok(ledger.flushEnds(ledger.flushBegins(), 'unsafe'), 'once')
  t.ok(ledger.flushEnds(ledger.flushBegins(), 'safe'))
  t.ok(ledger.flushEnds(ledger.flushBegins(), 'reader'))
})

t.test('what is still under way when a flush is sent is not covered by it', async (t) => {
  const ledger = new FlushLedger(new ManualClock())
  ledger.loggedIn('i')
  const ended = ledger.writeBegins('i')
  const flush = ledger.flushBegins()
  ended()
  t.ok(ledger.flushEnds(flush, 'i'))
  ledger.loggedOut('i')
  ledger.newEpoch()
  ledger.loggedIn('i')
  t.notOk(ledger.flushEnds(ledger.flushBegins(), 'i'), 'also after it came back')
})

t.test('what was written through another front end counts as not flushed', async (t) => {
  const clock = new ManualClock()
  const ledger = new FlushLedger(clock)
  for (const who of ['here', 'there', 'moved']) ledger.loggedIn(who)
  ledger.newEpoch(['there', 'nobody'])
  t.ok(ledger.flushEnds(ledger.flushBegins(), 'here'))
  t.notOk(ledger.flushEnds(ledger.flushBegins(), 'there'), 'it may have come since')
  t.ok(ledger.flushEnds(ledger.flushBegins(), 'there'), 'once')
  ledger.newEpoch(['there'])
  await clock.advance(600_000)
  t.ok(ledger.flushEnds(ledger.flushBegins(), 'there'), 'it was told where it worked')
  ledger.inherits('moved')
  ledger.newEpoch()
  t.notOk(ledger.flushEnds(ledger.flushBegins(), 'moved'))
  ledger.inherits('moved')
  t.ok(ledger.flushEnds(ledger.flushBegins(), 'here'), 'a flush covers it')
  ledger.newEpoch()
  t.ok(ledger.flushEnds(ledger.flushBegins(), 'moved'))
})

const step = fc.oneof(
  fc.constantFrom<'write' | 'flush' | 'epoch'>('write', 'flush', 'epoch'),
  fc.constantFrom<'write'>('write'),
)

t.test('the ledger equals a list of all that was written and flushed', async (t) => {
  const history = fc.array(fc.tuple(step, fc.constantFrom('a', 'b')), { maxLength: 40 })
  fc.assert(
    fc.property(history, (steps) => {
      const ledger = new FlushLedger(new ManualClock())
      const dirty = new Set<string>()
      const owed = new Set<string>()
      for (const who of ['a', 'b']) ledger.loggedIn(who)
      for (const [what, who] of steps) {
        if (what === 'write') {
          ledger.writeBegins(who)()
          dirty.add(who)
        } else if (what === 'epoch') {
          ledger.newEpoch()
          for (const each of dirty) owed.add(each)
        } else {
          t.equal(ledger.flushEnds(ledger.flushBegins(), who), !owed.delete(who))
          dirty.clear()
        }
      }
    }),
    { numRuns: 200 },
  )
})

function senseOf([key, asc, ascq]: readonly [number, number, number]): Buffer[] {
  const sense = { key, asc, ascq, information: 77 }
  return [encodeFixed(sense), encodeDescriptors(sense)]
}

function refused(reason: Reason): Buffer {
  const result = refusalResult({ reason, generation: 9 })
  if (result.status !== 2) throw new Error('a refusal is a check condition')
  return encodeDescriptors(result.sense)
}

t.test('the answer to each refusal', async (t) => {
  t.match(judge(2, refused(Reason.SENDER_OLDER)), { kind: 'newer-map' })
  for (const reason of [
    Reason.SENDER_NEWER,
    Reason.CLOSED,
    Reason.NOT_PRIMARY,
    Reason.INTERRUPTED,
  ]) {
    t.match(judge(2, refused(reason)), { kind: 'repeat' }, `reason ${reason}`)
  }
  const hardwareError = { key: 4, asc: 0x44, ascq: 0 }
  const header = judge(2, refused(Reason.HEADER))
  t.match(header, { kind: 'failed', result: { status: 2, sense: hardwareError } })
  t.ok('alarm' in header && header.alarm)
  t.match(judge(2, refused(Reason.NOT_ADMITTED)), { kind: 'failed', result: { status: 0x18 } })
})

t.test('the answer to every other status', async (t) => {
  t.same(judge(0, undefined), { kind: 'good' })
  for (const status of [0x08, 0x28, 0x40]) t.match(judge(status, undefined), { kind: 'repeat' })
  t.match(judge(0x18, undefined), { kind: 'failed', result: { status: 0x18 } })
  for (const status of [0x04, 0x30, 0xff]) {
    t.match(judge(status, undefined), { kind: 'failed', result: { status: 2 } }, 'never GOOD')
  }
  const repeats = [
    [6, 0x29, 0],
    [2, 4, 1],
    [0xb, 0, 0],
    [5, 0x25, 0],
  ] as const
  for (const codes of repeats) {
    for (const sense of senseOf(codes)) t.match(judge(2, sense), { kind: 'repeat' }, `${codes}`)
  }
  const [key, asc, ascq] = [3, 0x11, 0]
  for (const sense of senseOf([key, asc, ascq])) {
    // A block number of the replica says nothing to the initiator: no information is passed on.
    t.same(judge(2, sense), { kind: 'failed', result: checkCondition({ key, asc, ascq }) })
  }
  t.match(judge(2, undefined), { kind: 'failed' })
  t.match(judge(2, Buffer.from([0x71, 0, 6])), { kind: 'failed' }, 'deferred errors are not known')
})

t.test('the hold time runs from the first unanswered command', async (t) => {
  const clock = new ManualClock()
  const holds = new Holds(clock, () => 1_000)
  holds.begin('s', clock.nowMs())
  await clock.advance(600)
  holds.begin('s', clock.nowMs())
  holds.release('s')
  await clock.advance(400)
  t.ok(holds.expired('s'), 'the second began later and does not matter')
  t.notOk(holds.expired('other'))
  holds.reachable('s')
  t.ok(holds.expired('s'), 'a path that stands answers nobody yet')
  holds.release('s')
  t.ok(holds.expired('s'), 'nor does giving up')
  holds.reachable('s')
  t.notOk(holds.expired('s'))
  holds.begin('s', clock.nowMs())
  await clock.advance(1_000)
  holds.answered('s')
  t.notOk(holds.expired('s'))
  t.strictSame(holds.list(), [])
})

t.test('login numbers only grow, whatever the clock does', async (t) => {
  const clock = new ManualClock()
  const numbers = new LoginNumbers(clock)
  const first = numbers.next()
  t.equal(first, clock.wallMs())
  t.equal(numbers.next(), first + 1)
  await clock.advance(5_000)
  t.equal(numbers.next(), first + 5_000)
  numbers.seen(first + 9_000)
  t.equal(numbers.next(), first + 9_001, 'a server knew a higher one')
  numbers.seen(first)
  numbers.seen(Number.MAX_SAFE_INTEGER)
  t.equal(numbers.next(), first + 9_002)
})

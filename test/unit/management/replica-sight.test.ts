/** What is believed of replicas, and what servers that were asked to close make of it. */
import t from 'tap'
import type { CloseReply, SegmentCondition } from '../../../src/control/messages/server.ts'
import { Conditions } from '../../../src/management/conditions.ts'
import { neededChange } from '../../../src/management/replica-changes.ts'
import { ReplicaHealth } from '../../../src/management/replica-health.ts'
import { closedSight, ReplicaSight } from '../../../src/management/replica-sight.ts'
import { Suspicions } from '../../../src/management/suspicions.ts'
import { ManualClock } from '../../support/manual-clock.ts'
import { quietLog } from '../../support/quiet-log.ts'
import { testMap, testSegment, testUuid } from '../../support/volume-maps.ts'

const servers = ['a', 'b'].map((name) => ({ serverId: name, name, incarnation: name }))
const segment = testSegment(1, 0, 2048, servers)
const segmentId = testUuid(1)
const map = testMap({ segments: [segment] })
const { volumeId, generation } = map
const facts = {
  ...{ name: 's', portals: [], control: '', capacityBytes: 0, freeBytes: 0 },
  ...{ processId: '', version: '' },
}

/** The primary says that b is silent, or b that its primary is. */
function said(by: 'a' | 'b', silent: boolean): SegmentCondition {
  const bytes = { behindBytes: 0, totalBytes: 0, bytesPerSecond: 0, copiedBytes: 0 }
  const state = silent ? ('silent' as const) : ('confirming' as const)
  const partners = by === 'a' ? [{ serverId: 'b', state, incarnation: 'b', ...bytes }] : []
  const primarySilent = by === 'b' && silent
  return { segmentId, partners, primarySilent, comparingBytes: 0, diskFailed: false }
}

function setUp() {
  const clock = new ManualClock()
  const conditions = new Conditions(clock)
  const suspicions = new Suspicions({
    clock,
    describe: () => new Promise(() => undefined),
    lookAgain: () => undefined,
  })
  const unreachable = new Set<string>()
  const around = {
    ...{ clock, conditions, suspicions, log: quietLog },
    isReachable: (serverId: string) => !unreachable.has(serverId),
    isDead: () => false,
  }
  const sight = new ReplicaSight(around)
  for (const { serverId, incarnation } of servers) {
    sight.heard({ ...facts, serverId, storeIncarnation: incarnation }, [])
  }
  const volume = { map, hasMissed: () => false }
  const believed = () => sight.of(volume, segment)
  return {
    ...{ around, clock, suspicions, unreachable, believed },
    afterMs: () => sight.changesAfterMs(volume),
    suspects: () => sight.suspects(volume, segment),
    say: (by: 'a' | 'b', silent: boolean, under = generation) =>
      conditions.take(by, { volumeId, generation: under, segments: [said(by, silent)] }),
    report: (client: string, reachable: boolean) =>
      suspicions.reported({ client, serverId: 'a', portal: 'p', reachable, cause: '' }),
    wanted: () => {
      const change = neededChange(segment, believed())
      return change?.segment.replicas.map(({ serverId, state }) => `${serverId} ${state}`).join()
    },
  }
}

const dropped = 'a in-sync,b behind'
const replaced = 'b in-sync,a behind'

t.test('a word of the partner keeps it for a while', async (t) => {
  const { clock, say, wanted, believed, unreachable, afterMs, suspects } = setUp()
  t.equal(afterMs(), undefined)
  say('a', true)
  t.equal(wanted(), dropped, 'it said nothing')
  say('b', true)
  t.equal(wanted(), undefined)
  t.strictSame(suspects(), ['a', 'b'], 'whether both are there is asked')
  unreachable.add('b')
  t.equal(wanted(), dropped, 'it is not there')
  t.equal(afterMs(), undefined)
  unreachable.clear()
  await clock.advance(700)
  say('b', true, generation - 1)
  t.equal(wanted(), undefined, 'also one about an older map, but it is not begun anew')
  t.notOk(believed().missesPrimary('b'), 'which says nothing of this one')
  t.equal(afterMs(), 500)
  await clock.advance(500)
  t.equal(wanted(), dropped)
  t.equal(afterMs(), undefined)
  say('b', false)
  say('b', true)
  t.equal(wanted(), undefined, 'it heard its primary in between')
})

t.test('an accusation counts when the client has found no other way', async (t) => {
  const { clock, say, wanted, report, suspicions, afterMs } = setUp()
  report('one', false)
  await clock.advance(100)
  report('one', false)
  await clock.advance(149)
  t.notOk(suspicions.isShunned('a'))
  await clock.advance(1)
  t.ok(suspicions.isShunned('a'), 'repeated, it is no younger')
  t.equal(wanted(), undefined, 'and alone it is nothing: the manager goes by what servers say, too')
  say('b', true)
  t.equal(wanted(), replaced)
  report('one', true)
  t.equal(wanted(), undefined)
  say('a', true)
  await clock.advance(1_190)
  report('two', false)
  await clock.advance(20)
  t.equal(wanted(), undefined, 'the last word in time is waited for')
  t.equal(afterMs(), 230)
  await clock.advance(230)
  t.equal(wanted(), replaced)
  await clock.advance(60_000)
  t.equal(wanted(), dropped, 'it was not repeated for long')
})

t.test('under close the same holds', async (t) => {
  const { say, report, believed, clock } = setUp()
  const reply = (by: 'a' | 'b', silent: boolean, under = generation): CloseReply => ({
    ...{ generation: under, leaseLeftMs: 0, drainedMs: 0, sessions: 0 },
    segments: [said(by, silent)],
    incarnations: [{ segmentId, incarnation: by }],
  })
  const closed = (...replies: (readonly ['a' | 'b', CloseReply])[]) => {
    const of = new Map<string, CloseReply>(replies)
    const answers = { reply: (id: string) => of.get(id), isClosed: () => true }
    const sight = closedSight(segment, { map, answers, believed: believed() })
    const change = neededChange(segment, sight)
    return change?.segment.replicas.map(({ serverId, state }) => `${serverId} ${state}`).join()
  }
  say('b', true)
  t.equal(closed(['a', reply('a', true)]), undefined, 'it is kept, though it was not asked')
  report('one', false)
  await clock.advance(250)
  t.equal(closed(['a', reply('a', true)], ['b', reply('b', true)]), replaced)
  t.equal(closed(['a', reply('a', true)]), undefined, 'it has not answered close: not promoted')
  t.equal(
    closed(['a', reply('a', false)], ['b', reply('b', false)]),
    undefined,
    'it is heard again',
  )
  t.equal(
    closed(['a', reply('a', true)], ['b', reply('b', false, generation - 1)]),
    replaced,
    'an answer about an older map does not undo its word',
  )
  report('one', true)
  t.equal(
    closed(['a', reply('a', true)], ['b', reply('b', true)]),
    dropped,
    'another way was found',
  )
})

t.test('what time alone changes is looked at in time, until it is stopped', async (t) => {
  for (const stops of [false, true]) {
    const { around, clock, say, suspicions } = setUp()
    const health = new ReplicaHealth(around)
    const changedMs: number[] = []
    const never = new Promise<never>(() => undefined)
    const change = (): Promise<never> => {
      changedMs.push(clock.nowMs())
      return never
    }
    say('a', true)
    say('b', true)
    health.look({ map, hasMissed: () => false, change })
    // Whom they ask answers nothing, and would be looked at for that.
    suspicions.stop()
    if (stops) health.stop()
    t.equal(clock.timers, stops ? 0 : 1)
    await clock.advance(2_000)
    t.strictSame(changedMs, stops ? [] : [1_200])
    t.equal(clock.timers, 0)
  }
})

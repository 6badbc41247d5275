/** What becomes of the replicas of a segment, and where new ones go: the rules, as pure functions. */
import { deepStrictEqual, ok } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { PartnerCondition, PartnerState } from '../../../src/control/messages/server.ts'
import { neededChange, type Sight } from '../../../src/management/replica-changes.ts'
import { withSpares } from '../../../src/management/spare-replicas.ts'
import type { Replica, Segment } from '../../../src/volume/map.ts'
import { testMap, testSegment } from '../../support/volume-maps.ts'

/** What is so of one server. */
interface Fact {
  readonly answers: boolean
  readonly incarnation: string | undefined
  readonly isLost: boolean
  readonly isIdle: boolean
  readonly isDead: boolean
  readonly hasFailedDisk: boolean
  readonly partner: PartnerState | undefined
  readonly isShunned: boolean
  readonly missesPrimary: boolean
  readonly isDisputed: boolean
}

const well: Fact = {
  answers: true,
  incarnation: 'old',
  isLost: false,
  isIdle: false,
  isDead: false,
  hasFailedDisk: false,
  partner: 'confirming',
  isShunned: false,
  missesPrimary: false,
  isDisputed: false,
}
/** It and the primary say of each other that they are silent. */
const parted: Partial<Fact> = { partner: 'silent', missesPrimary: true }
const away: Fact = { ...well, answers: false, isLost: true }
const renewed: Fact = { ...well, incarnation: 'new' }
const shunned = { a: { isShunned: true } }

function sightOf(facts: Readonly<Record<string, Partial<Fact>>>): Sight {
  const of = (serverId: string): Fact => ({ ...well, ...facts[serverId] })
  return {
    answers: (id) => of(id).answers,
    incarnation: (id) => of(id).incarnation,
    isLost: (id) => of(id).isLost,
    isIdle: (id) => of(id).isIdle,
    isDead: (id) => of(id).isDead,
    hasFailedDisk: (id) => of(id).hasFailedDisk,
    partner: (id) => partner(id, of(id)),
    isShunned: (id) => of(id).isShunned,
    missesPrimary: (id) => of(id).missesPrimary,
    isDisputed: (id) => of(id).isDisputed,
  }
}

function partner(serverId: string, { partner, incarnation }: Fact): PartnerCondition | undefined {
  if (partner === undefined) return undefined
  const bytes = { behindBytes: 0, totalBytes: 0, bytesPerSecond: 0, copiedBytes: 0 }
  return { serverId, state: partner, incarnation: incarnation ?? '', ...bytes }
}

/** `a b-`: the primary first, those behind marked. */
function segmentOf(text: string): Segment {
  const names = text.split(' ')
  const servers = names.map((name) => ({
    serverId: name[0]!,
    name: name[0]!,
    incarnation: 'old',
  }))
  const segment = testSegment(1, 0, 2048, servers)
  const replicas = segment.replicas.map((each, index): Replica => {
    return names[index]!.endsWith('-') ? { ...each, state: 'behind' } : each
  })
  return { ...segment, epoch: 0, replicas }
}

function textOf({ replicas }: Segment): string {
  return replicas
    .map(({ serverId, state }) => (state === 'in-sync' ? serverId : `${serverId}-`))
    .join(' ')
}

await t.test('each rule', async (t) => {
  const rows: [string, string, Record<string, Partial<Fact>>, string][] = [
    ['nothing to do', 'a b', {}, ''],
    ['a secondary fell silent', 'a b c', { b: { partner: 'silent' } }, 'a b- c primary'],
    ['the primary does not answer', 'a b', { a: { answers: false }, b: { partner: 'silent' } }, ''],
    ['they do not hear each other', 'a b', { b: parted }, 'a b- primary'],
    ['so, and clients may have a word', 'a b', { b: { ...parted, isDisputed: true } }, ''],
    [
      'another fell silent at once',
      'a b c',
      { b: { ...parted, isDisputed: true }, c: { partner: 'silent' } },
      'a b c- primary',
    ],
    [
      'a client does not reach the primary either',
      'a b',
      { ...shunned, b: parted },
      'b a- everyone',
    ],
    [
      'so, before the primary has noticed',
      'a b',
      { ...shunned, b: { missesPrimary: true } },
      'b a- everyone',
    ],
    ['its partner hears it', 'a b', shunned, ''],
    [
      'its partner is not there',
      'a b',
      { ...shunned, b: { ...parted, answers: false } },
      'a b- primary',
    ],
    [
      'its partner lost something',
      'a b',
      { ...shunned, b: { ...parted, ...renewed } },
      'a b- primary',
    ],
    ['who misses it is behind', 'a b-', { ...shunned, b: parted }, ''],
    ['one that is behind misses it', 'a b c-', { ...shunned, c: { missesPrimary: true } }, ''],
    [
      'one that is not there misses it',
      'a b c',
      { ...shunned, c: { missesPrimary: true, answers: false } },
      '',
    ],
    ['one of two misses it', 'a b c', { ...shunned, c: parted }, 'b c a- everyone'],
    ['the primary is lost', 'a b c', { a: away }, 'b c a- everyone'],
    ['it is lost, and so is another', 'a b c', { a: away, b: away }, 'c a- b- everyone'],
    ['lost, and nobody else', 'a b', { a: away, b: away }, ''],
    ['lost, the other one behind', 'a b-', { a: away }, ''],
    ['lost, the other one renewed', 'a b', { a: away, b: renewed }, ''],
    ['idle', 'a b', { a: { isIdle: true } }, 'b a- everyone'],
    ['its disk failed', 'a b', { a: { hasFailedDisk: true } }, 'b a- everyone'],
    ['its disk failed, it is alone', 'a b-', { a: { hasFailedDisk: true } }, ''],
    ['the disk of a secondary failed', 'a b', { b: { hasFailedDisk: true } }, 'a b- primary'],
    ['declared dead', 'a b', { a: { ...away, isDead: true } }, 'b a- everyone'],
    ['copied', 'a b-', { b: { partner: 'up-to-date' } }, 'a b primary'],
    ['not yet copied', 'a b-', { b: { partner: 'copying' } }, ''],
    ['the primary lost something', 'a b', { a: renewed }, 'b a- everyone'],
    ['a secondary did', 'a b', { b: renewed }, 'a b- primary'],
    ['one that is behind did', 'a b-', { b: { ...renewed, partner: 'silent' } }, 'a b- nobody'],
    ['all did', 'a b', { a: renewed, b: renewed }, 'a b nobody'],
    ['all did, one was not heard', 'a b', { a: renewed, b: { incarnation: undefined } }, ''],
    ['and is dead', 'a b', { a: renewed, b: { ...away, isDead: true } }, 'a b- nobody'],
    ['the only copy did', 'a', { a: renewed }, 'a nobody'],
    ['the store is not open', 'a', { a: { incarnation: '' } }, ''],
  ]
  for (const [name, before, facts, wanted] of rows) {
    const change = neededChange(segmentOf(before), sightOf(facts))
    const got = change === undefined ? '' : `${textOf(change.segment)} ${change.closes}`
    t.equal(got, wanted, name)
  }
  const anew = neededChange(segmentOf('a b'), sightOf({ a: renewed, b: renewed }))
  t.equal(anew?.segment.epoch, 1)
  t.strictSame(
    anew?.segment.replicas.map(({ incarnation }) => incarnation),
    ['new', 'new'],
  )
})

const fact: fc.Arbitrary<Fact> = fc.record({
  answers: fc.boolean(),
  incarnation: fc.constantFrom(undefined, '', 'old', 'new'),
  isLost: fc.boolean(),
  isIdle: fc.boolean(),
  isDead: fc.boolean(),
  hasFailedDisk: fc.boolean(),
  partner: fc.constantFrom(undefined, 'confirming', 'silent', 'copying', 'up-to-date'),
  isShunned: fc.boolean(),
  missesPrimary: fc.boolean(),
  isDisputed: fc.boolean(),
})

await t.test('whatever is said, nothing that counts is given away', async (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom('a', 'a b', 'a b-', 'a b c', 'a b c-', 'a b- c-', 'a b c d'),
      fc.record({ a: fact, b: fact, c: fact, d: fact }),
      (text, facts) => {
        const before = segmentOf(text)
        const change = neededChange(before, sightOf(facts))
        if (change === undefined) return
        const { segment: after, closes } = change
        const stateIn = ({ replicas }: Segment, id: string) =>
          replicas.find(({ serverId }) => serverId === id)?.state
        const ids = ({ replicas }: Segment) => replicas.map(({ serverId }) => serverId).sort()
        deepStrictEqual(ids(after), ids(before), 'nobody is added or forgotten')
        const [primary] = after.replicas
        const of = facts[primary!.serverId as 'a']
        ok(primary?.state === 'in-sync', 'the primary is in sync')
        ok(stateIn(before, primary.serverId) === 'in-sync', 'and was')
        const isPromoted = primary.serverId !== before.replicas[0]!.serverId
        if (isPromoted) ok(of.answers && !of.isDead && (of.incarnation ?? '') !== '', 'is there')
        const isNewEpoch = after.epoch > before.epoch
        if (isPromoted && !isNewEpoch) {
          ok(of.incarnation === 'old' && closes === 'everyone', 'kept all, and was closed')
        }
        for (const each of before.replicas) {
          const { serverId, state } = each
          const { partner, incarnation, isDead } = facts[serverId as 'a']
          if (isNewEpoch && state === 'in-sync') {
            ok(isDead || incarnation === 'new', 'an epoch only when all are known to have lost')
          }
          if (state === 'behind' && stateIn(after, serverId) === 'in-sync') {
            ok(
              partner === 'up-to-date' && closes === 'primary',
              'in sync by the word of its primary',
            )
          }
        }
        const moved = before.replicas.some((each, index) => {
          const now = after.replicas[index]!
          return now.serverId !== each.serverId || now.state !== each.state
        })
        if (moved && !isNewEpoch) ok(closes !== 'nobody', 'who is in sync changes under close')
      },
    ),
    { numRuns: 2_000 },
  )
  t.pass('no counterexample')
})

await t.test('new replicas: another server, another domain, enough room', async (t) => {
  const domains = new Map([
    ['a', 'r1'],
    ['b', 'r2'],
    ['c', 'r1'],
    ['d', 'r3'],
    ['e', 'r2'],
  ])
  const homes = new Map(
    [...domains.keys()].map((serverId) => {
      return [serverId, { serverId, name: serverId, storeIncarnation: `${serverId}-1` }] as const
    }),
  )
  const room = (free: Readonly<Record<string, number>>) => ({
    candidates: Object.entries(free).map(([serverId, freePages]) => ({
      serverId,
      name: serverId,
      domain: domains.get(serverId)!,
      freePages,
      ledPages: 0,
    })),
    homes,
    domainOf: (serverId: string) => `domain ${domains.get(serverId)}`,
  })
  const map = testMap({ segments: [segmentOf('a b-')] })
  const [{ segmentId }] = map.segments as [Segment]
  const spares = (free: Readonly<Record<string, number>>, gone: string, of = map) => {
    const gives = new Map([[segmentId, ({ serverId }: Replica) => serverId === gone]])
    const draft = withSpares(of, gives, room(free))
    return draft === undefined ? 'none' : textOf(draft.segments[0]!)
  }
  t.equal(spares({ c: 99, d: 16, e: 20 }, 'b'), 'a e-', 'the domain of the lost one is free')
  t.equal(spares({ a: 99, b: 99, c: 99, d: 16 }, 'b'), 'a d-', 'not where one is or was')
  t.equal(spares({ d: 15 }, 'b'), 'none', 'nothing is given up where there is no room')
  t.equal(spares({ c: 99, d: 99 }, ''), 'none', 'none is given up')
  const short = testMap({ copies: 3, segments: [segmentOf('a b')] })
  t.equal(spares({ c: 99, d: 16, e: 99 }, '', short), 'a b d-', 'one that is missing is added')
  const given = withSpares(map, new Map([[segmentId, () => true]]), room({ d: 16, e: 15 }))
  t.equal(textOf(given!.segments[0]!), 'a d-', 'never one that is in sync')
  t.match(given?.segments[0]?.replicas[1], {
    server: 'd',
    incarnation: 'd-1',
    number: 0,
    state: 'behind',
  })
})

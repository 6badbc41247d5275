/** What is remembered of requests that must not take effect twice, and when nobody knows. */
import t from 'tap'
import { RequestIdentities } from '../../../../initiator-shim/router/request-identities.ts'
import { mirror as limits } from '../../../../src/base/limits.ts'
import type { Replica } from '../../../../src/volume/map.ts'
import type { RequestIdentity } from '../../../../src/volume/request-identity.ts'
import { RequestOutcomes, SegmentOutcomes } from '../../../../targets/mirror/request-outcomes.ts'
import {
  blockBytes,
  ReplicationRig,
  segmentId,
  withStates,
} from '../../../support/replication-rig.ts'
import { testSegment, testUuid } from '../../../support/volume-maps.ts'

const client = 'aaaaaaaaaa'
const first = (number: number, more: Partial<RequestIdentity> = {}): RequestIdentity => ({
  ...{ client, generationBits: 5, number, oldest: 0, repeated: false },
  ...more,
})
const again = (number: number, more: Partial<RequestIdentity> = {}) =>
  first(number, { repeated: true, ...more })

t.test('what was done is done; what was not is new where the memory is whole', (t) => {
  const outcomes = new SegmentOutcomes(5)
  t.equal(outcomes.look(again(1), 5), 'new', 'first sent since this replica is in sync')
  t.equal(outcomes.look(first(2), 5), 'new')
  outcomes.done(first(2), 5)
  t.equal(outcomes.look(again(2), 6), 'done')
  t.equal(outcomes.look(again(2, { client: 'bbbbbbbbbb' }), 6), 'new', 'of another client')
  t.equal(outcomes.look(again(1, { generationBits: 4 }), 6), 'gone', 'from before')
  t.equal(outcomes.look(again(3, { generationBits: 4 }), 6), 'new', 'later than what came first')
  t.end()
})

t.test('in a new life of the process only what came to it is known', (t) => {
  const outcomes = new SegmentOutcomes(6)
  t.equal(outcomes.look(again(7), 5), 'gone')
  outcomes.done(first(9), 5)
  t.equal(outcomes.look(again(10), 5), 'gone', 'a primary may tell late what it told before')
  t.equal(outcomes.look(again(9), 5), 'done', 'but what it told is true')
  t.equal(outcomes.look(first(8), 5), 'new')
  t.equal(outcomes.look(again(10), 5), 'new', 'first sent after one that came here itself')
  t.equal(outcomes.look(again(8), 5), 'new')
  t.equal(outcomes.look(again(7), 5), 'gone')
  t.end()
})

t.test('what is acknowledged is forgotten, and so is what is too much', (t) => {
  const outcomes = new SegmentOutcomes(0)
  for (let number = 1; number <= 4; number++) outcomes.done(first(number), 5)
  outcomes.done(first(5, { oldest: 3 }), 5)
  t.equal(outcomes.look(again(2), 5), 'gone', 'that will not be asked')
  t.equal(outcomes.look(again(3), 5), 'done')
  for (let number = 6; number <= limits.outcomesOfClient + 3; number++) {
    outcomes.done(first(number), 5)
  }
  t.equal(outcomes.look(again(3), 5), 'gone', 'no guess for what had no room')
  t.equal(outcomes.look(again(4), 5), 'done')
  for (let index = 0; index < limits.outcomeClients; index++) {
    outcomes.done(first(1, { client: `${1_000_000_000 + index}` }), 5)
  }
  t.equal(outcomes.look(again(4), 5), 'gone', 'the client that was silent for longest')
  t.equal(outcomes.look(again(9, { client: '1000000063' }), 5), 'gone', 'known, and not for sure')
  t.equal(outcomes.look(again(9, { client: '1000000063', generationBits: 6 }), 6), 'new')
  t.end()
})

t.test('they belong to a replica that stays in sync', (t) => {
  const [me, other] = [testUuid(2), testUuid(3)]
  const servers = [me, other].map((serverId) => ({ serverId, name: 's', incarnation: 'i' }))
  const segment = testSegment(1, 0, 64, servers)
  const { segmentId } = segment
  const views = (state: Replica['state']) => {
    const replica = { ...segment.replicas[0]!, state }
    return new Map([[segmentId, { segment, replica, primary: true }]])
  }
  const outcomes = new RequestOutcomes(5)
  const look = (generation: number, state: Replica['state'] = 'in-sync', incarnation = 'i') => {
    outcomes.look(views(state), generation, () => incarnation)
    return outcomes.of(segmentId)
  }
  const born = look(5)
  t.equal(born?.look(again(1), 5), 'gone', 'the process began under this generation')
  t.equal(born?.look(again(1, { generationBits: 6 }), 6), 'new')
  born?.done(first(2), 5)
  t.equal(look(7), born, 'through changes of the map')
  t.equal(look(8, 'behind'), undefined)
  const anew = look(10)
  t.equal(anew?.look(again(2), 10), 'gone')
  t.equal(anew?.look(again(2, { generationBits: 9 }), 10), 'gone')
  t.equal(anew?.look(again(2, { generationBits: 10 }), 10), 'new', 'since it is in sync again')
  t.equal(look(10, 'in-sync', 'another'), undefined, 'its store lost something')
  const reopened = look(10)
  t.equal(reopened?.look(again(2, { generationBits: 10 }), 10), 'gone')
  reopened?.done(first(3), 10)
  outcomes.forget(segmentId)
  const overwritten = outcomes.of(segmentId)
  t.equal(overwritten?.look(again(3), 10), 'gone', 'other content came from the primary')
  t.equal(overwritten?.look(again(3, { generationBits: 11 }), 11), 'new')
  outcomes.look(new Map(), 12, () => 'i')
  t.equal(outcomes.of(segmentId), undefined)
  outcomes.forget(segmentId)
  t.same([new RequestOutcomes(0).of(segmentId)], [undefined])
  t.end()
})

t.test('a replica remembers what its primary tells, until that writes over it', async (t) => {
  const rig = await ReplicationRig.start()
  t.teardown(() => rig.stop())
  const { partner, secondary } = rig
  const { outcomes } = secondary.volume
  const known = (number: number) => outcomes.of(segmentId)?.look(again(number), 5)
  const block = [Buffer.alloc(blockBytes, 1)]
  await rig.run(partner.write({ generation: 5, identity: first(3) }, 0, block))
  t.equal(known(3), 'done')
  t.equal(known(4), 'new')
  await rig.run(partner.write({ generation: 5 }, 0, block))
  t.equal(known(3), 'done', 'a write of a client')
  await rig.run(partner.write({ generation: 5, resync: true }, 0, block))
  t.equal(known(3), 'gone', 'content of the primary')
  const behind = withStates(rig.map(6), 'ib')
  secondary.volume.set({ map: behind })
  await rig.run(partner.write({ generation: 6, identity: first(5) }, 0, block))
  t.equal(known(5), undefined, 'what is being brought up remembers nothing')
})

t.test('a client tells from where on it may ask', (t) => {
  const identities = new RequestIdentities((count) => Buffer.alloc(count, 7))
  const [one, two] = [identities.begin(2 ** 24 + 1), identities.begin(9)]
  const common = { client: '0707070707', repeated: false }
  t.same(identities.of(one, false), { ...common, generationBits: 1, number: 1, oldest: 1 })
  t.same(identities.of(two, false), { ...common, generationBits: 9, number: 2, oldest: 1 })
  identities.end(one)
  t.same(identities.of(two, true), {
    ...{ ...common, repeated: true },
    ...{ generationBits: 9, number: 2, oldest: 2 },
  })
  identities.end(two)
  t.match(identities.of(identities.begin(9), false), { number: 3, oldest: 3 })
  t.end()
})

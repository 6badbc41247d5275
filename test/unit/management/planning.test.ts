/** When a replica set counts as closed. Pure. */
import t from 'tap'
import { closedSets } from '../../../src/management/closed-sets.ts'
import { testSegment } from '../../support/volume-maps.ts'

await t.test('closed sets', async (t) => {
  const server = (n: number) => ({ serverId: `id${n}`, name: `s${n}`, incarnation: 'x' })
  const map = {
    segments: [testSegment(1, 0, 8, [server(1), server(2)]), testSegment(2, 8, 8, [server(3)])],
  }
  const verdicts = (answers: [string, number][], nowMs = 0, dead: string[] = []) =>
    closedSets(map, {
      nowMs,
      answers: new Map(answers.map(([id, leaseEndsMs]) => [id, { leaseEndsMs }])),
      isDead: (id) => dead.includes(id),
    }).map((each) => each.kind)
  t.strictSame(verdicts([]), ['open', 'open'])
  t.strictSame(verdicts([['id1', 900]]), ['closed', 'open'], 'its primary answered: no lease')
  t.strictSame(verdicts([['id2', 900]], 899), ['lease', 'open'], 'the primary may still serve')
  t.strictSame(verdicts([['id2', 900]], 900), ['closed', 'open'])
  t.strictSame(verdicts([['id3', 0]], 0, ['id1']), ['closed', 'closed'], 'declared dead')
  const [mirror] = map.segments
  const gone = { ...mirror!.replicas[1]!, state: 'behind' as const }
  const behind = { segments: [{ ...mirror!, replicas: [mirror!.replicas[0]!, gone] }] }
  const state = { nowMs: 9, answers: new Map([['id2', { leaseEndsMs: 0 }]]), isDead: () => false }
  t.equal(closedSets(behind, state)[0]?.kind, 'open', 'who is not in sync cannot stand in')
})

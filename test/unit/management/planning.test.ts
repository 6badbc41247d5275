/** Placement of segments, and when a replica set counts as closed. Both pure. */
import fc from 'fast-check'
import t from 'tap'
import { closedSets } from '../../../src/management/closed-sets.ts'
import {
  type Candidate,
  pagesOf,
  placeByHand,
  placeLinear,
  placeStriped,
} from '../../../src/management/placement.ts'
import { testSegment } from '../../support/volume-maps.ts'

const pageBlocks = 128

function candidates(...freePages: number[]): Candidate[] {
  return freePages.map((free, i) => ({ serverId: `id${i}`, name: `s${i}`, freePages: free }))
}

await t.test('linear: the fewest servers, most free space first', async (t) => {
  const servers = candidates(10, 30, 20)
  const at = (blocks: number) =>
    placeLinear({ start: 0, blocks, blockBytes: 512, candidates: servers })
  t.strictSame(at(30 * pageBlocks), [{ serverId: 'id1', start: 0, blocks: 30 * pageBlocks }])
  t.strictSame(at(31 * pageBlocks), [
    { serverId: 'id1', start: 0, blocks: 30 * pageBlocks },
    { serverId: 'id2', start: 30 * pageBlocks, blocks: pageBlocks },
  ])
  t.equal(at(60 * pageBlocks).length, 3, 'all of it')
  t.throws(() => at(60 * pageBlocks + 1), {
    code: 'no-space',
    message: /do not fit; free bytes: s1 1966080, s2 1310720, s0 655360/,
  })
  t.throws(
    () => placeLinear({ start: 0, blocks: 1, blockBytes: 512, candidates: [] }),
    /no server can take data/,
  )
  const [grown] = placeLinear({ start: 777, blocks: 1, blockBytes: 512, candidates: servers })
  t.equal(grown?.start, 777)
})

await t.test('striped: as many different servers as columns', async (t) => {
  const servers = candidates(10, 30, 20, 20)
  const request = { start: 0, blocks: 40 * pageBlocks, blockBytes: 512, candidates: servers }
  const placed = placeStriped(request, 3)
  t.strictSame(
    placed.map(({ serverId }) => serverId),
    ['id1', 'id2', 'id3'],
  )
  t.strictSame(placed[1], {
    serverId: 'id2',
    start: 0,
    blocks: 40 * pageBlocks,
    stripe: { index: 1, count: 3, unitBlocks: 128 },
  })
  t.throws(() => placeStriped(request, 5), { message: /5 columns need as many different servers/ })
  t.throws(() => placeStriped({ ...request, blocks: 62 * pageBlocks }, 3), { code: 'no-space' })
  t.equal(placeStriped({ ...request, blocks: 2 * pageBlocks }, 3).length, 2, 'short set')
  t.strictSame(placeStriped({ ...request, blocks: 5 }, 3), [
    { serverId: 'id1', start: 0, blocks: 5 },
  ])
})

await t.test('by hand', async (t) => {
  const request = { start: 0, blocks: 0, blockBytes: 512, candidates: candidates(10, 30) }
  const partitions = [
    { server: 's1', blocks: 100 },
    { server: 's0', blocks: 300 },
    { server: 's1', blocks: 1 },
  ]
  t.strictSame(placeByHand(request, partitions), [
    { serverId: 'id1', start: 0, blocks: 100 },
    { serverId: 'id0', start: 100, blocks: 300 },
    { serverId: 'id1', start: 400, blocks: 1 },
  ])
  t.throws(() => placeByHand(request, [{ server: 's7', blocks: 1 }]), { code: 'not-found' })
  const twice = [
    { server: 's0', blocks: 6 * pageBlocks },
    { server: 's0', blocks: 4 * pageBlocks + 1 },
  ]
  t.throws(() => placeByHand(request, twice), { code: 'no-space' }, 'both count')
})

await t.test('nothing is over-committed and nothing is left out', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.nat(50), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 5_000 }),
      fc.nat(5),
      (free, blocks, columns) => {
        const servers = candidates(...free)
        const request = { start: 0, blocks, blockBytes: 512, candidates: servers }
        const used = new Map<string, number>()
        let next = 0
        try {
          const placed = columns === 0 ? placeLinear(request) : placeStriped(request, columns)
          for (const each of placed) {
            used.set(each.serverId, (used.get(each.serverId) ?? 0) + pagesOf(each, 512))
            if (each.stripe !== undefined) {
              next = blocks
              continue
            }
            if (each.start !== next) throw new Error('a gap')
            next = each.start + each.blocks
          }
        } catch (error) {
          if ((error as { code?: string }).code === 'no-space') return
          throw error
        }
        if (next !== blocks) throw new Error('not all of it')
        for (const { serverId, freePages } of servers) {
          if ((used.get(serverId) ?? 0) > freePages) throw new Error('over-committed')
        }
      },
    ),
  )
  t.pass('no counterexample')
})

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

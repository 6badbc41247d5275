/** Placement of segments and their copies, and the numbers of replicas. Pure. */
import fc from 'fast-check'
import t from 'tap'
import { type Candidate, domainKey } from '../../../src/management/candidate.ts'
import {
  type HandPart,
  type Placed,
  pagesOf,
  placeByHand,
  placeLinear,
  placeSpare,
  placeStriped,
} from '../../../src/management/placement.ts'
import { withNumbers } from '../../../src/management/replica-numbers.ts'
import { oneOfEach, spread } from '../../../src/management/spread.ts'
import { testMap, testSegment } from '../../support/volume-maps.ts'

const pageBlocks = 128

function candidate(id: number, freePages: number, domain = '', ledPages = 0): Candidate {
  return { serverId: `id${id}`, name: `s${id}`, domain, freePages, ledPages }
}

function candidates(...freePages: number[]): Candidate[] {
  return freePages.map((free, id) => candidate(id, free))
}

function request(servers: readonly Candidate[], pages: number, copies = 1) {
  const blocks = pages * pageBlocks
  return { start: 0, blocks, blockBytes: 512, copies, candidates: servers }
}

/** `id0+id1 0-5`, in pages. */
function texts(placed: readonly Placed[]): string[] {
  return placed.map(({ serverIds, start, blocks, stripe }) => {
    const from = start / pageBlocks
    const column = stripe === undefined ? '' : ` ${stripe.index}/${stripe.count}`
    return `${serverIds.join('+')} ${from}-${from + blocks / pageBlocks}${column}`
  })
}

await t.test('linear: the fewest servers, most free space first', async (t) => {
  const servers = candidates(10, 30, 20)
  const at = (pages: number) => texts(placeLinear(request(servers, pages)))
  t.strictSame(at(30), ['id1 0-30'])
  t.strictSame(at(31), ['id1 0-30', 'id2 30-31'])
  t.equal(at(60).length, 3, 'all of it')
  const full = { ...request(servers, 0), blocks: 60 * pageBlocks + 1 }
  t.throws(() => placeLinear(full), {
    code: 'no-space',
    message: /do not fit; free bytes: s1 1966080, s2 1310720, s0 655360/,
  })
  t.throws(() => placeLinear(request([], 1)), /no server can take data/)
  const grown = { ...request(servers, 1), start: 777, blocks: 1 }
  t.strictSame(placeLinear(grown), [{ serverIds: ['id1'], start: 777, blocks: 1 }])
})

await t.test('mirrored: each copy in another domain, all that fits is found', async (t) => {
  const at = (pages: number, copies: number, servers: readonly Candidate[]) =>
    texts(placeLinear(request(servers, pages, copies)))
  t.strictSame(at(10, 2, candidates(10, 30, 20)), ['id1+id2 0-10'])
  t.strictSame(at(15, 2, candidates(10, 10, 10)), ['id0+id1 0-5', 'id2+id0 5-10', 'id1+id2 10-15'])
  const racks = [candidate(0, 30, 'a'), candidate(1, 25, 'a'), candidate(2, 20, 'b')]
  t.strictSame(at(20, 2, racks), ['id0+id2 0-20'], 'not both in rack a')
  const split = [candidate(0, 8, 'a'), candidate(1, 7, 'a'), candidate(2, 15, 'b')]
  t.strictSame(at(15, 2, split), ['id2+id0 0-8', 'id1+id2 8-15'], 'two servers for one copy')
  t.strictSame(at(5, 2, [candidate(0, 9, '', 7), candidate(1, 5)]), ['id1+id0 0-5'], 'who leads')
  t.throws(() => at(1, 3, racks), {
    code: 'no-space',
    message: /^mirror: 3 copies need 3 failure domains, there are 2: a \(s0, s1\), b \(s2\)$/,
  })
  t.throws(() => at(1, 2, []), /2 copies need 2 failure domains, no server can take data/)
  t.throws(() => at(21, 2, racks), {
    code: 'no-space',
    message:
      /2 failure domains with 1376256 bytes free, there is 1; free bytes: a \(s0, s1\) 3604480, b/,
  })
})

await t.test('striped: as many different servers as columns', async (t) => {
  const servers = candidates(10, 30, 20, 20)
  const placed = placeStriped(request(servers, 40), 3)
  t.strictSame(texts(placed), ['id1 0-40 0/3', 'id2 0-40 1/3', 'id3 0-40 2/3'])
  t.strictSame(placed[1]?.stripe, { index: 1, count: 3, unitBlocks: 128 })
  t.throws(() => placeStriped(request(servers, 40), 5), {
    message: /5 columns need as many different servers/,
  })
  t.throws(() => placeStriped(request(servers, 62), 3), { code: 'no-space' })
  t.equal(placeStriped(request(servers, 2), 3).length, 2, 'short set')
  const short = { ...request(servers, 0), blocks: 5 }
  t.strictSame(placeStriped(short, 3), [{ serverIds: ['id1'], start: 0, blocks: 5 }])
  t.strictSame(texts(placeStriped(request(candidates(9, 9, 9), 9, 2), 3)), [
    'id0+id1 0-9 0/3',
    'id2+id0 0-9 1/3',
    'id1+id2 0-9 2/3',
  ])
  t.throws(() => placeStriped(request(candidates(5, 5, 5), 9, 2), 3), {
    message: /mirror: 2 copies of 589824 bytes do not fit; free bytes: s0 327680/,
  })
})

await t.test('by hand', async (t) => {
  const racks = [candidate(0, 10, 'a'), candidate(1, 30, 'b'), candidate(2, 20, 'b')]
  const at = (copies: number, ...parts: HandPart[]) =>
    placeByHand({ ...request(racks, 0, copies) }, parts)
  const part = (pages: number, ...servers: string[]): HandPart => {
    return { servers, blocks: pages * pageBlocks }
  }
  t.strictSame(texts(at(1, part(4, 's1'), part(5, 's0'), part(1, 's1'))), [
    'id1 0-4',
    'id0 4-9',
    'id1 9-10',
  ])
  t.strictSame(texts(at(2, part(2, 's0', 's2'), part(3, 's2'))), ['id0+id2 0-2', 'id2+id0 2-5'])
  t.throws(() => at(1, part(1, 's7')), { code: 'not-found' })
  t.throws(() => at(1, part(6, 's0'), part(5, 's0')), { code: 'no-space' }, 'both count')
  t.throws(() => at(2, part(6, 's0'), part(5, 's1')), { code: 'no-space' }, 'copies count')
  t.throws(() => at(1, part(1, 's0', 's1')), /partition s0\+s1: 2 servers for one copy/)
  t.throws(() => at(2, part(1, 's1', 's2')), /s1 and s2 are both in domain b/)
  t.throws(() => at(2, part(1, 's0', 's0')), /s0 twice: copies need different servers/)
})

await t.test('a spare goes where nothing of the segment is', async (t) => {
  const racks = [candidate(0, 10, 'a'), candidate(1, 30, 'b'), candidate(2, 20, 'c')]
  t.equal(placeSpare(racks, 5, new Set(['domain b']))?.name, 's2')
  t.equal(placeSpare(racks, 25, new Set(['domain b'])), undefined)
  t.not(domainKey({ domain: 'x', serverId: 'y' }), domainKey({ domain: '', serverId: 'x' }))
})

const someServers = fc
  .array(fc.tuple(fc.nat(50), fc.nat(3), fc.nat(50)), { minLength: 1, maxLength: 7 })
  .map((servers) => {
    return servers.map(([free, domain, led], id) => {
      return candidate(id, free, domain === 0 ? '' : `rack-${domain}`, led)
    })
  })

interface Case {
  readonly servers: readonly Candidate[]
  readonly blocks: number
  readonly columns: number
  readonly copies: number
}

function place({ servers, blocks, columns, copies }: Case): Placed[] | undefined {
  const wanted = { ...request(servers, 0, copies), blocks }
  try {
    return columns === 0 ? placeLinear(wanted) : placeStriped(wanted, columns)
  } catch (error) {
    if ((error as { code?: string }).code === 'no-space') return undefined
    throw error
  }
}

function fault({ servers, blocks, columns, copies }: Case, placed: readonly Placed[]) {
  const used = new Map<string, number>()
  let next = 0
  for (const each of placed) {
    if (each.serverIds.length !== copies) return 'too few copies'
    const chosen = each.serverIds.map((id) => servers.find(({ serverId }) => serverId === id)!)
    const domains = chosen.map((server) => (copies === 1 ? server.name : domainKey(server)))
    if (new Set(domains).size !== copies) return 'two copies in one domain'
    for (const { serverId } of chosen) {
      used.set(serverId, (used.get(serverId) ?? 0) + pagesOf(each, 512))
    }
    if (each.stripe === undefined && each.start !== next) return 'a gap'
    next = each.start + each.blocks
  }
  if (next !== blocks) return 'not all of it'
  if (servers.some((each) => (used.get(each.serverId) ?? 0) > each.freePages)) {
    return 'over-committed'
  }
  const primaries = new Set(placed.map(({ serverIds }) => serverIds[0]))
  return columns > 0 && primaries.size < placed.length ? 'two columns with one primary' : undefined
}

const someCase: fc.Arbitrary<Case> = fc.record({
  servers: someServers,
  blocks: fc.integer({ min: 1, max: 5_000 }),
  columns: fc.nat(5),
  copies: fc.integer({ min: 1, max: 4 }),
})

await t.test('no domain has two copies, nothing is over-committed or left out', async (t) => {
  let found = 0
  fc.assert(
    fc.property(someCase, (each) => {
      const placed = place(each)
      if (placed === undefined) return
      found += 1
      const what = fault(each, placed)
      if (what !== undefined) throw new Error(what)
    }),
    { numRuns: 2_000 },
  )
  t.ok(found > 100, `${found} placements`)
})

await t.test('linear: what there is room for is placed', async (t) => {
  fc.assert(
    fc.property(someCase, (each) => {
      const pages = Math.ceil(each.blocks / pageBlocks)
      const domains = new Map<string, number>()
      for (const server of each.servers) {
        const key = each.copies === 1 ? server.name : domainKey(server)
        domains.set(key, (domains.get(key) ?? 0) + server.freePages)
      }
      const room = [...domains.values()].reduce((sum, free) => sum + Math.min(free, pages), 0)
      const fits = room >= pages * each.copies && domains.size >= each.copies
      return fits === (place({ ...each, columns: 0 }) !== undefined)
    }),
    { numRuns: 2_000 },
  )
  t.pass('no counterexample')
})

await t.test('primaries rotate', async (t) => {
  let servers = candidates(100, 100, 100)
  const primaries: string[] = []
  for (let volume = 0; volume < 6; volume++) {
    const [{ serverIds }] = placeLinear(request(servers, 4, 2)) as [Placed]
    primaries.push(serverIds[0]!)
    servers = servers.map((each) => {
      const takes = serverIds.includes(each.serverId)
      return {
        ...each,
        freePages: each.freePages - (takes ? 4 : 0),
        ledPages: each.ledPages + (each.serverId === serverIds[0] ? 4 : 0),
      }
    })
  }
  t.strictSame(primaries.sort(), ['id0', 'id0', 'id1', 'id1', 'id2', 'id2'])
})

await t.test('one of each set, all different', async (t) => {
  t.strictSame(oneOfEach([['a', 'b'], ['a'], ['b', 'c']]), ['b', 'a', 'c'])
  t.equal(oneOfEach([['a', 'b'], ['a'], ['b']]), undefined)
  t.equal(spread({ units: 1, copies: 1, bins: [] }), undefined)
})

await t.test('numbers of replicas: the smallest that nobody on the server has', async (t) => {
  const server = (n: number) => ({ serverId: `id${n}`, name: `s${n}`, incarnation: 'x' })
  const numbers = (map: ReturnType<typeof testMap>) =>
    map.segments.map(({ replicas }) => replicas.map(({ number }) => number))
  const others = [1, 3].map((number) => {
    return testMap({ segments: [testSegment(number, 0, 8, [server(1)])] })
  })
  const draft = testMap({
    segments: [
      testSegment(0, 0, 8, [server(1), server(2)]),
      testSegment(0, 8, 8, [server(1), server(3)]),
    ],
  })
  const once = withNumbers(draft, others)
  t.strictSame(numbers(once), [
    [2, 1],
    [4, 1],
  ])
  t.equal(withNumbers(once, [...others, draft]), once, 'a number stays')
  const full = Array.from({ length: 16_383 }, (_, i) => testSegment(i + 1, 0, 8, [server(1)]))
  t.throws(() => withNumbers(draft, [{ segments: full }]), /server s1 holds 16383 replicas/)
})

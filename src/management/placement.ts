/**
 * Which servers get the segments of a volume: by free space, never more than a server has (thin
 * pages are planned as if all were written), each copy in another failure domain. Linear: the
 * fewest servers, most free space first. Striped: as many different primaries as columns, or an
 * error. By hand: as asked, missing copies by free space. Primaries go where the least is led. Pure.
 */
import { StorageError } from '../base/errors.ts'
import { pageBytes, stripeUnitBytes } from '../base/limits.ts'
import type { Segment, Stripe } from '../volume/map.ts'
import { replicaBlocks } from '../volume/routing.ts'
import { byFreeSpace, type Candidate, domainKey, type PlacementRequest } from './candidate.ts'
import { checkDomains, checkNamed, namedCandidate, noSpace } from './placement-errors.ts'
import { type Bin, oneOfEach, type Slice, spread } from './spread.ts'

/** A segment to be, and the servers for it, the primary first. */
export interface Placed {
  readonly serverIds: readonly string[]
  readonly start: number
  readonly blocks: number
  readonly stripe?: Stripe
}

/** Pages that a replica of the segment can come to hold. */
export function pagesOf(segment: Pick<Segment, 'blocks' | 'stripe'>, blockBytes: number): number {
  return Math.ceil((replicaBlocks(segment) * blockBytes) / pageBytes)
}

export function placeLinear(request: PlacementRequest): Placed[] {
  const { start, blocks, blockBytes, copies, candidates } = request
  checkDomains(request)
  const pageBlocks = pageBytes / blockBytes
  const units = pagesOf({ blocks }, blockBytes)
  const slices = spread({ units, copies, bins: binsOf(candidates, copies) })
  if (slices === undefined) throw noSpace(request, blocks)
  const leads = new Leads(candidates)
  return slices.map(({ from, to, serverIds }) => {
    const first = from * pageBlocks
    return {
      serverIds: leads.lead(serverIds, to - from),
      start: start + first,
      blocks: Math.min(blocks, to * pageBlocks) - first,
    }
  })
}

/** `columns` may come out smaller where the extent is too short to give each column a unit. */
export function placeStriped(
  request: PlacementRequest,
  columns: number,
  unitBlocks: number = stripeUnitBytes / request.blockBytes,
): Placed[] {
  const { start, blocks, blockBytes, candidates } = request
  const count = Math.min(columns, Math.ceil(blocks / unitBlocks))
  if (count === 1) return placeWhole(request)
  if (candidates.length < count) {
    const have = `${candidates.length} can take data`
    const why = `stripe: ${columns} columns need as many different servers, ${have}`
    throw new StorageError('no-space', why)
  }
  checkDomains(request)
  const stripes = Array.from({ length: count }, (_, index) => ({ index, count, unitBlocks }))
  // The first column is the longest; so much is planned for each.
  const pages = pagesOf({ blocks, stripe: stripes[0]! }, blockBytes)
  const sets = columnSets(request, count, pages)
  const leads = new Leads(candidates)
  const primaries = sets && oneOfEach(sets.map((set) => leads.inOrder(set)))
  if (primaries === undefined) throw noSpace(request, Math.ceil(blocks / count))
  return stripes.map((stripe, index) => {
    return { serverIds: withFirst(sets![index]!, primaries[index]!), start, blocks, stripe }
  })
}

/** The servers of each column, no server with more columns than it takes to place them all. */
function columnSets(
  { candidates, copies }: PlacementRequest,
  count: number,
  pages: number,
): string[][] | undefined {
  const fits = binsOf(candidates, copies).map((bin) => {
    return { ...bin, room: Math.floor(bin.room / pages) }
  })
  const least = Math.ceil((count * copies) / candidates.length)
  for (let most = least; most <= count; most++) {
    const bins = fits.map((bin) => ({ ...bin, room: Math.min(bin.room, most) }))
    const slices = spread({ units: count, copies, bins })
    if (slices !== undefined) return slices.flatMap(columnsOf)
  }
  return undefined
}

function columnsOf({ from, to, serverIds }: Slice): string[][] {
  return Array.from({ length: to - from }, () => [...serverIds])
}

/** In one piece: what is left of a stripe set too short for two columns. */
function placeWhole(request: PlacementRequest): Placed[] {
  const { start, blocks, blockBytes, copies, candidates } = request
  checkDomains(request)
  const pages = pagesOf({ blocks }, blockBytes)
  const serverIds = chooseWhole(candidates, { pages, copies, named: [] })
  if (serverIds === undefined) throw noSpace(request, blocks)
  return [{ serverIds: new Leads(candidates).lead(serverIds, pages), start, blocks }]
}

/** A part of a volume that is placed by hand: the primary, then others that have to hold copies. */
export interface HandPart {
  readonly servers: readonly string[]
  readonly blocks: number
}

/** Placement by hand: the sizes, in order, add up to the extent; copies that name no server are placed. */
export function placeByHand(
  { start, blockBytes, copies, candidates }: PlacementRequest,
  parts: readonly HandPart[],
): Placed[] {
  let left = candidates
  let next = start
  return parts.map(({ servers, blocks }) => {
    const named = servers.map((server) => namedCandidate(server, left))
    checkNamed(named, copies)
    const pages = pagesOf({ blocks }, blockBytes)
    const small = named.find(({ freePages }) => freePages < pages)
    const here = { start: next, blocks, blockBytes, copies }
    if (small !== undefined) throw noSpace({ ...here, copies: 1, candidates: [small] }, blocks)
    checkDomains({ ...here, candidates: left })
    const serverIds = chooseWhole(left, { pages, copies, named })
    if (serverIds === undefined) throw noSpace({ ...here, candidates: left }, blocks)
    left = left.map((each) => {
      const takes = serverIds.includes(each.serverId)
      return takes ? { ...each, freePages: each.freePages - pages } : each
    })
    next += blocks
    return { serverIds, start: next - blocks, blocks }
  })
}

/** One more replica for a segment, outside the domains of those it has; undefined: no room. */
export function placeSpare(
  candidates: readonly Candidate[],
  pages: number,
  taken: ReadonlySet<string>,
): Candidate | undefined {
  const free = candidates.filter((each) => !taken.has(domainKey(each)) && each.freePages >= pages)
  return byFreeSpace(free)[0]
}

interface Whole {
  readonly pages: number
  readonly copies: number
  /** Chosen already. */
  readonly named: readonly Candidate[]
}

/** For an extent that stays in one piece: the named ones, then the most free space of each domain. */
function chooseWhole(
  candidates: readonly Candidate[],
  { pages, copies, named }: Whole,
): string[] | undefined {
  const chosen = [...named]
  const taken = new Set(named.map(domainKey))
  while (chosen.length < copies) {
    const next = placeSpare(candidates, pages, taken)
    if (next === undefined) return undefined
    taken.add(domainKey(next))
    chosen.push(next)
  }
  return chosen.map(({ serverId }) => serverId)
}

/** Which server leads what: a primary has all reads of its segment, so the least loaded one leads. */
class Leads {
  readonly #pages: Map<string, number>

  constructor(candidates: readonly Candidate[]) {
    this.#pages = new Map(candidates.map(({ serverId, ledPages }) => [serverId, ledPages]))
  }

  inOrder(serverIds: readonly string[]): string[] {
    return [...serverIds].sort((a, b) => this.#pages.get(a)! - this.#pages.get(b)!)
  }

  /** The same servers, the one that is to lead these pages first. */
  lead(serverIds: readonly string[], pages: number): string[] {
    const first = this.inOrder(serverIds)[0]!
    this.#pages.set(first, this.#pages.get(first)! + pages)
    return withFirst(serverIds, first)
  }
}

function withFirst(serverIds: readonly string[], first: string): string[] {
  return [first, ...serverIds.filter((serverId) => serverId !== first)]
}

/** With one copy domains do not matter. */
function binsOf(candidates: readonly Candidate[], copies: number): Bin[] {
  return byFreeSpace(candidates).map((each) => {
    const domain = copies === 1 ? each.serverId : domainKey(each)
    return { serverId: each.serverId, domain, room: each.freePages }
  })
}

/**
 * Which servers get the segments of a volume: by free space, never more than a server has (thin
 * pages are planned as if all were written). Linear: the fewest servers, most free space first.
 * Striped: as many different servers as columns, or an error. By hand: as asked. Pure.
 */
import { StorageError } from '../base/errors.ts'
import { pageBytes, stripeUnitBytes } from '../base/limits.ts'
import type { Segment, Stripe } from '../volume/map.ts'
import { replicaBlocks } from '../volume/routing.ts'

export interface Candidate {
  readonly serverId: string
  readonly name: string
  readonly freePages: number
}

/** A segment to be, and the server for it. */
export interface Placed {
  readonly serverId: string
  readonly start: number
  readonly blocks: number
  readonly stripe?: Stripe
}

export interface PlacementRequest {
  /** First block of the volume that is new, and how many are. */
  readonly start: number
  readonly blocks: number
  readonly blockBytes: number
  readonly candidates: readonly Candidate[]
}

/** Pages that a replica of the segment can come to hold. */
export function pagesOf(segment: Pick<Segment, 'blocks' | 'stripe'>, blockBytes: number): number {
  return Math.ceil((replicaBlocks(segment) * blockBytes) / pageBytes)
}

export function placeLinear(request: PlacementRequest): Placed[] {
  const { start, blocks, blockBytes, candidates } = request
  const pageBlocks = pageBytes / blockBytes
  const placed: Placed[] = []
  let next = start
  let missing = blocks
  for (const { serverId, freePages } of byFreeSpace(candidates)) {
    if (missing === 0) break
    const here = Math.min(missing, freePages * pageBlocks)
    if (here === 0) break
    placed.push({ serverId, start: next, blocks: here })
    next += here
    missing -= here
  }
  if (missing > 0) throw noSpace(request, candidates)
  return placed
}

/** `columns` may come out smaller where the extent is too short to give each column a unit. */
export function placeStriped(
  request: PlacementRequest,
  columns: number,
  unitBlocks: number = stripeUnitBytes / request.blockBytes,
): Placed[] {
  const { start, blocks, blockBytes, candidates } = request
  const count = Math.min(columns, Math.ceil(blocks / unitBlocks))
  if (count === 1) return placeOnOne(request)
  const chosen = byFreeSpace(candidates).slice(0, count)
  if (chosen.length < count) {
    const have = `${candidates.length} can take data`
    const why = `stripe: ${columns} columns need as many different servers, ${have}`
    throw new StorageError('no-space', why)
  }
  const placed = chosen.map(({ serverId }, index) => {
    return { serverId, start, blocks, stripe: { index, count, unitBlocks } }
  })
  if (placed.some((each, i) => pagesOf(each, blockBytes) > chosen[i]!.freePages)) {
    throw noSpace(request, chosen)
  }
  return placed
}

/** One server for the whole extent: what is left of a stripe set too short for two columns. */
function placeOnOne(request: PlacementRequest): Placed[] {
  const { start, blocks, blockBytes, candidates } = request
  const [most] = byFreeSpace(candidates)
  if (most === undefined || pagesOf({ blocks }, blockBytes) > most.freePages) {
    throw noSpace(request, candidates)
  }
  return [{ serverId: most.serverId, start, blocks }]
}

/** Placement by hand: the sizes, in order, add up to the extent. */
export function placeByHand(
  { start, blockBytes, candidates }: PlacementRequest,
  partitions: readonly { readonly server: string; readonly blocks: number }[],
): Placed[] {
  const used = new Map<string, number>()
  let next = start
  return partitions.map(({ server, blocks }) => {
    const candidate = candidates.find(({ name }) => name === server)
    if (candidate === undefined) throw unknownServer(server, candidates)
    const { serverId, freePages } = candidate
    const pages = (used.get(serverId) ?? 0) + pagesOf({ blocks }, blockBytes)
    if (pages > freePages) throw noSpace({ blocks, blockBytes }, [candidate])
    used.set(serverId, pages)
    const placed = { serverId, start: next, blocks }
    next += blocks
    return placed
  })
}

/** Most free space first; equal ones by name, so that the same state gives the same placement. */
function byFreeSpace(candidates: readonly Candidate[]): Candidate[] {
  return [...candidates].sort(
    (a, b) => b.freePages - a.freePages || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  )
}

function unknownServer(server: string, candidates: readonly Candidate[]): StorageError {
  const names = candidates.map(({ name }) => name).join(', ') || 'none'
  return new StorageError(
    'not-found',
    `partition: server "${server}" cannot take data; servers that can: ${names}`,
  )
}

function noSpace(
  { blocks, blockBytes }: Pick<PlacementRequest, 'blocks' | 'blockBytes'>,
  candidates: readonly Candidate[],
): StorageError {
  const free = byFreeSpace(candidates).map(
    ({ name, freePages }) => `${name} ${freePages * pageBytes}`,
  )
  const asked = `size: ${blocks * blockBytes} bytes do not fit`
  const have = free.length === 0 ? 'no server can take data' : `free bytes: ${free.join(', ')}`
  return new StorageError('no-space', `${asked}; ${have}`)
}

/**
 * Where the blocks of a volume live: a request of a volume becomes pieces, at most one for each
 * segment that it touches. A linear segment is a range; a stripe set is one segment per column, all
 * with the same start and blocks of the volume, and for block b
 *
 *   u = (b - start) div unit    column = u mod count
 *   block on the replica = (u div count) * unit + (b - start) mod unit        (+ startBlock)
 *
 * so that what one column holds of a contiguous request is contiguous on the replica: it is one
 * command, whose data are scattered over the request. Pure; nobody's state.
 */
import { assert } from '../base/assert.ts'
import type { Segment, VolumeMap } from './map.ts'

/** A run of blocks of the request that a piece carries. */
export interface Part {
  /** From the first block of the request. */
  readonly offset: number
  readonly blocks: number
}

/** What one segment has of a request: one contiguous run of blocks of its replicas. */
export interface Piece {
  readonly segment: Segment
  /** First block within the segment's share of a replica; the replica's startBlock comes on top. */
  readonly lba: number
  readonly blocks: number
  /** In ascending order; their blocks add up. */
  readonly parts: readonly Part[]
}

/** Segments that share a range of the volume: one linear segment, or the columns of a stripe set. */
interface Run {
  readonly start: number
  readonly end: number
  readonly unitBlocks: number
  /** By stripe index. */
  readonly columns: readonly Segment[]
}

/** The map's segments, ordered for look-ups. */
export class Routing {
  readonly #runs: readonly Run[]
  readonly blocks: number

  constructor(map: Pick<VolumeMap, 'segments' | 'blocks'>) {
    this.#runs = runsOf(map.segments)
    this.blocks = map.blocks
    let next = 0
    for (const run of this.#runs) {
      assert(run.start === next, `block ${next} of the volume lies in no segment`)
      next = run.end
    }
    assert(next >= map.blocks, `the segments end at block ${next}, before the volume`)
  }

  /** The pieces of a request that lies within the volume. */
  route(lba: number, blocks: number): Piece[] {
    assert(lba >= 0 && blocks >= 0 && lba + blocks <= this.blocks, 'a request within the volume')
    let index = this.#find(lba)
    const only = pieceWithinUnit(this.#runs[index]!, lba, blocks)
    if (only !== undefined) return [only]
    const pieces: Piece[] = []
    for (let at = lba; at < lba + blocks; index++) {
      const run = this.#runs[index]!
      const end = Math.min(run.end, lba + blocks)
      if (run.columns.length === 1) pieces.push(linearPiece(run, at, end, at - lba))
      else addStripedPieces(pieces, { run, from: at, to: end, offset: at - lba })
      at = end
    }
    return pieces
  }

  /** Index of the run that holds the block. */
  #find(lba: number): number {
    let low = 0
    let high = this.#runs.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (lba < this.#runs[middle]!.end) high = middle
      else low = middle + 1
    }
    return low
  }
}

/** Most requests are small and lie in one unit of one segment: nothing has to be put together. */
function pieceWithinUnit(run: Run, lba: number, blocks: number): Piece | undefined {
  const { start, end, unitBlocks, columns } = run
  const within = (lba - start) % unitBlocks
  if (blocks === 0 || within + blocks > unitBlocks || lba + blocks > end) return undefined
  const unit = (lba - start - within) / unitBlocks
  const row = Math.floor(unit / columns.length)
  const segment = columns[unit % columns.length]!
  return { segment, lba: row * unitBlocks + within, blocks, parts: [{ offset: 0, blocks }] }
}

function linearPiece(run: Run, from: number, to: number, offset: number): Piece {
  const blocks = to - from
  return {
    segment: run.columns[0]!,
    lba: from - run.start,
    blocks,
    parts: [{ offset, blocks }],
  }
}

interface Span {
  readonly run: Run
  readonly from: number
  readonly to: number
  /** Of `from` in the request. */
  readonly offset: number
}

function addStripedPieces(pieces: Piece[], { run, from, to, offset }: Span): void {
  const { unitBlocks, columns, start } = run
  const shares: { lba: number; blocks: number; parts: Part[] }[] = []
  for (let at = from; at < to; ) {
    const unit = Math.floor((at - start) / unitBlocks)
    const within = (at - start) % unitBlocks
    const blocks = Math.min(unitBlocks - within, to - at)
    const column = unit % columns.length
    const lba = Math.floor(unit / columns.length) * unitBlocks + within
    shares[column] ??= { lba, blocks: 0, parts: [] }
    const share = shares[column]
    share.parts.push({ offset: offset + at - from, blocks })
    share.blocks += blocks
    at += blocks
  }
  shares.forEach(({ lba, blocks, parts }, column) => {
    pieces.push({ segment: columns[column]!, lba, blocks, parts })
  })
}

function runsOf(segments: readonly Segment[]): Run[] {
  const byStart = new Map<number, Segment[]>()
  for (const segment of segments) {
    const group = byStart.get(segment.start)
    if (group === undefined) byStart.set(segment.start, [segment])
    else group.push(segment)
  }
  return [...byStart.values()].map(runOf).sort((left, right) => left.start - right.start)
}

function runOf(group: readonly Segment[]): Run {
  const { start, blocks, stripe } = group[0]!
  const columns = [...group].sort((a, b) => (a.stripe?.index ?? 0) - (b.stripe?.index ?? 0))
  assert(columns.length === (stripe?.count ?? 1), `the stripe set at block ${start} is whole`)
  columns.forEach((column, index) => {
    assert((column.stripe?.index ?? 0) === index, `column ${index} at block ${start} exists once`)
    assert(column.blocks === blocks, `all columns at block ${start} have the same range`)
  })
  return { start, end: start + blocks, unitBlocks: stripe?.unitBlocks ?? blocks, columns }
}

/** Blocks that a replica of this segment must have; the last row of a stripe set may be short. */
export function replicaBlocks(segment: Pick<Segment, 'blocks' | 'stripe'>): number {
  if (segment.stripe === undefined) return segment.blocks
  const { index, count, unitBlocks } = segment.stripe
  const units = Math.floor(segment.blocks / unitBlocks)
  const rest = segment.blocks % unitBlocks
  const whole = Math.floor(units / count) + (index < units % count ? 1 : 0)
  return whole * unitBlocks + (index === units % count ? rest : 0)
}

/** Routing against the per-block formula of the layout, for random layouts, growth and requests. */
import fc from 'fast-check'
import t from 'tap'
import type { Segment } from '../../src/volume/map.ts'
import { type Piece, Routing, replicaBlocks } from '../../src/volume/routing.ts'

const set = fc.record({
  columns: fc.integer({ min: 1, max: 4 }),
  unitBlocks: fc.integer({ min: 1, max: 9 }),
  blocks: fc.integer({ min: 1, max: 90 }),
})

/** Segments of stripe sets (one column: linear), one after the other as growth appends them. */
function layoutOf(sets: readonly { columns: number; unitBlocks: number; blocks: number }[]) {
  const segments: Segment[] = []
  let start = 0
  for (const { columns, unitBlocks, blocks } of sets) {
    for (let index = 0; index < columns; index++) {
      segments.push({
        segmentId: `${start}.${index}`,
        start,
        blocks,
        ...(columns > 1 && { stripe: { index, count: columns, unitBlocks } }),
        epoch: 0,
        replicas: [],
      })
    }
    start += blocks
  }
  return { segments, blocks: start }
}

/** The formula, block by block. */
function placeOf(segments: readonly Segment[], block: number) {
  for (const { segmentId, start, blocks, stripe } of segments) {
    if (block < start || block >= start + blocks) continue
    if (stripe === undefined) return { segmentId, lba: block - start }
    const unit = Math.floor((block - start) / stripe.unitBlocks)
    if (unit % stripe.count !== stripe.index) continue
    const row = Math.floor(unit / stripe.count)
    return { segmentId, lba: row * stripe.unitBlocks + ((block - start) % stripe.unitBlocks) }
  }
  throw new Error(`block ${block} has no place`)
}

/** Where each block of the request goes, by the pieces. */
function spread(pieces: readonly Piece[]) {
  const places: { segmentId: string; lba: number }[] = []
  for (const { segment, lba, blocks, parts } of pieces) {
    let at = lba
    for (const part of parts) {
      for (let i = 0; i < part.blocks; i++) {
        if (places[part.offset + i] !== undefined) throw new Error('a block was placed twice')
        places[part.offset + i] = { segmentId: segment.segmentId, lba: at++ }
      }
    }
    if (at !== lba + blocks) throw new Error('the parts do not add up to the piece')
  }
  return places
}

t.test('pieces agree with the formula for every block', async (t) => {
  fc.assert(
    fc.property(fc.array(set, { minLength: 1, maxLength: 4 }), fc.nat(), fc.nat(), (sets, a, b) => {
      const map = layoutOf(sets)
      const lba = a % map.blocks
      const blocks = b % (map.blocks - lba + 1)
      const pieces = new Routing(map).route(lba, blocks)
      const expected = Array.from({ length: blocks }, (_, i) => placeOf(map.segments, lba + i))
      t.strictSame(spread(pieces), expected)
      t.equal(new Set(pieces.map((piece) => piece.segment)).size, pieces.length)
    }),
    { numRuns: 300 },
  )
})

t.test('a replica is exactly as large as the blocks that are routed to it', async (t) => {
  fc.assert(
    fc.property(set, (one) => {
      const map = layoutOf([one])
      for (const segment of map.segments) {
        const held = Array.from({ length: map.blocks }, (_, b) => placeOf(map.segments, b))
        const mine = held.filter((place) => place.segmentId === segment.segmentId)
        const largest = Math.max(-1, ...mine.map((place) => place.lba))
        t.equal(replicaBlocks(segment), largest + 1)
      }
    }),
    { numRuns: 200 },
  )
})

t.test('a map with a hole, a missing column or too few blocks is refused', async (t) => {
  const linear = layoutOf([{ columns: 1, unitBlocks: 1, blocks: 10 }])
  t.throws(() => new Routing({ ...linear, blocks: 11 }), /before the volume/)
  const two = layoutOf([
    { columns: 1, unitBlocks: 1, blocks: 10 },
    { columns: 2, unitBlocks: 2, blocks: 8 },
  ])
  t.throws(() => new Routing({ ...two, segments: two.segments.slice(1) }), /in no segment/)
  t.throws(() => new Routing({ ...two, segments: two.segments.slice(0, 2) }), /is whole/)
  t.throws(() => new Routing(linear).route(5, 6), /within the volume/)
})

/**
 * Draws the regions that are compared although no mask names them, because bookkeeping may be
 * wrong. Regions with content go first: holes on both sides would say nothing.
 */
import type { Random } from '../../src/ports/random.ts'
import type { ContentStore } from './digests.ts'
import { RegionMask, type RegionView } from './region-mask.ts'
import type { Regions } from './regions.ts'

export interface SampleOptions {
  readonly regions: Regions
  readonly store: ContentStore
  readonly random: Random
  /** Compared anyway. */
  readonly without: RegionView
  readonly count: number
}

export function sampleRegions(options: SampleOptions): number[] {
  const { regions, store, without, count } = options
  const filled = filledRegions(store, regions)
  const withContent: number[] = []
  const empty: number[] = []
  for (let region = 0; region < regions.count; region++) {
    if (without.has(region)) continue
    if (filled.has(region)) withContent.push(region)
    else empty.push(region)
  }
  const drawn = draw(options.random, withContent, count)
  return [...drawn, ...draw(options.random, empty, count - drawn.length)]
}

/** Regions with something allocated; every stretch of the store is looked at once. */
function filledRegions(store: ContentStore, regions: Regions): RegionMask {
  const filled = new RegionMask(regions.count)
  for (let at = 0; at < store.blocks; ) {
    const run = store.run(at)
    const { firstRegion, endRegion } = regions.of({ lba: at, blocks: run.blocks })
    if (run.mapped) filled.setRange(firstRegion, endRegion)
    // What else is in the region where the run ends need not be known.
    const next = at + run.blocks
    const region = regions.of({ lba: next, blocks: 1 }).firstRegion
    at =
      run.mapped && region < endRegion
        ? regions.extent(region).lba + regions.extent(region).blocks
        : next
  }
  return filled
}

function draw(random: Random, from: number[], count: number): number[] {
  const drawn: number[] = []
  while (drawn.length < count && from.length > 0) {
    const at = random.below(from.length)
    drawn.push(from[at]!)
    from[at] = from[from.length - 1]!
    from.pop()
  }
  return drawn
}

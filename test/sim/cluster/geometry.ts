/** Where the blocks of a volume lie, and which of them are worth writing to. */
import { pageBytes } from '../../../src/base/limits.ts'
import type { Segment, VolumeMap } from '../../../src/volume/map.ts'
import { Routing } from '../../../src/volume/routing.ts'
import type { Chance } from '../world/chance.ts'

const pageBlocks = pageBytes / 512
const farApart = 4

/** The segment that holds a block; undefined beyond the end. */
export function segmentOf(map: VolumeMap, lba: number): Segment | undefined {
  return lba < map.blocks ? new Routing(map).route(lba, 1)[0]?.segment : undefined
}

/** A few blocks, most of them where something ends: operations have to meet. */
export function hotBlocks(map: VolumeMap, chance: Chance, places: number): number[] {
  const borders = new Set([0, map.blocks - farApart])
  for (const { start, blocks } of map.segments) {
    borders.add(start)
    borders.add(start + blocks - 2)
  }
  for (let i = 0; i < 3; i++) borders.add(chance.below(map.blocks / pageBlocks) * pageBlocks)
  for (let i = 0; i < 3; i++) borders.add(chance.below(map.blocks))
  const inside = [...borders].filter((lba) => lba >= 0 && lba < map.blocks)
  return chance.shuffled(inside).slice(0, places)
}

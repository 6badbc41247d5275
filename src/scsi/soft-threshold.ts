/**
 * The soft threshold of thin provisioning: initiators are told once when less than a tenth of a
 * unit's size can still be allocated, and again after there was more in between. SBC-3 4.7.3.7. They
 * are not told where that is enough for all blocks that have none yet.
 */
import { pageBytes, unitState } from '../base/limits.ts'
import type { UnitDescription, UnitFacts } from './logical-unit.ts'
import type { UnitConditions } from './unit-conditions.ts'

export interface SoftThreshold {
  /** Blocks are counted in sets of 2 to this power: pages. */
  readonly exponent: number
  /** In sets. */
  readonly count: number
}

/** Blocks in one threshold set. */
export function thresholdSetBlocks({ blockBytes }: UnitFacts): number {
  return pageBytes / blockBytes
}

export function softThreshold(facts: UnitFacts): SoftThreshold {
  const setBlocks = thresholdSetBlocks(facts)
  const count = Math.floor(facts.blocks / setBlocks / unitState.softThresholdShare)
  return { exponent: Math.log2(setBlocks), count: Math.max(1, count) }
}

/** True when the threshold has just been reached. */
export function reachedThreshold(unit: UnitDescription, conditions: UnitConditions): boolean {
  if (unit.space === undefined) return false
  const { space, facts } = unit
  const available = space.availableBlocks()
  const below = available < facts.blocks / unitState.softThresholdShare
  const low = below && available < facts.blocks - space.usedBlocks()
  const reached = low && !conditions.spaceLow
  conditions.spaceLow = low
  return reached
}

/**
 * How much of a volume can be written atomically. Each server writes any run of its own atomically
 * up to a limit, so what counts is where two of them meet: at the ends of stripe units and segments.
 */
import { atomicBytes, physicalBlockBytes } from '../../src/base/limits.ts'
import type { UnitFacts } from '../../src/scsi/logical-unit.ts'
import type { VolumeMap } from '../../src/volume/map.ts'

const none = { atomicBlocks: 0, atomicBoundaryBlocks: 0 }

export function atomicFacts(
  map: Pick<VolumeMap, 'segments' | 'blockBytes'>,
): Pick<UnitFacts, 'atomicBlocks' | 'atomicBoundaryBlocks'> {
  const most = atomicBytes / map.blockBytes
  let boundary = 0
  for (const { start, stripe } of map.segments) {
    boundary = greatestCommonDivisor(boundary, start)
    if (stripe !== undefined && stripe.count > 1) {
      boundary = greatestCommonDivisor(boundary, stripe.unitBlocks)
    }
  }
  if (boundary === 0) return { atomicBlocks: most, atomicBoundaryBlocks: 0 }
  // A power of two, so that whoever aligns writes to their length never crosses it.
  const bounded = Math.min(most, largestPowerOfTwoIn(boundary))
  // Atomic writes are whole physical blocks.
  if (bounded * map.blockBytes < physicalBlockBytes) return none
  return { atomicBlocks: bounded, atomicBoundaryBlocks: bounded }
}

function greatestCommonDivisor(left: number, right: number): number {
  return right === 0 ? left : greatestCommonDivisor(right, left % right)
}

/** The largest power of two that divides it. */
function largestPowerOfTwoIn(value: number): number {
  let power = 1
  while (value % (2 * power) === 0) power *= 2
  return power
}

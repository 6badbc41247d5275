/**
 * How many blocks a replica of a segment holds. A stripe set is one segment per column, all with
 * the same start and blocks of the volume; unit u of the set lies in column u mod count.
 */
import type { Segment, Stripe } from './map.ts'

export function replicaBlocks({ blocks, stripe }: Pick<Segment, 'blocks' | 'stripe'>): number {
  return stripe === undefined ? blocks : columnBlocks(blocks, stripe)
}

/** The last unit of the set, and so the last row, may be short. */
function columnBlocks(blocks: number, { index, count, unitBlocks }: Stripe): number {
  const wholeUnits = Math.floor(blocks / unitBlocks)
  const rows = Math.floor(wholeUnits / count)
  const lastRowUnits = wholeUnits - rows * count
  const whole = (rows + (index < lastRowUnits ? 1 : 0)) * unitBlocks
  return index === lastRowUnits ? whole + (blocks - wholeUnits * unitBlocks) : whole
}

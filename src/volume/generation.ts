/**
 * The generation: a logical time stamp below 2^53, from one counter of the whole system that only
 * grows. A volume's generation is the counter's value when that volume's map last changed.
 * On the wire it has eight bytes, so that any value a peer may send can be compared; inside it is
 * a plain number.
 */
import { assert } from '../base/assert.ts'

export type Generation = number & { readonly brand?: 'generation' }

export function asGeneration(value: number): Generation {
  assert(Number.isSafeInteger(value) && value >= 0, `${value} is no generation`)
  return value
}

/** Lists of buffers that came with a command: measured, cut and compared without copying. */
import { checkCondition } from './result.ts'
import { INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT } from './sense.ts'

/**
 * The initiator announced so little data that a block is incomplete, or another amount than a
 * command takes that takes all or nothing.
 */
export const wrongAmount = checkCondition(INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT)

export function announcesOther(
  call: { readonly announcedBytes: number | undefined },
  bytes: number,
): boolean {
  return call.announcedBytes !== undefined && call.announcedBytes !== bytes
}

export function totalBytes(buffers: readonly Buffer[]): number {
  let bytes = 0
  for (const buffer of buffers) bytes += buffer.length
  return bytes
}

/** The list cut to its first bytes; the same list where nothing is to be cut. */
export function firstBytes(buffers: readonly Buffer[], bytes: number): readonly Buffer[] {
  if (totalBytes(buffers) <= bytes) return buffers
  const cut: Buffer[] = []
  let left = bytes
  for (const buffer of buffers) {
    if (left === 0) break
    const part = buffer.length <= left ? buffer : buffer.subarray(0, left)
    cut.push(part)
    left -= part.length
  }
  return cut
}

/** The list without its first bytes. */
export function remainder(buffers: readonly Buffer[], bytes: number): readonly Buffer[] {
  let skip = bytes
  return buffers.flatMap((buffer) => {
    const rest = buffer.subarray(Math.min(skip, buffer.length))
    skip -= buffer.length - rest.length
    return rest.length === 0 ? [] : [rest]
  })
}

/** The first `bytes` bytes in one piece, or undefined when there are fewer. */
export function prefix(buffers: readonly Buffer[], bytes: number): Buffer | undefined {
  const first = buffers[0]
  if (first && first.length >= bytes) return first.subarray(0, bytes)
  return totalBytes(buffers) >= bytes ? Buffer.concat(firstBytes(buffers, bytes)) : undefined
}

/** A place in a list of buffers that is read from front to back. */
export class DataReader {
  readonly #buffers: readonly Buffer[]
  #index = 0
  #offset = 0

  constructor(buffers: readonly Buffer[]) {
    this.#buffers = buffers
  }

  /** The same for a list of buffers, whose bytes count as one run. */
  firstDifferenceOf(others: readonly Buffer[]): number | undefined {
    let offset = 0
    for (const other of others) {
      const difference = this.firstDifference(other)
      if (difference !== undefined) return offset + difference
      offset += other.length
    }
    return undefined
  }

  /**
   * Compares what comes next with `other`: the offset of the first byte that is not equal, or
   * undefined. There must be as much data left as `other` has.
   */
  firstDifference(other: Buffer): number | undefined {
    let done = 0
    while (done < other.length) {
      const here = this.#buffers[this.#index]!
      const count = Math.min(here.length - this.#offset, other.length - done)
      const mine = here.subarray(this.#offset, this.#offset + count)
      const theirs = other.subarray(done, done + count)
      if (!mine.equals(theirs)) return done + mine.findIndex((byte, i) => byte !== theirs[i])
      done += count
      this.#offset += count
      if (this.#offset === here.length) {
        this.#index++
        this.#offset = 0
      }
    }
    return undefined
  }
}

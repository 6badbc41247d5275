/** A run of bytes kept in several buffers, cut without copying. */

/** Views on `length` bytes of the run from `offset`; the run must be long enough. */
export function sliceData<B extends Uint8Array>(
  data: readonly B[],
  offset: number,
  length: number,
): B[] {
  const slices: B[] = []
  let skip = offset
  let missing = length
  for (const buffer of data) {
    if (missing === 0) break
    if (skip >= buffer.length) {
      skip -= buffer.length
      continue
    }
    const end = Math.min(buffer.length, skip + missing)
    const whole = skip === 0 && end === buffer.length
    slices.push(whole ? buffer : (buffer.subarray(skip, end) as B))
    missing -= end - skip
    skip = 0
  }
  return slices
}

export function totalBytes(data: readonly Uint8Array[]): number {
  let total = 0
  for (const buffer of data) total += buffer.length
  return total
}

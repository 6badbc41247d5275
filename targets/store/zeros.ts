/** Zeros to be read from, never written to: for holes, and for the rest of a page. */
import { pageBytes } from '../../src/base/limits.ts'

const zeroPage = Buffer.alloc(pageBytes)

/** `bytes` of zeros, as views of one shared page. */
export function zeros(bytes: number): Buffer[] {
  const views: Buffer[] = []
  for (let left = bytes; left > 0; left -= zeroPage.length) {
    views.push(left >= zeroPage.length ? zeroPage : zeroPage.subarray(0, left))
  }
  return views
}

/** A range of bytes of a replica, cut along its pages. */
import { pageBytes } from '../../src/base/limits.ts'

/** A part of a range that lies in one page. */
export interface Piece {
  readonly page: number
  readonly offsetBytes: number
  readonly bytes: number
}

export function piecesOf(fromBytes: number, lengthBytes: number): Piece[] {
  const pieces: Piece[] = []
  const end = fromBytes + lengthBytes
  for (let at = fromBytes; at < end; ) {
    const page = Math.floor(at / pageBytes)
    const offsetBytes = at - page * pageBytes
    const bytes = Math.min(pageBytes - offsetBytes, end - at)
    pieces.push({ page, offsetBytes, bytes })
    at += bytes
  }
  return pieces
}

/**
 * How much data of reads one session may have under way, or kept to be sent again: all there may be,
 * divided by those who want some. A session that takes nothing of what it asked for costs its share,
 * whoever else does the same.
 */
import { portal } from '../base/limits.ts'

export function readShareBytes(sessions: number): number {
  const share = Math.floor(portal.programReadBytes / Math.max(1, sessions))
  return Math.min(portal.sessionReadBytes, Math.max(portal.readShareFloorBytes, share))
}

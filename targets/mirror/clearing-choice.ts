/**
 * Which marks are worth a flush of all replicas: those of regions that nobody has written for a
 * while, and, where there are too many marks, those that were written longest ago. Decisions only;
 * it knows no partners and no time of its own.
 */
import { mirror as limits } from '../../src/base/limits.ts'

/** What is known of writes to a region. */
export interface ActivityView {
  /** Nothing is under way in it, and nothing was since then. */
  quietSince(region: number, sinceMs: number): boolean
  /** When something was last done there; undefined: not lately. */
  lastMs(region: number): number | undefined
  /** What was last written before that is the same as never. */
  forgetBefore(ms: number): void
}

/** How often marks are looked at, and how long nobody may have written where they are taken back. */
export interface ClearingTimes {
  readonly intervalMs: number
  readonly idleMs: number
}

export const usualClearing: ClearingTimes = {
  intervalMs: limits.clearIntervalMs,
  idleMs: limits.clearIdleMs,
}

/** Regions of the mask that may be cleared if they stay untouched while everything is flushed. */
export function chooseIdle(
  marked: Iterable<number>,
  activity: ActivityView,
  { nowMs, idleMs }: { readonly nowMs: number; readonly idleMs: number },
): number[] {
  const sinceMs = nowMs - idleMs
  return [...marked].filter((region) => activity.quietSince(region, sinceMs))
}

/** The idle ones, and so many of the others that room is left for what is marked next. */
export function chooseForRoom(
  marked: readonly number[],
  activity: ActivityView,
  at: { readonly nowMs: number; readonly idleMs: number; readonly count: number },
): number[] {
  const { nowMs, count } = at
  const idle = chooseIdle(marked, activity, at)
  const excess = count - idle.length - limits.markedRegionsLow
  if (count <= limits.markedRegionsHigh || excess <= 0) return idle
  const chosen = new Set(idle)
  const others = marked
    .filter((region) => !chosen.has(region) && activity.quietSince(region, nowMs))
    .map((region) => ({ region, lastMs: activity.lastMs(region) ?? 0 }))
    .sort((left, right) => left.lastMs - right.lastMs)
  return [...idle, ...others.slice(0, excess).map(({ region }) => region)]
}

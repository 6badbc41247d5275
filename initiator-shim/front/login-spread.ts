/**
 * To which gateway an initiator's login belongs: the rule alone, without memory and without time
 * (`login-guide.ts` has them). It decides where a session is opened and nothing else: through which
 * gateway its initiator works is for the map to say. Design, section 2.
 *
 * - A gateway that stops takes nobody in: the session goes where its initiator has none, and there
 *   to the gateway with the fewest.
 * - An initiator that has a session with the volume here comes for a second path: it goes to a
 *   gateway where it has none. Where it has one everywhere it is let in.
 * - One that has sessions elsewhere and none here was told where to go, or wants this path.
 * - One that has none anywhere goes to the gateway with the fewest sessions, where it is worth it.
 */
import { crc32c } from '../../src/base/crc32c.ts'
import { frontEnds as limits } from '../../src/base/limits.ts'

/** This gateway, as the login finds it. */
export interface Here {
  readonly sessions: number
  /** The initiator has a session with the volume, under another ISID. */
  readonly isAttached: boolean
  readonly isLeaving: boolean
}

/** Another gateway that serves. */
export interface There {
  readonly client: string
  readonly sessions: number
  readonly isAttached: boolean
}

/** Undefined: it is let in here, or refused where this gateway stops. */
export function elsewhere<T extends There>(here: Here, others: readonly T[]): T | undefined {
  const free = others.filter(({ isAttached }) => !isAttached).sort(byLoad)
  if (here.isLeaving) return free[0] ?? [...others].sort(byLoad)[0]
  if (here.isAttached) return free[0]
  const [least] = free
  if (least === undefined || free.length < others.length) return undefined
  return least.sessions + limits.spreadMargin < here.sessions ? least : undefined
}

function byLoad(one: There, other: There): number {
  return one.sessions - other.sessions || (one.client < other.client ? -1 : 1)
}

/**
 * How gateways tell one another that an initiator has a session with a volume. Two pairs with one
 * key cost a login its best place, and nothing else.
 */
export function attachmentKey(targetName: string, initiatorName: string): number {
  return crc32c([Buffer.from(`${targetName} ${initiatorName}`)])
}

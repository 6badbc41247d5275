/**
 * What becomes of the replicas of one segment, as pure functions: who is dropped, promoted, called
 * in sync again, or served from after all of them lost something. The same rules are asked twice:
 * first of what the manager believes, to find out whether a change is needed and who has to be
 * closed for it; then of what servers answered to close, which decides. Design, sections 4 to 6.
 *
 * The first replica is the primary and always in sync. A replica that is not in sync is never
 * promoted, and neither is one that did not answer.
 */
import type { PartnerCondition } from '../control/messages/server.ts'
import type { Replica, Segment } from '../volume/map.ts'

/** What is known of the replicas of one segment; each question names a server. */
export interface Sight {
  /** It answers the manager; under close: it has answered close. */
  readonly answers: (serverId: string) => boolean
  /** The store that is there now: empty where it has none, undefined where it was not heard of. */
  readonly incarnation: (serverId: string) => string | undefined
  /** Those who should use it cannot, and the manager cannot either. */
  readonly isLost: (serverId: string) => boolean
  /** The primary answers the manager, and has not been serving for a while. */
  readonly isIdle: (serverId: string) => boolean
  /** An operator vouches that it is off. */
  readonly isDead: (serverId: string) => boolean
  /** Its disk returned errors for this replica. */
  readonly hasFailedDisk: (serverId: string) => boolean
  /** How the primary sees it; undefined where the primary has said nothing of this map. */
  readonly partner: (serverId: string) => PartnerCondition | undefined
  /** Some client found no way to it. */
  readonly isShunned: (serverId: string) => boolean
  /** It says, under this map, that it does not hear its primary. */
  readonly missesPrimary: (serverId: string) => boolean
  /** So it does, and clients may yet say that it is the primary which cannot be used. */
  readonly isDisputed: (serverId: string) => boolean
}

/** Whose closing makes the change safe. */
export type Closes = 'nobody' | 'primary' | 'everyone'

export interface ReplicaChange {
  readonly segment: Segment
  readonly closes: Closes
}

/** Undefined: the replicas are as they should be, or nothing can be done now. */
export function neededChange(segment: Segment, sight: Sight): ReplicaChange | undefined {
  const [primary] = segment.replicas
  if (primary === undefined) return undefined
  if (!isSound(primary, sight) || isCutOff(segment, sight)) {
    const takenOver = takeOver(segment, sight)
    if (takenOver !== undefined) return { segment: takenOver, closes: 'everyone' }
  }
  if (canServe(primary, sight)) return asPrimarySees(segment, sight)
  const anew = afterLoss(segment, sight)
  return anew === undefined ? undefined : { segment: anew, closes: 'nobody' }
}

/** Nothing speaks against it: what was not heard of is not held against it. */
function isSound(primary: Replica, sight: Sight): boolean {
  const { serverId } = primary
  const isOff = sight.isLost(serverId) || sight.isIdle(serverId) || sight.isDead(serverId)
  return !isOff && !sight.hasFailedDisk(serverId) && !hasLost(primary, sight)
}

/**
 * Neither a client nor a partner that is there reaches it, whatever it says to the manager. Once it
 * has been closed nothing speaks against another one.
 */
function isCutOff({ replicas: [primary, ...others] }: Segment, sight: Sight): boolean {
  if (primary === undefined || !sight.isShunned(primary.serverId)) return false
  return others.some(({ serverId, state }) => {
    return state === 'in-sync' && sight.answers(serverId) && sight.missesPrimary(serverId)
  })
}

function canServe(primary: Replica, sight: Sight): boolean {
  const { serverId } = primary
  return sight.answers(serverId) && !sight.isDead(serverId) && !hasLost(primary, sight)
}

/** Its store is another one than the map believes, or it has none. */
function hasLost({ serverId, incarnation }: Replica, sight: Sight): boolean {
  const now = sight.incarnation(serverId)
  return now !== undefined && now !== incarnation
}

/** One of the other in-sync replicas becomes the primary. All that are not at hand are dropped. */
function takeOver(segment: Segment, sight: Sight): Segment | undefined {
  const [primary, ...others] = segment.replicas
  const fit = others.filter((each) => {
    const { serverId, state, incarnation } = each
    const isThere = sight.answers(serverId) && !sight.isDead(serverId)
    const isWhole = sight.incarnation(serverId) === incarnation && !sight.hasFailedDisk(serverId)
    return state === 'in-sync' && isThere && isWhole
  })
  if (fit.length === 0) return undefined
  const rest = [primary!, ...others].filter((each) => !fit.includes(each))
  return { ...segment, replicas: [...fit, ...rest.map((each) => asBehind(each, sight))] }
}

/** The primary goes on; it says who of the others can be used. */
function asPrimarySees(segment: Segment, sight: Sight): ReplicaChange | undefined {
  const replicas = segment.replicas.map((each, index) => {
    if (index === 0) return each
    if (each.state === 'in-sync') return isUnusable(each, sight) ? asBehind(each, sight) : each
    return isUpToDate(each, sight) ? asInSync(each, sight) : withStore(each, sight)
  })
  if (replicas.every((each, index) => each === segment.replicas[index])) return undefined
  const moves = replicas.some(({ state }, index) => state !== segment.replicas[index]!.state)
  return { segment: { ...segment, replicas }, closes: moves ? 'primary' : 'nobody' }
}

function isUnusable(replica: Replica, sight: Sight): boolean {
  const { serverId, incarnation } = replica
  if (sight.isLost(serverId) || sight.isDead(serverId) || sight.hasFailedDisk(serverId)) return true
  const now = sight.incarnation(serverId) || incarnation
  if (now !== incarnation) return true
  return sight.partner(serverId)?.state === 'silent' && !sight.isDisputed(serverId)
}

function isUpToDate({ serverId }: Replica, sight: Sight): boolean {
  const seen = sight.partner(serverId)
  if (seen?.state !== 'up-to-date' || seen.incarnation === '') return false
  // What the primary flushed to is gone if the store is another one by now.
  const now = sight.incarnation(serverId) || seen.incarnation
  return now === seen.incarnation && !sight.isDead(serverId) && !sight.hasFailedDisk(serverId)
}

/**
 * No replica kept all that it had acknowledged, and each has been heard of or is declared dead:
 * those that are there go on with what they have, under a new epoch. None of them serves before
 * the map names its store, so nobody has to be closed.
 */
function afterLoss(segment: Segment, sight: Sight): Segment | undefined {
  const inSync = segment.replicas.filter(({ state }) => state === 'in-sync')
  const isGone = (each: Replica): boolean => {
    return sight.isDead(each.serverId) || (hasLost(each, sight) && hasStore(each, sight))
  }
  if (!inSync.every(isGone)) return undefined
  const there = inSync.filter((each) => {
    return sight.answers(each.serverId) && !sight.isDead(each.serverId) && hasStore(each, sight)
  })
  if (there.length === 0) return undefined
  const rest = segment.replicas.filter((each) => !there.includes(each))
  const replicas = [
    ...there.map((each) => withStore(each, sight)),
    ...rest.map((each) => asBehind(each, sight)),
  ]
  return { ...segment, epoch: segment.epoch + 1, replicas }
}

function hasStore({ serverId }: Replica, sight: Sight): boolean {
  return (sight.incarnation(serverId) ?? '') !== ''
}

function asInSync(replica: Replica, sight: Sight): Replica {
  const { incarnation } = sight.partner(replica.serverId)!
  return { ...replica, state: 'in-sync', incarnation }
}

function asBehind(replica: Replica, sight: Sight): Replica {
  const named = withStore(replica, sight)
  return named.state === 'behind' ? named : { ...named, state: 'behind' }
}

/** Names the store that is there now: before that the server takes nothing for the replica. */
function withStore(replica: Replica, sight: Sight): Replica {
  const incarnation = sight.incarnation(replica.serverId) || replica.incarnation
  return incarnation === replica.incarnation ? replica : { ...replica, incarnation }
}

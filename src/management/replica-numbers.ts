/**
 * Numbers of replicas: the LUN under which a server takes what its partners send for one of them,
 * so no two replicas on a server have the same, those of deleted volumes included until they are
 * freed. Pure; the configuration store draws them in the turn of a commit.
 */
import { StorageError } from '../base/errors.ts'
import { mirror } from '../base/limits.ts'
import type { Replica, VolumeMap } from '../volume/map.ts'

type Segmented = Pick<VolumeMap, 'segments'>

/** Gives a number to each replica that has none (0). */
export function withNumbers<T extends Segmented>(draft: T, others: readonly Segmented[]): T {
  if (draft.segments.every(({ replicas }) => replicas.every(({ number }) => number > 0))) {
    return draft
  }
  const used = new Map<string, Set<number>>()
  const usedOn = (serverId: string): Set<number> => {
    const numbers = used.get(serverId) ?? new Set()
    used.set(serverId, numbers)
    return numbers
  }
  for (const { segments } of [...others, draft]) {
    for (const { serverId, number } of segments.flatMap(({ replicas }) => replicas)) {
      usedOn(serverId).add(number)
    }
  }
  const numbered = (replica: Replica): Replica => {
    if (replica.number > 0) return replica
    const number = smallestFree(usedOn(replica.serverId), replica.server)
    usedOn(replica.serverId).add(number)
    return { ...replica, number }
  }
  const segments = draft.segments.map((segment) => {
    return { ...segment, replicas: segment.replicas.map(numbered) }
  })
  return { ...draft, segments }
}

/** From 1: LUN 0 of a replication target is for what concerns no single replica. */
function smallestFree(used: ReadonlySet<number>, server: string): number {
  let number = 1
  while (used.has(number)) number += 1
  if (number <= mirror.replicasOnServer) return number
  throw new StorageError('no-space', `server ${server} holds ${mirror.replicasOnServer} replicas`)
}

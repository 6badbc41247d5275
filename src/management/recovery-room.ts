/**
 * Whether what a server holds would find room elsewhere if the server were lost: each mirrored
 * replica on another server, outside the domains of the other copies, all of them together. Pure.
 */
import type { VolumeMap } from '../volume/map.ts'
import type { Candidate } from './candidate.ts'
import { pagesOf, placeSpare } from './placement.ts'

export interface MissingRoom {
  readonly server: string
  /** Volumes that would stay with a copy less. */
  readonly volumes: readonly string[]
}

export interface RecoveryRoom {
  /** With all that recovery may use, reserved space included. */
  readonly candidates: readonly Candidate[]
  /** Failure domain of any server. */
  readonly domainOf: (serverId: string) => string
}

export function missingRoom(
  maps: readonly VolumeMap[],
  { candidates, domainOf }: RecoveryRoom,
): MissingRoom[] {
  const missing: MissingRoom[] = []
  for (const lost of serversOfMirrors(maps)) {
    let left = candidates.filter(({ serverId }) => serverId !== lost.serverId)
    const volumes = new Set<string>()
    for (const { volume, pages, others } of replicasOn(lost.serverId, maps)) {
      const spare = placeSpare(left, pages, new Set(others.map(domainOf)))
      if (spare === undefined) {
        volumes.add(volume)
        continue
      }
      left = left.map((each) => {
        return each === spare ? { ...each, freePages: each.freePages - pages } : each
      })
    }
    if (volumes.size > 0) missing.push({ server: lost.server, volumes: [...volumes] })
  }
  return missing
}

function serversOfMirrors(maps: readonly VolumeMap[]): { serverId: string; server: string }[] {
  const servers = new Map<string, string>()
  for (const { segments, copies } of maps) {
    if (copies === 1) continue
    for (const { serverId, server } of segments.flatMap(({ replicas }) => replicas)) {
      servers.set(serverId, server)
    }
  }
  return [...servers].map(([serverId, server]) => ({ serverId, server }))
}

function* replicasOn(serverId: string, maps: readonly VolumeMap[]) {
  for (const { name, segments, copies, blockBytes } of maps) {
    if (copies === 1) continue
    for (const segment of segments) {
      const ids = segment.replicas.map((each) => each.serverId)
      if (!ids.includes(serverId)) continue
      const others = ids.filter((each) => each !== serverId)
      yield { volume: name, pages: pagesOf(segment, blockBytes), others }
    }
  }
}

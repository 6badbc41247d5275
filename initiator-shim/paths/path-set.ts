/**
 * The paths of one volume, one for each server that its map names. They stand only while an
 * initiator is attached to the volume here.
 */
import type { Replica, VolumeMap } from '../../src/volume/map.ts'
import { PathCounters } from './path-counters.ts'
import { type PathPorts, ServerPath } from './server-path.ts'

export class PathSet {
  readonly #ports: PathPorts
  /** By serverId; closed ones stay for what they counted, until they are wanted again. */
  readonly #paths = new Map<string, ServerPath>()

  constructor(ports: PathPorts) {
    this.#ports = ports
  }

  /** The path to a replica's server, made where there is none; it may be down. */
  of(replica: Replica): ServerPath {
    const known = this.#paths.get(replica.serverId)
    if (known?.closed === false) return known
    const path = new ServerPath(this.#ports, replica, known?.counters ?? new PathCounters())
    this.#paths.set(replica.serverId, path)
    return path
  }

  /** Brings up the paths to all primaries. */
  connect(map: VolumeMap): void {
    for (const { replicas } of map.segments) if (replicas[0]) this.of(replicas[0]).connect()
  }

  /**
   * Takes the portals of a new map, and ends paths to servers that it does not name any more: the
   * generation has moved, so nothing that was sent there can touch the store. Who led under `former`
   * and does not any more is not waited for.
   */
  update(map: VolumeMap, former: VolumeMap): void {
    const replicas = map.segments.flatMap((segment) => segment.replicas)
    const targets = new Map(replicas.map((replica) => [replica.serverId, replica]))
    for (const [serverId, path] of this.#paths) {
      const target = map.deleted ? undefined : targets.get(serverId)
      if (target !== undefined) path.update(target)
      else {
        path.close()
        this.#paths.delete(serverId)
      }
    }
    for (const serverId of deposed(former, map)) this.#paths.get(serverId)?.deposed()
  }

  close(): void {
    for (const path of this.#paths.values()) path.close()
  }

  list(): readonly ServerPath[] {
    return [...this.#paths.values()]
  }
}

function deposed(former: VolumeMap, map: VolumeMap): Set<string> {
  const leaders = new Map(map.segments.map((each) => [each.segmentId, each.replicas[0]?.serverId]))
  const servers = new Set<string>()
  for (const { segmentId, replicas } of former.segments) {
    const serverId = replicas[0]?.serverId
    if (serverId !== undefined && leaders.get(segmentId) !== serverId) servers.add(serverId)
  }
  return servers
}

/** The whole state for people and scripts: what is, what is pending, what to worry about. */
import type {
  FenceStatus,
  ServerStatus,
  ShutOut,
  StatusReply,
  VolumeStatus,
} from '../control/messages/admin.ts'
import type { ReportRequest } from '../control/messages/client.ts'
import type { VolumeAdmin } from './admin-volumes.ts'
import type { ConfigurationStore } from './configuration-store.ts'
import type { Volumes } from './volumes.ts'

export interface StatusSources {
  readonly store: ConfigurationStore
  readonly volumes: Volumes
  readonly volumeAdmin: VolumeAdmin
  readonly servers: readonly ServerStatus[]
  readonly nameOf: (serverId: string) => string
  readonly shutOut: ShutOut
  readonly watching: number
  readonly relayed: { readonly now: number; readonly total: number }
  readonly managementPath: readonly string[]
  readonly reports: readonly (ReportRequest & { readonly wallMs: number })[]
}

export function statusReply(sources: StatusSources): StatusReply {
  const { store, volumes, volumeAdmin, servers, nameOf } = sources
  const statuses = volumes.all.map((volume) => volumeAdmin.status(volume))
  const pendingFences = fences(sources)
  return {
    term: store.term,
    generation: store.counter,
    servers,
    volumes: statuses,
    pendingFences,
    shutOut: sources.shutOut,
    warnings: warnings(servers, statuses, pendingFences),
    watchingClients: sources.watching,
    relayedConnections: sources.relayed.now,
    relayedConnectionsTotal: sources.relayed.total,
    reports: sources.reports.map(({ serverId, wallMs, ...report }) => {
      return { ...report, server: nameOf(serverId), wallMs: Math.round(wallMs) }
    }),
    managementPath: sources.managementPath,
  }
}

function fences({ store, volumes, nameOf }: StatusSources): FenceStatus[] {
  return volumes.all.flatMap(({ map, pendingFence }) => {
    if (pendingFence === undefined) return []
    const { client, waitingFor } = pendingFence
    const sinceWallMs = Math.round(store.fence(map.volumeId)?.sinceWallMs ?? 0)
    return { volume: map.name, client, waitingFor: waitingFor.map(nameOf), sinceWallMs }
  })
}

function warnings(
  servers: readonly ServerStatus[],
  volumes: readonly VolumeStatus[],
  pending: readonly FenceStatus[],
): string[] {
  const texts: string[] = []
  for (const { adopted, reachable, declaredDead, server } of servers) {
    if (!adopted) texts.push(`server ${server.name} has registered and was not added`)
    else if (declaredDead) texts.push(`server ${server.name} is declared dead`)
    else if (!reachable) texts.push(`server ${server.name} does not answer`)
  }
  for (const { name, behind } of volumes) {
    if (behind.length > 0) texts.push(`volume ${name}: not confirmed by ${behind.join(', ')}`)
  }
  for (const { volume, client, waitingFor } of pending) {
    texts.push(`volume ${volume}: fence of ${client} waits for ${waitingFor.join(', ')}`)
  }
  if (volumes.length > 0) {
    texts.push(
      'every volume has one copy: a server that loses power loses what was not flushed, and where a ' +
        'front end runs on the same machine nobody is left to tell its initiators',
    )
  }
  return texts
}

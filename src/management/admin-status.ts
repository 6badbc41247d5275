/** The whole state for people and scripts: what is, what is pending, what to worry about. */
import type {
  FenceStatus,
  GatewayStatus,
  ServerStatus,
  ShutOut,
  StatusReply,
} from '../control/messages/admin.ts'
import type { ReportRequest } from '../control/messages/client.ts'
import type { VolumeAdmin } from './admin-volumes.ts'
import type { ConfigurationStore } from './configuration-store.ts'
import type { MissingRoom } from './recovery-room.ts'
import type { Volumes } from './volumes.ts'
import { warnings } from './warnings.ts'

export interface StatusSources {
  readonly store: ConfigurationStore
  readonly volumes: Volumes
  readonly volumeAdmin: VolumeAdmin
  readonly servers: readonly ServerStatus[]
  readonly managerDomain: string
  readonly missingRoom: readonly MissingRoom[]
  readonly nameOf: (serverId: string) => string
  readonly shutOut: ShutOut
  readonly watching: number
  readonly relayed: { readonly now: number; readonly total: number }
  readonly managementPath: readonly string[]
  readonly gateways: readonly GatewayStatus[]
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
    warnings: warnings({
      servers,
      volumes: statuses,
      maps: volumes.all.map(({ map }) => map),
      pending: pendingFences,
      managerDomain: sources.managerDomain,
      missingRoom: sources.missingRoom,
    }),
    watchingClients: sources.watching,
    relayedConnections: sources.relayed.now,
    relayedConnectionsTotal: sources.relayed.total,
    reports: sources.reports.map(({ serverId, wallMs, ...report }) => {
      return { ...report, server: nameOf(serverId), wallMs: Math.round(wallMs) }
    }),
    managementPath: sources.managementPath,
    gateways: sources.gateways,
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

/** What an operator should know of the system as it is set up and as it stands, in sentences. Pure. */
import type {
  FenceStatus,
  ReplicaStatus,
  ServerStatus,
  VolumeStatus,
} from '../control/messages/admin.ts'
import type { VolumeMap } from '../volume/map.ts'
import type { MissingRoom } from './recovery-room.ts'

export interface WarningSources {
  readonly servers: readonly ServerStatus[]
  readonly volumes: readonly VolumeStatus[]
  readonly maps: readonly VolumeMap[]
  readonly pending: readonly FenceStatus[]
  /** Failure domain of the manager; empty: not told. */
  readonly managerDomain: string
  readonly missingRoom: readonly MissingRoom[]
}

export function warnings(sources: WarningSources): string[] {
  const { servers, managerDomain } = sources
  const domains = new Map(servers.map(({ server, domain }) => [server.name, domain]))
  return [
    ...serverWarnings(sources.servers),
    ...sources.volumes
      .filter(({ behind }) => behind.length > 0)
      .map(({ name, behind }) => `volume ${name}: not confirmed by ${behind.join(', ')}`),
    ...sources.pending.map(({ volume, client, waitingFor }) => {
      return `volume ${volume}: fence of ${client} waits for ${waitingFor.join(', ')}`
    }),
    ...sources.volumes.flatMap(replicaWarnings),
    ...sources.maps.flatMap((map) => volumeWarnings(map, { domains, managerDomain })),
    ...roomWarnings(sources.missingRoom),
    ...singleCopyWarnings(sources.maps),
  ]
}

export interface SetUp {
  /** Of servers, by name; empty: the server is one of its own. */
  readonly domains: ReadonlyMap<string, string>
  /** Of the manager; empty: not told. */
  readonly managerDomain: string
}

/** Of the set-up of one volume: told when it is made, and by every status. */
export function volumeWarnings(map: VolumeMap, { domains, managerDomain }: SetUp): string[] {
  if (map.copies === 1) return []
  const texts = [...sharedDomains(map, domains)].map(([domain, names]) => {
    return `volume ${map.name}: copies of the same data are on ${names}, all in domain ${domain}`
  })
  const failover = failoverWarning(map, domains, managerDomain)
  return failover === undefined ? texts : [...texts, failover]
}

/** A failover needs a manager that survives the failure. */
function failoverWarning(
  map: VolumeMap,
  domains: ReadonlyMap<string, string>,
  managerDomain: string,
): string | undefined {
  const names = new Set(map.segments.flatMap(({ replicas }) => replicas.map((one) => one.server)))
  const held = [...names].filter((name) => (domains.get(name) ?? '') !== '')
  if (held.length === 0) return undefined
  const start = `volume ${map.name}: no automatic failover`
  if (managerDomain === '') {
    return `${start} is certain: where the manager runs was not told (manager --domain)`
  }
  const shared = held.filter((name) => domains.get(name) === managerDomain)
  if (shared.length === 0) return undefined
  const where = `the only manager shares domain ${managerDomain} with ${shared.join(', ')}`
  return `${start} when that domain fails: ${where}`
}

/** Segments of which one domain has several copies; the domain of a server can be told later. */
function sharedDomains(
  map: VolumeMap,
  domains: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const { replicas } of map.segments) {
    const byDomain = new Map<string, string[]>()
    for (const { server } of replicas) {
      const domain = domains.get(server) ?? ''
      if (domain !== '') byDomain.set(domain, [...(byDomain.get(domain) ?? []), server])
    }
    for (const [domain, names] of byDomain) {
      if (names.length > 1) found.set(domain, names.join(', '))
    }
  }
  return found
}

function serverWarnings(servers: readonly ServerStatus[]): string[] {
  return servers.flatMap(({ adopted, reachable, declaredDead, server }) => {
    if (!adopted) return [`server ${server.name} has registered and was not added`]
    if (declaredDead) return [`server ${server.name} is declared dead`]
    return reachable ? [] : [`server ${server.name} does not answer`]
  })
}

/** One line for each server whose copy is not what it should be. */
function replicaWarnings({ name, replicas }: VolumeStatus): string[] {
  const failed = replicas.filter(({ diskFailed }) => diskFailed).map(({ server }) => server)
  const isMirrored = replicas.some(({ primary }) => !primary)
  // Of the only copy the server's own line says as much.
  const wrong = isMirrored ? replicas.filter(({ state }) => state !== 'in-sync') : []
  const servers = [...new Set(wrong.map(({ server }) => server))]
  return [
    ...[...new Set(failed)].map((server) => {
      return `volume ${name}: the disk of ${server} returned errors`
    }),
    ...servers.map((server) => {
      const here = wrong.filter((each) => each.server === server)
      return `volume ${name}: the copy on ${server} is ${copyText(here)}`
    }),
  ]
}

function copyText(replicas: readonly ReplicaStatus[]): string {
  const states = [...new Set(replicas.map(({ state }) => state))].join(', ')
  const bytes = replicas.reduce((sum, { behindBytes }) => sum + behindBytes, 0)
  return bytes === 0 ? states : `${states}, ${bytes} bytes behind`
}

export function roomWarnings(missing: readonly MissingRoom[]): string[] {
  if (missing.length === 0) return []
  const servers = list(missing.map(({ server }) => server))
  const volumes = list([...new Set(missing.flatMap((each) => each.volumes))])
  const what = missing.length === 1 ? 'of this server' : 'of any of these servers'
  return [
    `no space for recovery ${what}: ${servers}; what it holds of ${volumes} finds no room on ` +
      'another server in another failure domain',
  ]
}

function singleCopyWarnings(maps: readonly VolumeMap[]): string[] {
  const single = maps.filter(({ copies }) => copies === 1).map(({ name }) => name)
  if (single.length === 0) return []
  return [
    `volumes with one copy: ${list(single)}; a server that loses power loses what was not ` +
      'flushed, and where a front end runs on the same machine nobody is left to tell its initiators',
  ]
}

const longestList = 5

function list(names: readonly string[]): string {
  if (names.length <= longestList) return names.join(', ')
  const more = names.length - longestList
  return `${names.slice(0, longestList).join(', ')} and ${more} more`
}

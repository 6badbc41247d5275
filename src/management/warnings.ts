/** What an operator should know of the system as it is set up and as it stands, in sentences. Pure. */
import type { FenceStatus, ServerStatus, VolumeStatus } from '../control/messages/admin.ts'
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
    ...sources.maps.flatMap((map) => domainWarnings(map, domains)),
    ...failoverWarnings(sources.maps, { domains, managerDomain }),
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

/** Of the set-up of one volume, told when it is made. */
export function volumeWarnings(map: VolumeMap, { domains, managerDomain }: SetUp): string[] {
  if (map.copies === 1) return []
  return [...domainWarnings(map, domains), ...failoverWarnings([map], { domains, managerDomain })]
}

/**
 * A failover needs a manager that survives the failure. One sentence for all volumes of which the
 * same is to be said.
 */
function failoverWarnings(maps: readonly VolumeMap[], { domains, managerDomain }: SetUp): string[] {
  const byReason = new Map<string, string[]>()
  for (const map of maps) {
    const reason = map.copies === 1 ? undefined : whyNoFailover(map, domains, managerDomain)
    if (reason !== undefined) byReason.set(reason, [...(byReason.get(reason) ?? []), map.name])
  }
  return [...byReason].map(([reason, names]) => `no automatic failover of ${list(names)} ${reason}`)
}

function whyNoFailover(
  map: VolumeMap,
  domains: ReadonlyMap<string, string>,
  managerDomain: string,
): string | undefined {
  const names = new Set(map.segments.flatMap(({ replicas }) => replicas.map((one) => one.server)))
  const held = [...names].filter((name) => (domains.get(name) ?? '') !== '')
  if (held.length === 0) return undefined
  if (managerDomain === '') {
    return 'is certain: in which domain the manager runs was not told (manager --domain)'
  }
  const shared = held.filter((name) => domains.get(name) === managerDomain)
  if (shared.length === 0) return undefined
  return `when domain ${managerDomain} fails: the only manager shares it with ${shared.join(', ')}`
}

function domainWarnings(map: VolumeMap, domains: ReadonlyMap<string, string>): string[] {
  return [...sharedDomains(map, domains)].map(([domain, names]) => {
    return `volume ${map.name}: copies of the same data are on ${names}, all in domain ${domain}`
  })
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
      const states = [...new Set(here.map(({ state }) => state))].join(' and ')
      return `volume ${name}: the copy on ${server} is ${states}`
    }),
  ]
}

export function roomWarnings(missing: readonly MissingRoom[]): string[] {
  if (missing.length === 0) return []
  const servers = list(
    missing.map(({ server }) => server),
    ' or ',
  )
  const volumes = list([...new Set(missing.flatMap((each) => each.volumes))])
  return [
    `no space for recovery where ${servers} is lost: what it holds of ${volumes} finds no room on ` +
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

function list(names: readonly string[], last = ' and '): string {
  if (names.length === 1) return names[0]!
  if (names.length <= longestList) return names.slice(0, -1).join(', ') + last + names.at(-1)
  const more = names.length - longestList
  return `${names.slice(0, longestList).join(', ')} and ${more} more`
}

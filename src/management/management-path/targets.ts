/** Which storage server is behind a target's name, and where the manager reaches it. */
import { parseAddress } from '../../base/address.ts'
import type { ServerFacts } from '../../control/messages/server.ts'
import type { ServerRegistry } from '../server-registry.ts'
import type { Volumes } from '../volumes.ts'

/** One for each server and volume. */
export function targetNames(volumes: Volumes): string[] {
  const names = volumes.all.flatMap(({ map }) => {
    return map.segments.flatMap(({ replicas }) => replicas.map(({ iqn }) => iqn))
  })
  return [...new Set(names)]
}

export function targetAddresses(
  targetName: string,
  volumes: Volumes,
  registry: ServerRegistry,
): readonly string[] | undefined {
  for (const { map } of volumes.all) {
    for (const { replicas } of map.segments) {
      const found = replicas.find(({ iqn }) => iqn === targetName)
      if (found !== undefined) return dialledAt(found.serverId, registry)
    }
  }
  return undefined
}

function dialledAt(serverId: string, registry: ServerRegistry): readonly string[] {
  const server = registry.all.find(({ facts }) => facts.serverId === serverId)
  return server === undefined ? [] : addressesOf(server.facts)
}

/**
 * Where the server listens comes first: what clients are told may lead through the very path that
 * is broken. An address that means something only on the server's own machine is completed, or
 * left out, by where its calls are served.
 */
export function addressesOf({ listens = [], portals, control }: ServerFacts): readonly string[] {
  const controlHost = hostOf(control)
  const own = listens.flatMap((address) => {
    const host = hostOf(address)
    if (host === '0.0.0.0' || host === '::') {
      return address.replace(
        /^.*:/,
        `${controlHost.includes(':') ? `[${controlHost}]` : controlHost}:`,
      )
    }
    return isLoopback(host) && !isLoopback(controlHost) ? [] : address
  })
  return [...new Set([...own, ...portals])]
}

function hostOf(address: string): string {
  return parseAddress(address).host
}

function isLoopback(host: string): boolean {
  return host === '::1' || host === 'localhost' || host.startsWith('127.')
}

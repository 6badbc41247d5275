/**
 * Where one portal of a program is reached: what it listens on, what initiators are told, and its
 * portal group (RFC 7143 4.4.1, 13.9). Sessions may move among the portals of one group.
 */
import { formatAddress, parseAddress } from '../base/address.ts'
import type { TargetAddress } from '../iscsi/send-targets.ts'

export interface PortalAddress {
  /** With the real port. */
  readonly listening: string
  /** What discovery says instead; where a proxy or a translating router is in between. */
  readonly advertised?: string
  readonly portalGroupTag: number
}

/** Listens on every address of the machine: only a connection tells one that works. */
const everyHost: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/**
 * All portals as an initiator should dial them that came in at `through`, and found
 * `localAddress` there: that one first.
 */
export function portalsSeen(
  portals: readonly PortalAddress[],
  through: PortalAddress,
  localAddress: string,
): TargetAddress[] {
  const others = portals.filter((portal) => portal !== through)
  return [through, ...others].map(({ listening, advertised, portalGroupTag }) => ({
    address: advertised ?? reachable(listening, localAddress),
    portalGroupTag,
  }))
}

function reachable(listening: string, localAddress: string): string {
  const { host, port } = parseAddress(listening)
  return everyHost.has(host) ? formatAddress(parseAddress(localAddress).host, port) : listening
}

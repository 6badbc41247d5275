/** The gateways of a system, for people and for scripts. */
import type { GatewayStatus } from '../control/messages/admin.ts'
import { table } from './output.ts'

export function gatewayJson({ client, group, addresses, sessions, active }: GatewayStatus) {
  return { client, group, portals: addresses, sessions, active }
}

/** With an empty line before it; nothing where there is none. */
export function gatewayTable(gateways: readonly GatewayStatus[]): string[] {
  if (gateways.length === 0) return []
  const rows = gateways.map(({ addresses, group, sessions, active }) => [
    addresses.join(' '),
    group,
    sessions,
    active.map(({ volume, initiators }) => `${volume} (${initiators.length})`).join(' ') || 'none',
  ])
  return ['', ...table(['gateway', 'group', 'sessions', 'active for (initiators)'], rows)]
}

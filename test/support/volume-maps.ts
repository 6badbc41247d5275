/** Maps of small volumes for tests: one segment a server, linear, one replica each. */

import type { Segment, VolumeMap } from '../../src/volume/map.ts'
import { clientIqn, serverVolumeIqn, volumeIqn } from '../../src/volume/names.ts'

export const testClient = clientIqn('11111111-1111-4111-8111-111111111111')
export const otherClient = clientIqn('22222222-2222-4222-8222-222222222222')

export interface TestServer {
  readonly serverId: string
  readonly name: string
  readonly incarnation: string
  readonly portals?: readonly string[]
}

export function testUuid(number: number): string {
  return `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`
}

/** A segment of `blocks` on the primary, the first of `servers`; the others have replicas too. */
export function testSegment(
  number: number,
  start: number,
  blocks: number,
  servers: readonly TestServer[],
  volume = 'vol',
): Segment {
  return {
    segmentId: testUuid(number),
    start,
    blocks,
    epoch: 1,
    replicas: servers.map((server) => ({
      serverId: server.serverId,
      server: server.name,
      iqn: serverVolumeIqn(server.name, volume),
      lun: 0,
      startBlock: 0,
      portals: server.portals ?? [],
      state: 'in-sync' as const,
      incarnation: server.incarnation,
      number,
    })),
  }
}

export function testMap(changes: Partial<VolumeMap> = {}): VolumeMap {
  const segments = changes.segments ?? []
  return {
    volumeId: testUuid(0xabc),
    name: 'vol',
    iqn: volumeIqn('vol'),
    generation: 5,
    blockBytes: 512,
    blocks: segments.reduce((sum, { blocks }) => sum + blocks, 0),
    admissions: [],
    activeFrontEnds: [],
    copies: Math.max(1, ...segments.map(({ replicas }) => replicas.length)),
    stalePolicy: 'reject',
    holdMs: 60_000,
    leaseMs: 2_000,
    removable: false,
    readOnly: false,
    deleted: false,
    ...changes,
    segments,
  }
}

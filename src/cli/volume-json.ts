/**
 * The map of a volume as `--json` prints it: a contract with scripts, with enough in it to address
 * a block on a storage server by hand. Generations are plain JSON numbers.
 */
import type { Segment, VolumeMap } from '../volume/map.ts'
import { reservationsJson } from './reservation-text.ts'

export function volumeJson(map: VolumeMap) {
  return {
    name: map.name,
    id: map.volumeId,
    iqn: map.iqn,
    lun: 0,
    generation: map.generation,
    blockSize: map.blockBytes,
    blocks: map.blocks,
    removable: map.removable,
    readOnly: map.readOnly,
    stale: map.stalePolicy,
    holdSeconds: map.holdMs / 1000,
    leaseSeconds: map.leaseMs / 1000,
    copies: map.copies,
    segments: map.segments.map(segmentJson),
    admissions: map.admissions.map(({ client, admission, fenced }) => ({
      client,
      admission,
      fenced,
    })),
    activeFrontEnds: map.activeFrontEnds.map(({ initiator, client }) => ({ initiator, client })),
    reservations: reservationsJson(map),
  }
}

function segmentJson(segment: Segment) {
  return {
    start: segment.start,
    blocks: segment.blocks,
    ...(segment.stripe === undefined ? {} : { stripe: segment.stripe }),
    epoch: segment.epoch,
    replicas: segment.replicas.map((replica) => ({
      server: replica.server,
      iqn: replica.iqn,
      lun: replica.lun,
      startBlock: replica.startBlock,
      portals: replica.portals,
      state: replica.state,
    })),
  }
}

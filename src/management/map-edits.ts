/**
 * What a change does to a map, as pure functions: old map in, draft out. The generation comes with
 * the commit. Nothing here knows how a change is carried out.
 */
import type { Random } from '../ports/random.ts'
import type { Admission, Replica, Segment, StalePolicy, VolumeMap } from '../volume/map.ts'
import { serverVolumeIqn, volumeIqn } from '../volume/names.ts'
import type { MapDraft } from './configuration-store.ts'
import type { Placed } from './placement.ts'

/** What a map says of a server that gets a replica. */
export interface Home {
  readonly serverId: string
  readonly name: string
  readonly storeIncarnation: string
}

export interface NewVolume {
  readonly name: string
  readonly blocks: number
  readonly blockBytes: number
  readonly removable: boolean
  readonly readOnly: boolean
  readonly stalePolicy: StalePolicy
  readonly holdMs: number
  readonly leaseMs: number
}

export function emptyVolume(volume: NewVolume, random: Random): MapDraft {
  return {
    ...volume,
    volumeId: random.uuid(),
    iqn: volumeIqn(volume.name),
    segments: [],
    admissions: [],
    activeFrontEnds: [],
    copies: 1,
    deleted: false,
  }
}

export function withSegments(
  map: MapDraft,
  placed: readonly Placed[],
  homes: ReadonlyMap<string, Home>,
  random: Random,
): MapDraft {
  const segments = [...map.segments]
  for (const { serverId, start, blocks, stripe } of placed) {
    const home = homes.get(serverId)!
    const replica: Replica = {
      serverId,
      server: home.name,
      iqn: serverVolumeIqn(home.name, map.name),
      lun: segments.filter((segment) => holds(segment, serverId)).length,
      startBlock: 0,
      portals: [],
      state: 'in-sync',
      incarnation: home.storeIncarnation,
      number: 0,
    }
    const segmentId = random.uuid()
    const segment: Segment = { segmentId, start, blocks, epoch: 0, replicas: [replica] }
    segments.push(stripe === undefined ? segment : { ...segment, stripe })
  }
  const ends = segments.map((segment) => segment.start + segment.blocks)
  return { ...map, segments, blocks: Math.max(...ends) }
}

/** Takes the volume away from a client: another admission, and none of it is served. */
export function withFence(map: VolumeMap, client: string): MapDraft {
  const { admission } = admissionOf(map, client)
  return withAdmission(map, { client, admission: admission + 1, fenced: true })
}

/** Gives it back. Takes nothing away, so the admission stays; what was fenced stays ended. */
export function withAdmit(map: VolumeMap, client: string): MapDraft {
  return withAdmission(map, { ...admissionOf(map, client), fenced: false })
}

export function admissionOf(map: VolumeMap, client: string): Admission {
  const found = map.admissions.find((each) => each.client === client)
  return found ?? { client, admission: 0, fenced: false }
}

function withAdmission(map: VolumeMap, admission: Admission): MapDraft {
  const others = map.admissions.filter(({ client }) => client !== admission.client)
  return { ...map, admissions: [...others, admission] }
}

export function asDeleted(map: VolumeMap): MapDraft {
  return { ...map, deleted: true }
}

/**
 * The server's store came back without all that it had acknowledged. Where no other replica kept
 * it, the segment gets a new epoch.
 */
export function withIncarnation(map: VolumeMap, serverId: string, incarnation: string): MapDraft {
  const segments = map.segments.map((segment): Segment => {
    const lost = segment.replicas.some((each) => isLost(each, serverId, incarnation))
    if (!lost) return segment
    const kept = segment.replicas.some((each) => {
      return each.serverId !== serverId && each.state === 'in-sync'
    })
    const replicas = segment.replicas.map((each) => {
      return each.serverId === serverId ? { ...each, incarnation } : each
    })
    return { ...segment, replicas, epoch: kept ? segment.epoch : segment.epoch + 1 }
  })
  return { ...map, segments }
}

export function lostIncarnation(map: MapDraft, serverId: string, incarnation: string): boolean {
  return map.segments.some(({ replicas }) => {
    return replicas.some((each) => isLost(each, serverId, incarnation))
  })
}

function isLost(replica: Replica, serverId: string, incarnation: string): boolean {
  return replica.serverId === serverId && replica.incarnation !== incarnation
}

function holds(segment: Segment, serverId: string): boolean {
  return segment.replicas.some((replica) => replica.serverId === serverId)
}

/** Servers that hold something of the volume, each once. */
export function serversOf(map: Pick<VolumeMap, 'segments'>): string[] {
  const ids = map.segments.flatMap(({ replicas }) => replicas.map(({ serverId }) => serverId))
  return [...new Set(ids)]
}

/** Places in the portals as they are now; they do not move the generation. */
export function withPortals(
  map: VolumeMap,
  portalsOf: (serverId: string) => readonly string[],
): VolumeMap {
  const segments = map.segments.map((segment) => {
    const replicas = segment.replicas.map((replica) => {
      return { ...replica, portals: portalsOf(replica.serverId) }
    })
    return { ...segment, replicas }
  })
  return { ...map, segments }
}

/**
 * What a change does to a map, as pure functions: old map in, draft out. The generation comes with
 * the commit. Nothing here knows how a change is carried out.
 */
import { frontEnds as limits } from '../base/limits.ts'
import type { Random } from '../ports/random.ts'
import type {
  Admission,
  Replica,
  ReplicaState,
  Segment,
  StalePolicy,
  VolumeMap,
} from '../volume/map.ts'
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
  readonly copies: number
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
    deleted: false,
  }
}

export function withSegments(
  map: MapDraft,
  placed: readonly Placed[],
  homes: ReadonlyMap<string, Home>,
  random: Random,
): MapDraft {
  let grown = map
  for (const { serverIds, start, blocks, stripe } of placed) {
    const replicas = serverIds.map((serverId) => {
      return newReplica(grown, homes.get(serverId)!, 'in-sync')
    })
    const plain: Segment = { segmentId: random.uuid(), start, blocks, epoch: 0, replicas }
    const segment = stripe === undefined ? plain : { ...plain, stripe }
    grown = { ...grown, segments: [...grown.segments, segment] }
  }
  const ends = grown.segments.map((segment) => segment.start + segment.blocks)
  return { ...grown, blocks: Math.max(...ends) }
}

/** A replica on a server that has none of this segment yet; the commit gives it its number. */
export function newReplica(map: MapDraft, home: Home, state: ReplicaState): Replica {
  const { serverId, name, storeIncarnation } = home
  return {
    serverId,
    server: name,
    iqn: serverVolumeIqn(name, map.name),
    lun: freeLun(map, serverId),
    startBlock: 0,
    portals: [],
    state,
    incarnation: storeIncarnation,
    number: 0,
  }
}

/** The smallest LUN that the volume does not use on the server. */
function freeLun({ segments }: MapDraft, serverId: string): number {
  const there = segments.flatMap(({ replicas }) => replicas)
  const used = new Set(there.filter((each) => each.serverId === serverId).map(({ lun }) => lun))
  let lun = 0
  while (used.has(lun)) lun += 1
  return lun
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

/** Its number is that of no other entry: one change comes after each generation. */
export function withActiveFrontEnd(
  map: VolumeMap,
  { initiator, client }: { readonly initiator: string; readonly client: string },
): MapDraft {
  const others = map.activeFrontEnds.filter((each) => each.initiator !== initiator)
  const activeFrontEnds = [...others, { initiator, client, number: map.generation }]
  return { ...map, activeFrontEnds: activeFrontEnds.slice(-limits.namedInitiators) }
}

export function asDeleted(map: VolumeMap): MapDraft {
  return { ...map, deleted: true }
}

/** Servers that hold something of the volume, each once. */
export function serversOf(map: Pick<VolumeMap, 'segments'>): string[] {
  const ids = map.segments.flatMap(({ replicas }) => replicas.map(({ serverId }) => serverId))
  return [...new Set(ids)]
}

/** Servers that some segment is served by, each once. */
export function primariesOf({ segments }: Pick<VolumeMap, 'segments'>): string[] {
  return [...new Set(segments.flatMap(({ replicas }) => replicas[0]?.serverId ?? []))]
}

/** The server holds a replica that is in sync. */
export function isInSync({ segments }: Pick<VolumeMap, 'segments'>, serverId: string): boolean {
  return segments.some(({ replicas }) => {
    return replicas.some((each) => each.serverId === serverId && each.state === 'in-sync')
  })
}

/** The server has another store than some replica is said to be in. */
export function lostIncarnation(
  { segments }: Pick<VolumeMap, 'segments'>,
  serverId: string,
  incarnation: string,
): boolean {
  const mine = segments.flatMap(({ replicas }) => {
    return replicas.filter((each) => each.serverId === serverId)
  })
  return mine.some((each) => each.incarnation !== incarnation)
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

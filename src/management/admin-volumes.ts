/**
 * What the command line asks about volumes: checks the input, plans, and has the change carried
 * out. Placement runs one request at a time, so that two do not plan the same space.
 */
import { StorageError } from '../base/errors.ts'
import {
  blockSizes,
  stripeUnitBytes as defaultUnitBytes,
  KIB,
  largestCommandBytes,
  manager as limits,
  pageBytes,
  smallestBlockBytes,
} from '../base/limits.ts'
import type {
  CreateVolumeRequest,
  DeleteVolumeRequest,
  FenceRequest,
  GrowVolumeRequest,
  Partition,
  VolumeReply,
  VolumeStatus,
} from '../control/messages/admin.ts'
import type { Random } from '../ports/random.ts'
import type { VolumeMap } from '../volume/map.ts'
import { clientIqn, isName, namePatternText } from '../volume/names.ts'
import type { Conditions } from './conditions.ts'
import type { ManagedVolume, Outcome } from './managed-volume.ts'
import {
  admissionOf,
  asDeleted,
  emptyVolume,
  type Home,
  serversOf,
  withAdmit,
  withFence,
  withSegments,
} from './map-edits.ts'
import {
  type Candidate,
  type Placed,
  type PlacementRequest,
  placeByHand,
  placeLinear,
  placeStriped,
} from './placement.ts'
import type { ServerRegistry } from './server-registry.ts'
import { freePagesOf } from './space.ts'
import type { Volumes } from './volumes.ts'

export interface VolumeAdminContext {
  readonly volumes: Volumes
  readonly registry: ServerRegistry
  readonly conditions: Conditions
  readonly random: Random
  readonly handOut: (map: VolumeMap) => VolumeMap
}

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** RFC 7143 4.2.7.2: at most 223 bytes. */
const initiatorNamePattern = /^(iqn|eui|naa)\.[^\s\0]{1,219}$/
const mostColumns = 1_000
const longestHoldMs = 24 * 3_600_000
const leaseRangeMs = [500, 60_000] as const

export class VolumeAdmin {
  readonly #context: VolumeAdminContext
  #placing: Promise<unknown> = Promise.resolve()

  constructor(context: VolumeAdminContext) {
    this.#context = context
  }

  get maps(): VolumeMap[] {
    return this.#context.volumes.all.map(({ map }) => this.#context.handOut(map))
  }

  show(name: string): { map: VolumeMap; status: VolumeStatus } {
    const volume = this.#context.volumes.named(name)
    return { map: this.#context.handOut(volume.map), status: this.status(volume) }
  }

  status(volume: ManagedVolume): VolumeStatus {
    const { map, phase, behind, shutOut, refusals } = volume
    const names = behind.map((serverId) => this.#context.registry.nameOf(serverId))
    return {
      name: map.name,
      volumeId: map.volumeId,
      generation: map.generation,
      sizeBytes: map.blocks * map.blockBytes,
      change: phase,
      behind: [...names, ...refusals.map((why) => `(${why})`)],
      shutOut: shutOut.summary,
      replicas: [],
    }
  }

  async create(request: CreateVolumeRequest): Promise<VolumeReply> {
    const blocks = checkCreate(request)
    const blockBytes = blockBytesOf(request)
    const { volumes, random } = this.#context
    const volume = await this.#exclusively(async () => {
      if (volumes.all.some(({ map }) => map.name === request.name)) {
        throw new StorageError('conflict', `name: there is a volume "${request.name}" already`)
      }
      const { candidates, homes } = await this.#freshCandidates()
      const placed = place(request, { start: 0, blocks, blockBytes, candidates })
      const { name, stalePolicy, holdMs, leaseMs, removable = false, readOnly = false } = request
      const kind = { name, blocks, blockBytes, removable, readOnly }
      const timing = { holdMs: holdMs || limits.holdMs, leaseMs: leaseMs || limits.leaseMs }
      const empty = emptyVolume({ ...kind, stalePolicy, ...timing }, random)
      return volumes.create(withSegments(empty, placed, homes, random))
    })
    await this.#undoRefused(volume)
    return { map: this.#context.handOut(volume.map), shutOutMs: 0 }
  }

  async grow({ name, sizeBytes }: GrowVolumeRequest): Promise<VolumeReply> {
    const { volumes, random } = this.#context
    const volume = volumes.named(name)
    return this.#exclusively(async () => {
      const base = volume.map
      const { blockBytes } = base
      const added = blocksOf('size', sizeBytes, blockBytes) - base.blocks
      if (added === 0) return { map: this.#context.handOut(base), shutOutMs: 0 }
      if (added < 0) {
        const now = base.blocks * blockBytes
        throw new StorageError('invalid', `size: ${sizeBytes} is less than ${now}: it only grows`)
      }
      const { candidates, homes } = await this.#freshCandidates()
      const request = { start: base.blocks, blocks: added, blockBytes, candidates }
      const stripe = base.segments[0]?.stripe
      const placed =
        stripe === undefined
          ? placeLinear(request)
          : placeStriped(request, stripe.count, stripe.unitBlocks)
      const grown = withSegments(base, placed, homes, random)
      const segments = grown.segments.slice(base.segments.length)
      return this.#reply(
        await volume.change({
          name: 'grow',
          closes: false,
          next: (map) => {
            if (map.blocks !== base.blocks) throw new StorageError('conflict', 'it grew meanwhile')
            return { ...map, blocks: grown.blocks, segments: [...map.segments, ...segments] }
          },
        }),
      )
    })
  }

  async delete({ name, force }: DeleteVolumeRequest): Promise<void> {
    const volume = this.#context.volumes.named(name)
    if (!force) await this.#refuseInUse(volume)
    await volume.change({
      name: 'delete',
      closes: true,
      givesUp: true,
      next: asDeleted,
      accept: (replies) => {
        const sessions = replies.reduce((sum, reply) => sum + reply.sessions, 0)
        if (!force && sessions > 0) throw inUse(name, sessions)
      },
    })
  }

  async fence(request: FenceRequest): Promise<VolumeReply> {
    const client = checkClient(request.client)
    const volume = this.#context.volumes.named(request.volume)
    const outcome = await volume.change({
      name: 'fence',
      closes: true,
      fences: client,
      next: (map) => (admissionOf(map, client).fenced ? undefined : withFence(map, client)),
    })
    return this.#reply(outcome)
  }

  async admit(request: FenceRequest): Promise<VolumeReply> {
    const client = checkClient(request.client)
    const volume = this.#context.volumes.named(request.volume)
    await volume.cancelFence(client)
    const outcome = await volume.change({
      name: 'admit',
      closes: false,
      next: (map) => (admissionOf(map, client).fenced ? withAdmit(map, client) : undefined),
    })
    return this.#reply(outcome)
  }

  #reply({ map, shutOutMs }: Outcome): VolumeReply {
    return { map: this.#context.handOut(map), shutOutMs }
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#placing.then(work)
    this.#placing = result.then(
      () => undefined,
      () => undefined,
    )
    return result
  }

  /** Adopted servers that answer now, with the space and the incarnation that they have now. */
  async #freshCandidates(): Promise<{ candidates: Candidate[]; homes: Map<string, Home> }> {
    const { registry, volumes } = this.#context
    const adopted = registry.all.filter((each) => each.adopted)
    await Promise.allSettled(adopted.map(({ facts }) => registry.describe(facts.serverId)))
    const candidates: Candidate[] = []
    const homes = new Map<string, Home>()
    for (const { facts, reachable, adopted, declaredDead } of registry.all) {
      if (!adopted || !reachable || declaredDead || facts.storeIncarnation === '') continue
      const { serverId, name, storeIncarnation } = facts
      homes.set(serverId, { serverId, name, storeIncarnation })
      candidates.push({ serverId, name, freePages: freePagesOf(facts, volumes) })
    }
    return { candidates, homes }
  }

  /** A server that answers but would not take its part: the volume is given up, nobody had it. */
  async #undoRefused(volume: ManagedVolume): Promise<void> {
    const { refusals } = volume
    if (refusals.length === 0) return
    await volume.change({ name: 'delete', closes: true, givesUp: true, next: asDeleted })
    throw new StorageError(
      'conflict',
      `volume ${volume.map.name} not created: ${refusals.join('; ')}`,
    )
  }

  /** Before anybody is shut out; asked again once the volume is closed. */
  async #refuseInUse(volume: ManagedVolume): Promise<void> {
    const { name, volumeId } = volume.map
    const { registry } = this.#context
    const asked = serversOf(volume.map).map(async (serverId) => {
      const reply = await registry.client(serverId).describe({}, limits.orderDeadlineMs)
      return reply.volumes.find((held) => held.volumeId === volumeId)?.sessions ?? 0
    })
    const answers = await Promise.allSettled(asked)
    const counts = answers.map((each) => (each.status === 'fulfilled' ? each.value : 0))
    const sessions = counts.reduce((sum, count) => sum + count, 0)
    if (sessions > 0) throw inUse(name, sessions)
  }
}

function place(
  { stripe, stripeUnitBytes = 0, partitions }: CreateVolumeRequest,
  request: PlacementRequest,
): Placed[] {
  if (partitions.length > 0) {
    const sizes = partitions.map(({ server, sizeBytes }) => {
      return { server, blocks: blocksOf(`partition ${server}`, sizeBytes, request.blockBytes) }
    })
    return placeByHand(request, sizes)
  }
  const unitBlocks = (stripeUnitBytes || defaultUnitBytes) / request.blockBytes
  return stripe > 0 ? placeStriped(request, stripe, unitBlocks) : placeLinear(request)
}

/** Checks every field; answers the size in blocks. */
function checkCreate(request: CreateVolumeRequest): number {
  const { name, stripe, partitions, holdMs, leaseMs } = request
  if (!isName(name)) throw invalid(`name: "${name}" is not ${namePatternText}`)
  if (stripe > mostColumns) throw invalid(`stripe: ${stripe} is not 1 to ${mostColumns}`)
  if (stripe > 0 && partitions.length > 0) throw invalid('stripe: not together with partition')
  if (holdMs > longestHoldMs) throw invalid(`hold: ${holdMs} ms is not 0 to ${longestHoldMs}`)
  const [leastMs, mostMs] = leaseRangeMs
  if (leaseMs !== 0 && (leaseMs < leastMs || leaseMs > mostMs)) {
    throw invalid(`lease: ${leaseMs} ms is not ${leastMs} to ${mostMs}`)
  }
  const blockBytes = blockBytesOf(request)
  if (!blockSizes.some((bytes) => bytes === blockBytes)) {
    throw invalid(`block size: ${blockBytes} bytes are not ${blockSizes.join(' or ')}`)
  }
  const blocks = sizeInBlocks(request.sizeBytes, partitions, blockBytes)
  checkStripe(request, blocks * blockBytes)
  return blocks
}

function checkStripe({ stripe, stripeUnitBytes = 0 }: CreateVolumeRequest, bytes: number): void {
  if (stripeUnitBytes > 0 && stripe === 0) throw invalid('stripe unit: the volume has no stripes')
  if (stripeUnitBytes % pageBytes !== 0 || stripeUnitBytes > largestCommandBytes) {
    throw invalid(`stripe unit: ${stripeUnitBytes} bytes are not a multiple of 64 KiB up to 8 MiB`)
  }
  const unitBytes = stripeUnitBytes || defaultUnitBytes
  if (stripe > 1 && Math.ceil(bytes / unitBytes) < stripe) {
    const unit = `${unitBytes / KIB} KiB`
    throw invalid(`size: ${bytes} bytes are less than ${unit} for each column`)
  }
}

function blockBytesOf({ blockBytes = 0 }: CreateVolumeRequest): number {
  return blockBytes === 0 ? smallestBlockBytes : blockBytes
}

function sizeInBlocks(
  sizeBytes: number,
  partitions: readonly Partition[],
  blockBytes: number,
): number {
  if (partitions.length === 0) return blocksOf('size', sizeBytes, blockBytes)
  const sum = partitions
    .map((each) => blocksOf(`partition ${each.server}`, each.sizeBytes, blockBytes))
    .reduce((total, blocks) => total + blocks, 0)
  if (sizeBytes !== 0 && blocksOf('size', sizeBytes, blockBytes) !== sum) {
    throw invalid(`partition: the sizes add up to ${sum * blockBytes} bytes, not to ${sizeBytes}`)
  }
  return sum
}

function blocksOf(field: string, bytes: number, blockBytes: number): number {
  if (bytes < blockBytes || bytes % blockBytes !== 0) {
    throw invalid(`${field}: ${bytes} bytes are not a multiple of ${blockBytes}, at least one`)
  }
  return bytes / blockBytes
}

/** A client's InitiatorName as portals know it, or only the UUID of one of our own programs. */
function checkClient(name: string): string {
  const client = name.toLowerCase()
  if (uuidPattern.test(client)) return clientIqn(client)
  if (initiatorNamePattern.test(client)) return client
  throw invalid(`client: "${client}" is no InitiatorName (iqn., eui. or naa.) and no UUID`)
}

function inUse(name: string, sessions: number): StorageError {
  const why = `volume ${name} is in use: ${sessions} data sessions are open`
  return new StorageError('conflict', `${why}; detach the initiators, or delete with --force`)
}

function invalid(message: string): StorageError {
  return new StorageError('invalid', message)
}

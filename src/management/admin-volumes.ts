/**
 * What the command line asks about volumes: checks the input, plans, and has the change carried
 * out. Placement runs one request at a time, so that two do not plan the same space.
 */
import { StorageError } from '../base/errors.ts'
import { manager as limits } from '../base/limits.ts'
import type {
  CreateVolumeRequest,
  DeleteVolumeRequest,
  FenceRequest,
  GrowVolumeRequest,
  VolumeReply,
  VolumeStatus,
} from '../control/messages/admin.ts'
import type { Random } from '../ports/random.ts'
import type { VolumeMap } from '../volume/map.ts'
import type { Conditions } from './conditions.ts'
import type { ManagedVolume, Outcome } from './managed-volume.ts'
import {
  admissionOf,
  asDeleted,
  emptyVolume,
  serversOf,
  withAdmit,
  withFence,
  withSegments,
} from './map-edits.ts'
import { placeLinear, placeStriped } from './placement.ts'
import type { Recovery } from './recovery.ts'
import { replicaStatuses } from './replica-status.ts'
import type { ServerRegistry } from './server-registry.ts'
import type { Purpose, Space } from './space.ts'
import { blockBytesOf, blocksOf, checkClient, checkCreate, place } from './volume-request.ts'
import type { Volumes } from './volumes.ts'

export interface VolumeAdminContext {
  readonly volumes: Volumes
  readonly registry: ServerRegistry
  readonly space: Space
  readonly conditions: Conditions
  readonly recovery: Recovery
  /** What an administrator should know of a volume that was just made. */
  readonly warningsOf: (map: VolumeMap) => string[]
  readonly random: Random
  readonly handOut: (map: VolumeMap) => VolumeMap
}

export class VolumeAdmin {
  readonly #context: VolumeAdminContext

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
    const { registry, conditions, recovery } = this.#context
    const names = behind.map((serverId) => registry.nameOf(serverId))
    return {
      name: map.name,
      volumeId: map.volumeId,
      generation: map.generation,
      sizeBytes: map.blocks * map.blockBytes,
      change: phase,
      behind: [...names, ...refusals.map((why) => `(${why})`)],
      shutOut: shutOut.summary,
      replicas: replicaStatuses(map, {
        conditions,
        isReachable: (serverId) => registry.isReachable(serverId),
        isDead: (serverId) => registry.isDead(serverId),
        replacedInMs: (segmentId, serverId) =>
          recovery.replacedInMs(map.volumeId, segmentId, serverId),
      }),
    }
  }

  async create(request: CreateVolumeRequest): Promise<VolumeReply> {
    const { blocks, copies } = checkCreate(request)
    const blockBytes = blockBytesOf(request)
    const { volumes, space, random } = this.#context
    const volume = await space.plan(purposeOf(copies), async ({ candidates, homes }) => {
      if (volumes.all.some(({ map }) => map.name === request.name)) {
        throw new StorageError('conflict', `name: there is a volume "${request.name}" already`)
      }
      const placed = place(request, { start: 0, blocks, blockBytes, copies, candidates })
      const { name, stalePolicy, holdMs, leaseMs, removable = false, readOnly = false } = request
      const kind = { name, blocks, blockBytes, copies, removable, readOnly }
      const timing = { holdMs: holdMs || limits.holdMs, leaseMs: leaseMs || limits.leaseMs }
      const empty = emptyVolume({ ...kind, stalePolicy, ...timing }, random)
      return volumes.create(withSegments(empty, placed, homes, random))
    })
    await this.#undoRefused(volume)
    const { handOut, warningsOf } = this.#context
    return { map: handOut(volume.map), shutOutMs: 0, warnings: warningsOf(volume.map) }
  }

  async grow({ name, sizeBytes }: GrowVolumeRequest): Promise<VolumeReply> {
    const { volumes, space, random } = this.#context
    const volume = volumes.named(name)
    const { copies } = volume.map
    return space.plan(purposeOf(copies), async ({ candidates, homes }) => {
      const base = volume.map
      const { blockBytes } = base
      const added = blocksOf('size', sizeBytes, blockBytes) - base.blocks
      if (added === 0) return { map: this.#context.handOut(base), shutOutMs: 0 }
      if (added < 0) {
        const now = base.blocks * blockBytes
        throw new StorageError('invalid', `size: ${sizeBytes} is less than ${now}: it only grows`)
      }
      const request = { start: base.blocks, blocks: added, blockBytes, copies, candidates }
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

function purposeOf(copies: number): Purpose {
  return copies > 1 ? 'mirror' : 'single'
}

function inUse(name: string, sessions: number): StorageError {
  const why = `volume ${name} is in use: ${sessions} data sessions are open`
  return new StorageError('conflict', `${why}; detach the initiators, or delete with --force`)
}

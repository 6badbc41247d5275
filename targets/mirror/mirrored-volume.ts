/**
 * Those segments of one volume on this server that have more than one replica: made, changed and
 * dropped as the maps say. What a change of map takes from a replica is durable in the masks before
 * the map is served (design: the lacks mask). It owns the segments; the volume's state is HeldVolume's.
 */
import { background } from '../../src/base/background.ts'
import { StorageError } from '../../src/base/errors.ts'
import { mirror as limits } from '../../src/base/limits.ts'
import type {
  SegmentCondition,
  SegmentVerification,
  VerifyRequest,
} from '../../src/control/messages/server.ts'
import type { Log } from '../../src/ports/log.ts'
import type { Segment, VolumeMap } from '../../src/volume/map.ts'
import type { CopyCounters } from '../lun/unit-counters.ts'
import { type HeldSegment, heldSegments, type SegmentView } from '../replica/segment-views.ts'
import type { MapChange, VolumeMirrors } from '../replica/volume-mirrors.ts'
import type { MirrorServer } from './mirror-server.ts'
import { MirroredSegment } from './mirrored-segment.ts'
import { MirroredStore } from './mirrored-store.ts'
import type { SegmentMasks } from './segment-masks.ts'

export interface MirroredVolumeContext {
  readonly server: MirrorServer
  readonly log: Log
  /** The volume's map now. */
  map(): VolumeMap
  /** The primary of a segment held here was not heard for too long. */
  primarySilent(segmentId: string): boolean
  /** Called in the turn in which what is said of the other replicas changed. */
  changed(): void
}

interface Mirror {
  readonly segment: MirroredSegment
  readonly store: MirroredStore
}

export class MirroredVolume implements VolumeMirrors {
  readonly counters: CopyCounters = { resyncedBytes: 0, repairedBytes: 0 }
  readonly #context: MirroredVolumeContext
  readonly #mirrors = new Map<string, Mirror>()
  #views: ReadonlyMap<string, SegmentView> = new Map()
  /** Segments whose masks are being read anew. */
  readonly #reopening = new Set<string>()

  constructor(context: MirroredVolumeContext) {
    this.#context = context
  }

  /** What serves the blocks of a segment of which there are several replicas. */
  store(segmentId: string): MirroredStore | undefined {
    return this.#mirrors.get(segmentId)?.store
  }

  /** For whoever writes to a replica that is not the primary. */
  masks(segmentId: string): SegmentMasks | undefined {
    return this.#mirrors.get(segmentId)?.segment.masks
  }

  segment(segmentId: string): MirroredSegment | undefined {
    return this.#mirrors.get(segmentId)?.segment
  }

  async prepare({ from, to, created }: MapChange): Promise<void> {
    const { serverId, maskStore } = this.#context.server
    const held = heldSegments(to, serverId)
    const mirrored = held.filter(({ segment }) => segment.replicas.length > 1)
    const kept = new Set(mirrored.map(({ segment }) => segment.segmentId))
    const had = heldSegments(from, serverId).filter(({ segment }) => segment.replicas.length > 1)
    const useless = [...had, ...mirrored]
      .map(({ segment }) => segment.segmentId)
      .filter((segmentId) => !kept.has(segmentId) || created.has(segmentId))
    await Promise.all(
      useless.map((segmentId) => {
        this.#drop(segmentId)
        return maskStore.drop(segmentId)
      }),
    )
    await Promise.all(mirrored.map((each) => this.#prepareSegment(each, { from, to, created })))
  }

  look(views: ReadonlyMap<string, SegmentView>): void {
    this.#views = views
    const map = this.#context.map()
    this.#context.server.links.follow(map)
    for (const [segmentId, { segment }] of this.#mirrors) {
      const view = views.get(segmentId)
      if (view === undefined) this.#drop(segmentId)
      else segment.look(view, map)
    }
  }

  async settle(): Promise<void> {
    await Promise.all([...this.#mirrors.values()].map(({ segment }) => segment.settle()))
  }

  conditions(): SegmentCondition[] {
    return [...this.#mirrors].map(([segmentId, { segment }]) =>
      segment.condition(this.#context.primarySilent(segmentId)),
    )
  }

  /** Of the segments whose primary this server is. */
  verify({ start, repair }: Pick<VerifyRequest, 'start' | 'repair'>): SegmentVerification[] {
    return [...this.#mirrors].flatMap(([segmentId, { segment }]) => {
      if (segment.primary === undefined) return []
      if (start) segment.verifier.start(repair)
      const totalBytes = segment.size.blocks * segment.size.blockBytes
      return { ...segment.verifier.report(), segmentId, totalBytes }
    })
  }

  /** Of the segments that are served elsewhere. */
  leaseLeftMs(): number {
    const { confirmer } = this.#context.server
    const { leaseMs } = this.#context.map()
    let leftMs = 0
    for (const [segmentId, { primary, segment, replica }] of this.#views) {
      if (primary || segment.replicas.length === 1 || replica.state !== 'in-sync') continue
      leftMs = Math.max(leftMs, confirmer.leftMs(segmentId, leaseMs))
    }
    return leftMs
  }

  /** This server is nobody's primary any more. */
  end(): void {
    for (const { segment } of this.#mirrors.values()) segment.end()
  }

  /** Again and again, for as long as the replica is held and its masks are of no use. */
  async #reopenMasks(segmentId: string): Promise<void> {
    const mirror = this.#mirrors.get(segmentId)
    if (mirror === undefined || this.#reopening.has(segmentId)) return
    this.#reopening.add(segmentId)
    const { maskStore, clock } = this.#context.server
    const failed = mirror.segment.masks
    const isNeeded = () => {
      return this.#mirrors.get(segmentId) === mirror && mirror.segment.masks === failed
    }
    while (isNeeded()) {
      const { blocks, blockBytes } = mirror.segment.size
      try {
        const masks = await maskStore.segment(segmentId, blocks, blockBytes, { mustExist: true })
        if (!isNeeded()) break
        mirror.segment.replaceMasks(masks, this.#views.get(segmentId), this.#context.map())
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
        this.#context.log.error('region masks cannot be opened again', { segmentId, error })
        await new Promise<void>((resolve) => {
          clock.after(limits.retryLongestMs, resolve)
        })
      }
    }
    this.#reopening.delete(segmentId)
  }

  #drop(segmentId: string): void {
    this.#mirrors.get(segmentId)?.segment.end()
    this.#mirrors.delete(segmentId)
  }

  async #prepareSegment(held: HeldSegment, change: MapChange): Promise<void> {
    const { segmentId, blocks } = held.segment
    const { blockBytes } = change.to
    const { maskStore } = this.#context.server
    const former = change.from.segments.find((each) => each.segmentId === segmentId)
    // A segment that had one replica only has no masks yet: what others lack is all of it.
    const hadMasks = former !== undefined && former.replicas.length > 1
    const mustExist = hadMasks && !change.created.has(segmentId)
    const masks = await maskStore.segment(segmentId, blocks, blockBytes, { mustExist })
    await changeMasks(masks, held, former, change.from.generation)
    this.#mirror(segmentId, masks, { blocks, blockBytes })
    if (former !== undefined && keptNothing(former, held.segment)) {
      this.#mirrors.get(segmentId)?.segment.doubt()
    }
  }

  #mirror(segmentId: string, masks: SegmentMasks, size: MirroredSegment['size']): void {
    const known = this.#mirrors.get(segmentId)
    if (known !== undefined) {
      known.segment.take(masks, size)
      return
    }
    const { server, log, changed } = this.#context
    const masksFailed = () => background(this.#reopenMasks(segmentId), () => undefined)
    const context = { segmentId, counters: this.counters, server, log, changed, masksFailed }
    const segment = new MirroredSegment(context, masks, size)
    this.#mirrors.set(segmentId, { segment, store: new MirroredStore(segment) })
  }
}

/** What a change of map means for the masks of one replica; durable when it resolves. */
async function changeMasks(
  masks: SegmentMasks,
  { segment, replica }: HeldSegment,
  former: Segment | undefined,
  generation: number,
): Promise<void> {
  const stateIn = (where: Segment | undefined, serverId: string) =>
    where?.replicas.find((each) => each.serverId === serverId)?.state
  const { serverId } = replica
  const steps: Promise<void>[] = []
  if (stateIn(former, serverId) === 'in-sync' && replica.state !== 'in-sync') {
    steps.push(masks.forgetAll())
  }
  for (const known of masks.lacking) {
    if ((stateIn(segment, known) ?? 'in-sync') === 'in-sync') steps.push(masks.forget(known))
  }
  if (replica.state === 'in-sync') {
    for (const other of segment.replicas) {
      const leaves = stateIn(former, other.serverId) === 'in-sync' && other.state !== 'in-sync'
      if (leaves) steps.push(masks.leave(other.serverId, generation))
    }
  }
  await Promise.all(steps)
}

/** No replica kept all that it had acknowledged, or one that is in sync has another store. */
function keptNothing(former: Segment, next: Segment): boolean {
  if (former.epoch !== next.epoch) return true
  return next.replicas.some(({ serverId, state, incarnation }) => {
    const before = former.replicas.find((each) => each.serverId === serverId)
    return state === 'in-sync' && before?.state === 'in-sync' && before.incarnation !== incarnation
  })
}

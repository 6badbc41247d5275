/**
 * A replica as other servers reach it, when they are the primary of its segment: a logical unit of
 * the replication target. It obeys the primary that the map names, and nobody while this server is
 * the primary itself. A command meets the comparator when it arrives and again in the turn in which
 * it begins; a region is marked durably before anything is written into it (design: masks).
 *
 * It waits for its own disk and for nobody else: two servers that are primaries for each other never
 * wait in a circle. It owns nothing; volume, store and masks are the server's.
 */

import { assert } from '../../src/base/assert.ts'
import { StorageError } from '../../src/base/errors.ts'
import { atomicBytes, mirror as limits, pageBytes } from '../../src/base/limits.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import { totalBytes } from '../../src/scsi/data-out.ts'
import type {
  BlockExtent,
  LogicalUnit,
  UnitFacts,
  WriteOptions,
} from '../../src/scsi/logical-unit.ts'
import { checkCondition, good, type ScsiResult } from '../../src/scsi/result.ts'
import {
  INVALID_COMMAND_OPERATION_CODE,
  INVALID_FIELD_IN_CDB,
  INVALID_FIELD_IN_PARAMETER_LIST,
  LOGICAL_UNIT_NOT_READY,
  LOGICAL_UNIT_NOT_SUPPORTED,
} from '../../src/scsi/sense.ts'
import { compare, type FenceView, isCompared } from '../../src/volume/comparator.ts'
import type { Generation } from '../../src/volume/generation.ts'
import { type Fence, FenceFlag } from '../../src/volume/generation-header.ts'
import { Reason, refusalResult } from '../../src/volume/refusal.ts'
import { unitFacts } from '../../src/volume/unit-facts.ts'
import { storeFailure } from '../lun/store-failure.ts'
import type { HeldVolume } from '../replica/held-volume.ts'
import type { SegmentView } from '../replica/segment-views.ts'
import type { ReplicaStore } from '../store/replica-store.ts'
import type { Confirmer } from './confirmer.ts'
import type { PageDigests } from './digests.ts'
import { Regions } from './regions.ts'
import { decodeClearing, decodeMasks, encodeMasks, maskBytes } from './replication-data.ts'
import type { SegmentMasks } from './segment-masks.ts'

export interface ReplicaUnitContext {
  readonly volume: Pick<HeldVolume, 'map' | 'views' | 'begun' | 'outcomes'>
  readonly confirmer: Confirmer
  readonly digests: PageDigests
  /** The store of a segment now, undefined where there is none. */
  replica(segmentId: string): ReplicaStore | undefined
  /** Its masks, undefined while they are not open. */
  masks(segmentId: string): SegmentMasks | undefined
  /** The newest generation in which the replica was in sync. */
  inSyncGeneration(segmentId: string): Generation
  /** A sender believes in a newer generation than this server's. */
  newerSeen(): void
  /** So much content came to bring this replica up to date. */
  resynced?(bytes: number): void
  /** The store, or the file of the masks, returned an error. */
  diskFailed?(segmentId: string, error: StorageError): void
}

/** What a command has to do with: taken together in the turn in which it begins. */
interface Here {
  readonly view: SegmentView
  readonly store: ReplicaStore
  readonly masks: SegmentMasks
}

const noSuchCommand = checkCondition(INVALID_COMMAND_OPERATION_CODE)
const notSupported = checkCondition(LOGICAL_UNIT_NOT_SUPPORTED)
const notReady = checkCondition(LOGICAL_UNIT_NOT_READY)
const badCdb = checkCondition(INVALID_FIELD_IN_CDB)
const badList = checkCondition(INVALID_FIELD_IN_PARAMETER_LIST)
const replicated = FenceFlag.replication | FenceFlag.resync

export class ReplicaUnit implements LogicalUnit<PortalTask> {
  readonly #context: ReplicaUnitContext
  readonly #segmentId: string
  #facts: UnitFacts | undefined

  constructor(context: ReplicaUnitContext, segmentId: string) {
    this.#context = context
    this.#segmentId = segmentId
  }

  /** Never read-only: a replica of a read-only volume is brought up like any other. */
  get facts(): UnitFacts {
    const blocks = this.#view?.segment.blocks ?? 0
    if (this.#facts?.blocks !== blocks) {
      const { blockBytes } = this.#context.volume.map
      const atomicBlocks = atomicBytes / blockBytes
      this.#facts = unitFacts(this.#segmentId, { blocks, blockBytes, thin: true, atomicBlocks })
    }
    return this.#facts
  }

  arrive(task: PortalTask): ScsiResult | undefined {
    return isCompared(task.cdb) ? this.#refuse(task) : undefined
  }

  read(task: PortalTask, lba: number, blocks: number): Promise<ScsiResult> {
    return this.#begin(task, 'read', async ({ store }) => {
      const data = await store.read(lba, blocks)
      return store.release === undefined ? good(data) : good(data, () => store.release?.(data))
    })
  }

  write(
    task: PortalTask,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult> {
    return this.#change(task, [extentOf(this.facts, lba, data)], async ({ store }) => {
      await store.write(lba, data)
      this.#remember(task.fence)
      if (isResync(task.fence)) this.#context.resynced?.(totalBytes(data))
      if (options.forceUnitAccess) await store.flush()
    })
  }

  writeAtomic(
    task: PortalTask,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult> {
    return this.#change(task, [extentOf(this.facts, lba, data)], async ({ store }) => {
      assert(store.writeAtomic, 'the stores of servers have atomic writes')
      await store.writeAtomic(lba, data)
      if (options.forceUnitAccess) await store.flush()
    })
  }

  unmap(task: PortalTask, extents: readonly BlockExtent[]): Promise<ScsiResult> {
    return this.#change(task, extents, async ({ store }) => {
      for (const { lba, blocks } of extents) await store.unmap(lba, blocks)
    })
  }

  flush(task: PortalTask): Promise<ScsiResult> {
    return this.#begin(task, 'write', async ({ store }) => {
      await store.flush()
      return good()
    })
  }

  /** The primary sends what these come to. */
  compareAndWrite(): Promise<ScsiResult> {
    return Promise.resolve(noSuchCommand)
  }
  orWrite(): Promise<ScsiResult> {
    return Promise.resolve(noSuchCommand)
  }
  mapping(): Promise<ScsiResult> {
    return Promise.resolve(noSuchCommand)
  }

  /** SHA-256 of each page of a range, one after the other. */
  pageDigests(task: PortalTask, range: BlockExtent): Promise<ScsiResult> {
    return this.#begin(task, 'read', async ({ store }) => {
      if (!isOfPages(store, range)) return badCdb
      return good(await this.#context.digests.of(store, range))
    })
  }

  readMasks(task: PortalTask, allocationLength: number): Promise<ScsiResult> {
    return this.#begin(task, 'read', async ({ masks }) => {
      const inSyncGeneration = this.#context.inSyncGeneration(this.#segmentId)
      const all = encodeMasks(masks.snapshot(inSyncGeneration))
      return all.length > allocationLength ? badCdb : good([all])
    })
  }

  /** Has its effect before this returns: what is marked from then on stays marked. */
  clearRegions(task: PortalTask, list: Buffer): Promise<ScsiResult> {
    return this.#begin(task, 'write', async ({ masks }) => {
      const clearing = decodeClearing(list, masks.regions)
      if (clearing === undefined) return badList
      masks.clear(clearing.regions, clearing.of)
      return good()
    })
  }

  takeMasks(task: PortalTask, list: Buffer): Promise<ScsiResult> {
    return this.#begin(task, 'write', async ({ view, masks }) => {
      const taken = decodeMasks(list, maskBytes(this.facts.blocks, this.facts.blockBytes))
      if (taken === undefined) return badList
      const others = new Set(otherServers(view))
      if (taken.lacks.some(({ serverId }) => !others.has(serverId))) return badList
      await masks.takeOver(taken, view.replica.state === 'in-sync' ? 'newer' : 'theirs')
      return good()
    })
  }

  get #view(): SegmentView | undefined {
    return this.#context.volume.views.get(this.#segmentId)
  }

  /** Marks before it writes. What is marked already takes no time: the store is called at once. */
  #change(
    task: PortalTask,
    extents: readonly BlockExtent[],
    run: (here: Here) => Promise<void>,
  ): Promise<ScsiResult> {
    return this.#begin(task, 'write', async (here) => {
      const marked = this.#mark(here, extents)
      if (marked !== undefined) await marked
      this.#forgetOverwritten(task.fence)
      await run(here)
      return good()
    })
  }

  /** This replica may be the primary when the client asks again. */
  #remember(fence: Fence): void {
    if (fence.kind !== 'header' || fence.identity === undefined) return
    const { outcomes, map } = this.#context.volume
    outcomes.of(this.#segmentId)?.done(fence.identity, map.generation)
  }

  /** What the primary writes over this replica may undo what was remembered as done. */
  #forgetOverwritten(fence: Fence): void {
    if (!isResync(fence)) return
    this.#context.volume.outcomes.forget(this.#segmentId)
  }

  #mark({ view, masks }: Here, extents: readonly BlockExtent[]): Promise<unknown> | undefined {
    const { replicas } = view.segment
    // One that is brought up may have what the primary then loses before it marked it itself.
    const isBehind = view.replica.state !== 'in-sync'
    const inSync = isBehind || replicas.filter(({ state }) => state === 'in-sync').length > 1
    const lacking = replicas
      .filter(({ state, serverId }) => state !== 'in-sync' && serverId !== view.replica.serverId)
      .map(({ serverId }) => serverId)
    if (!inSync && lacking.length === 0) return undefined
    const regions = new Regions(this.facts)
    const marks = extents.flatMap((extent) => {
      const { firstRegion, endRegion } = regions.of(extent)
      return masks.mark(firstRegion, endRegion, lacking, inSync) ?? []
    })
    return marks.length === 0 ? undefined : Promise.all(marks)
  }

  /**
   * Compares, counts the operation as begun and goes on to masks or store, all in one turn: a close
   * that comes later waits for it, one that came before was seen. What is answered GOOD confirms
   * the generation to the primary, which counts from earlier on.
   */
  async #begin(
    task: PortalTask,
    doing: 'read' | 'write',
    run: (here: Here) => Promise<ScsiResult>,
  ): Promise<ScsiResult> {
    const refusal = this.#refuse(task)
    if (refusal !== undefined) return refusal
    const { volume, confirmer } = this.#context
    const view = this.#view
    const store = this.#context.replica(this.#segmentId)
    if (view === undefined || store === undefined) return notSupported
    const masks = this.#context.masks(this.#segmentId)
    if (masks === undefined) return notReady
    if (view.replica.state === 'in-sync') confirmer.confirmed(this.#segmentId, volume.map.leaseMs)
    volume.begun.begin()
    try {
      return await run({ view, store, masks })
    } catch (error) {
      if (error instanceof StorageError && error.code === 'io-error') {
        this.#context.diskFailed?.(this.#segmentId, error)
      }
      return storeFailure(error, doing)
    } finally {
      volume.begun.end()
    }
  }

  /** Always answered, whatever the policy for clients: a primary must not wait for silence. */
  #refuse({ session, fence }: PortalTask): ScsiResult | undefined {
    const view = this.#view?.fence
    if (view === undefined) return notSupported
    const reason =
      compare(view, {
        initiatorName: session.nexus.initiatorName,
        generationVersion: session.generationVersion,
        fence,
      }) ?? ownRefusal(fence)
    if (reason === undefined) return undefined
    if (reason === Reason.SENDER_NEWER) this.#context.newerSeen()
    return refusal(view, reason)
  }
}

/** Clients have the volume's own target: what bears no flag of a primary is not for here. */
function ownRefusal(fence: Fence): Reason | undefined {
  const flagged = fence.kind === 'header' && (fence.flags & replicated) !== 0
  return flagged ? undefined : Reason.NOT_PRIMARY
}

function refusal({ generation }: FenceView, reason: Reason): ScsiResult {
  return refusalResult({ reason, generation })
}

function otherServers({ segment, replica }: SegmentView): string[] {
  return segment.replicas
    .map(({ serverId }) => serverId)
    .filter((serverId) => serverId !== replica.serverId)
}

function extentOf({ blockBytes }: UnitFacts, lba: number, data: readonly Buffer[]): BlockExtent {
  let bytes = 0
  for (const { length } of data) bytes += length
  return { lba, blocks: bytes / blockBytes }
}

/** At most a region, from a page boundary to one, or to the end. */
function isResync(fence: Fence): boolean {
  return fence.kind === 'header' && (fence.flags & FenceFlag.resync) !== 0
}

function isOfPages(store: ReplicaStore, { lba, blocks }: BlockExtent): boolean {
  const pageBlocks = pageBytes / store.blockBytes
  const end = lba + blocks
  if (blocks === 0 || blocks * store.blockBytes > limits.regionBytes) return false
  if (end > store.blocks || lba % pageBlocks !== 0) return false
  return end === store.blocks || blocks % pageBlocks === 0
}

/**
 * One segment of a volume as a logical unit behind the fence. A command meets the comparator when
 * it arrives, and again in the turn in which the store is touched: between the two its data came,
 * and the configuration may have moved. It owns nothing; the volume's state is targets/replica's.
 */
import { atomicBytes } from '../../src/base/limits.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import type {
  AllocationRun,
  BlockExtent,
  LogicalUnit,
  Silence,
  UnitFacts,
  WriteOptions,
} from '../../src/scsi/logical-unit.ts'
import { checkCondition, good, isGood, type ScsiResult } from '../../src/scsi/result.ts'
import { LOGICAL_UNIT_NOT_SUPPORTED } from '../../src/scsi/sense.ts'
import { answerRefused, compare, type FenceView, isCompared } from '../../src/volume/comparator.ts'
import { FenceFlag } from '../../src/volume/generation-header.ts'
import { Reason } from '../../src/volume/refusal.ts'
import { unitFacts } from '../../src/volume/unit-facts.ts'
import { afterOthers, NotServed } from '../mirror/not-served.ts'
import type { HeldVolume } from '../replica/held-volume.ts'
import type { SegmentView } from '../replica/segment-views.ts'
import type { ReplicaStore } from '../store/replica-store.ts'
import { storeFailure } from './store-failure.ts'
import {
  type CompareAndWrite,
  compareAndWrite,
  mapping,
  type Once,
  orWrite,
  writeAtomic,
} from './store-updates.ts'
import type { UnitCounters } from './unit-counters.ts'

export interface FencedUnitContext {
  readonly volume: HeldVolume
  readonly counters: UnitCounters
  /** What serves the blocks of a segment now, undefined where nothing does. */
  replica(segmentId: string): ReplicaStore | undefined
  /** A sender believes in a newer generation than this server's. */
  newerSeen(volume: HeldVolume): void
}

type Answer = ScsiResult | Silence
type Doing = 'read' | 'write'

export class FencedUnit implements LogicalUnit<PortalTask> {
  readonly #context: FencedUnitContext
  readonly #segmentId: string
  #facts: UnitFacts | undefined
  /** Commands of several writes (WRITE SAME) of which one has begun. */
  readonly #touched = new WeakSet<PortalTask>()

  constructor(context: FencedUnitContext, segmentId: string) {
    this.#context = context
    this.#segmentId = segmentId
  }

  get facts(): UnitFacts {
    const blocks = this.#view?.segment.blocks ?? 0
    if (this.#facts?.blocks !== blocks) {
      const { blockBytes, readOnly } = this.#context.volume.map
      const atomicBlocks = atomicBytes / blockBytes
      const kind = { blocks, blockBytes, readOnly, thin: true, atomicBlocks }
      this.#facts = unitFacts(this.#segmentId, kind)
    }
    return this.#facts
  }

  arrive(task: PortalTask): Answer | undefined {
    const { fence } = task
    if (fence.kind === 'header' && (fence.flags & FenceFlag.managementPath) !== 0) {
      this.#context.counters.viaManagementPath += 1
    }
    return isCompared(task.cdb) ? this.#refuse(task) : undefined
  }

  read(task: PortalTask, lba: number, blocks: number): Promise<Answer> {
    const { counters } = this.#context
    counters.reads += 1
    return this.#touch(task, 'read', async (store) => {
      const data = await store.read(lba, blocks)
      counters.readBytes += blocks * store.blockBytes
      return store.release === undefined ? good(data) : good(data, () => store.release?.(data))
    })
  }

  write(
    task: PortalTask,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<Answer> {
    const { counters } = this.#context
    counters.writes += 1
    return this.#touch(task, 'write', async (store) => {
      await store.write(lba, data)
      for (const { length } of data) counters.writtenBytes += length
      if (options.forceUnitAccess) await store.flush()
      return good()
    })
  }

  compareAndWrite(
    task: PortalTask,
    lba: number,
    data: CompareAndWrite,
    options: WriteOptions,
  ): Promise<Answer> {
    return this.#change(task, { ...options, data: data.write }, (store) =>
      compareAndWrite(store, lba, data, this.#once(task)),
    )
  }

  orWrite(
    task: PortalTask,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<Answer> {
    return this.#change(task, { ...options, data }, (store) =>
      orWrite(store, lba, data, this.#once(task)),
    )
  }

  writeAtomic(
    task: PortalTask,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<Answer> {
    return this.#change(task, { ...options, data }, (store) => writeAtomic(store, lba, data))
  }

  mapping(
    task: PortalTask,
    range: BlockExtent,
    runs: number,
  ): Promise<readonly AllocationRun[] | Answer> {
    return this.#touch(task, 'read', async (store) => mapping(store, range, runs))
  }

  #change(
    task: PortalTask,
    how: WriteOptions & { readonly data: readonly Buffer[] },
    run: (store: ReplicaStore) => Promise<ScsiResult>,
  ): Promise<Answer> {
    const { counters } = this.#context
    counters.writes += 1
    return this.#touch(task, 'write', async (store) => {
      const result = await run(store)
      if (!isGood(result)) return result
      for (const { length } of how.data) counters.writtenBytes += length
      if (how.forceUnitAccess) await store.flush()
      return result
    })
  }

  unmap(task: PortalTask, extents: readonly BlockExtent[]): Promise<Answer> {
    return this.#touch(task, 'write', async (store) => {
      for (const [i, { lba, blocks }] of extents.entries()) {
        const unmapped = store.unmap(lba, blocks)
        await (i === 0 ? unmapped : afterOthers(unmapped))
      }
      return good()
    })
  }

  flush(task: PortalTask): Promise<Answer> {
    return this.#touch(task, 'write', async (store) => {
      await store.flush()
      return good()
    })
  }

  /** Undefined where the sender would not ask again. */
  #once({ fence }: PortalTask): Once | undefined {
    if (fence.kind !== 'header' || fence.identity === undefined) return undefined
    const { identity } = fence
    const { volume } = this.#context
    const outcomes = () => volume.outcomes.of(this.#segmentId)
    const unknown = identity.repeated ? 'gone' : 'new'
    return {
      identity,
      look: () => outcomes()?.look(identity, volume.map.generation) ?? unknown,
      applied: () => outcomes()?.done(identity, volume.map.generation),
    }
  }

  get #view(): SegmentView | undefined {
    return this.#context.volume.views.get(this.#segmentId)
  }

  /**
   * Compares, counts the operation as begun and calls the store, all in one turn: a close that
   * comes later waits for it, one that came before was seen.
   */
  async #touch<R = never>(
    task: PortalTask,
    doing: Doing,
    run: (store: ReplicaStore) => Promise<ScsiResult | R>,
  ): Promise<Answer | R> {
    const refusal = this.#refuse(task)
    if (refusal !== undefined) return refusal
    const store = this.#context.replica(this.#segmentId)
    if (store === undefined) return checkCondition(LOGICAL_UNIT_NOT_SUPPORTED)
    const before = this.#touched.has(task)
    if (doing === 'write') this.#touched.add(task)
    const { begun } = this.#context.volume
    begun.begin()
    try {
      return await run(store)
    } catch (error) {
      if (error instanceof NotServed) return this.#notServed(task, error.reason, before)
      // A store that stopped under a read is opened again, and the data may be there all the same;
      // who wrote or flushed has to hear of it at once.
      const refusal = doing === 'read' ? this.#refuse(task) : undefined
      return refusal ?? storeFailure(error, doing)
    } finally {
      begun.end()
    }
  }

  #refuse(task: PortalTask): Answer | undefined {
    const fence = this.#view?.fence
    if (fence === undefined) return checkCondition(LOGICAL_UNIT_NOT_SUPPORTED)
    const { session } = task
    const reason = compare(fence, {
      initiatorName: session.nexus.initiatorName,
      generationVersion: session.generationVersion,
      fence: task.fence,
    })
    if (reason === undefined) return undefined
    if (task.fence.kind === 'header' && task.fence.generation > fence.wideGeneration) {
      this.#context.newerSeen(this.#context.volume)
    }
    return this.#answer(task, fence, reason)
  }

  /** `before`: this command had touched something before the call that was not served. */
  #notServed(task: PortalTask, reason: Reason, before: boolean): Answer {
    if (!before && reason !== Reason.INTERRUPTED) this.#touched.delete(task)
    const fence = this.#view?.fence
    if (fence === undefined) return checkCondition(LOGICAL_UNIT_NOT_SUPPORTED)
    return this.#answer(task, fence, reason)
  }

  /** What was let in and written in part is interrupted: to say refused would be untrue. */
  #answer(task: PortalTask, fence: FenceView, reason: Reason): Answer {
    const said = this.#touched.has(task) ? Reason.INTERRUPTED : reason
    this.#context.counters.refused(said)
    return answerRefused(fence, said)
  }
}

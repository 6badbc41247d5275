/**
 * The blocks of a mirrored segment as its primary serves them: what a unit does with the store of a
 * segment that has one replica only, it does here with all of them (design: primary copy). Reads
 * are local, under the range lock and a lease; what changes blocks is marked, and done on every
 * in-sync replica before it is answered.
 *
 * Rejects like a store, and with NotServed: CLOSED and NOT_PRIMARY say that the call did nothing.
 */
import { assert } from '../../src/base/assert.ts'
import { StorageError } from '../../src/base/errors.ts'
import { mirror as limits } from '../../src/base/limits.ts'
import { totalBytes } from '../../src/scsi/data-out.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import { Reason } from '../../src/volume/refusal.ts'
import type {
  BlockRun,
  OnceChange,
  ReplicaStore,
  Change as Update,
} from '../store/replica-store.ts'
import type { MirroredSegment } from './mirrored-segment.ts'
import { afterOthers, interrupted, NotServed } from './not-served.ts'
import { PartnerFailure } from './partner.ts'
import type { PrimaryState } from './primary-state.ts'
import type { Release } from './range-locks.ts'
import { type Change, type ChangeOutcome, type Effect, replicate } from './replicated-change.ts'

/** Under which an operation begins; it ends under the same, because a change of map waits for it. */
interface Serving {
  readonly primary: PrimaryState
  readonly store: ReplicaStore
}

/** Nobody else writes what its owner reads, or reads what its owner writes. */
interface Held extends Serving {
  readonly release: Release
}

export class MirroredStore implements ReplicaStore {
  readonly thin = true
  readonly #segment: MirroredSegment

  constructor(segment: MirroredSegment) {
    this.#segment = segment
  }

  get blocks(): number {
    return this.#segment.size.blocks
  }

  get blockBytes(): number {
    return this.#segment.size.blockBytes
  }

  get atomicBlocks(): number {
    return this.#segment.store?.atomicBlocks ?? 0
  }

  async read(lba: number, blocks: number): Promise<Buffer[]> {
    const extent = { lba, blocks }
    const held = await this.#enter(extent, 'shared')
    let data: Buffer[] | undefined
    try {
      data = await this.#readHere(held, extent)
    } finally {
      held.release()
    }
    data ??= await this.#repaired(extent)
    mustHoldLease(held.primary)
    return data
  }

  write(lba: number, data: readonly Buffer[]): Promise<void> {
    return this.#change(this.#writing(lba, data))
  }

  writeAtomic(lba: number, data: readonly Buffer[]): Promise<void> {
    return this.#change({
      ...{ lba, blocks: totalBytes(data) / this.blockBytes },
      local: async (store) => {
        assert(store.writeAtomic, 'atomic writes are let in only where the store has them')
        await store.writeAtomic(lba, data)
      },
      remote: (partner, call) => partner.write({ ...call, atomic: true }, lba, data),
    })
  }

  /** The result is replicated, not the command. */
  async update(lba: number, blocks: number, change: Update, once?: OnceChange): Promise<void> {
    const extent = { lba, blocks }
    const held = await this.#enter(extent, 'alone')
    try {
      const stored = (await this.#readHere(held, extent)) ?? (await this.#repair(held, extent))
      const data = change(stored)
      if (data === undefined) mustHoldLease(held.primary)
      else await this.#apply(held, this.#writing(lba, data, once))
    } finally {
      held.release()
    }
  }

  /** In pieces, because every region of a piece is marked at once. */
  async unmap(lba: number, blocks: number): Promise<void> {
    const most = (limits.unmappedRegions * limits.regionBytes) / this.blockBytes
    const end = lba + blocks
    for (let at = lba; at < end; ) {
      const piece = { lba: at, blocks: Math.min(end, at - (at % most) + most) - at }
      const unmapping = this.#change({
        ...piece,
        local: (store) => store.unmap(piece.lba, piece.blocks),
        remote: (partner, call) => partner.unmap(call, [piece]),
      })
      await (at === lba ? unmapping : afterOthers(unmapping))
      at += piece.blocks
    }
  }

  /** Durable on every in-sync replica. It may follow a write of the same command: never untouched. */
  async flush(): Promise<void> {
    const serving = this.#serving(Reason.INTERRUPTED)
    const outcome = await this.#replicate(serving, {
      local: (store) => store.flush(),
      remote: (partner, call) => partner.flush(call),
    })
    const { failure, missing } = outcome
    if (failure !== undefined) throw this.#failed(serving, failure)
    if (missing.length > 0) throw interrupted()
  }

  /** As the own replica has it; the others may have other holes. */
  run(lba: number, most?: number): BlockRun {
    const { primary, store } = this.#serving(Reason.NOT_PRIMARY)
    mustHoldLease(primary)
    return store.run(lba, most)
  }

  #writing(lba: number, data: readonly Buffer[], once?: OnceChange): Change {
    return {
      ...{ lba, blocks: totalBytes(data) / this.blockBytes },
      local: async (store) => {
        await store.write(lba, data)
        // It stays done here, also where another replica does not answer.
        once?.applied()
      },
      remote: (partner, call) =>
        partner.write(once ? { ...call, identity: once.identity } : call, lba, data),
    }
  }

  #serving(otherwise: Reason): Serving {
    const { primary, store, withheld } = this.#segment
    if (primary === undefined || store === undefined || withheld) {
      throw new NotServed(otherwise, 'the segment is not served yet, or not any more')
    }
    return { primary, store }
  }

  /** Where nothing is in doubt and the lock is free: in the turn of the call. */
  async #enter(extent: BlockExtent, how: 'shared' | 'alone'): Promise<Held> {
    const { locks } = this.#segment
    const { lba, blocks } = extent
    for (;;) {
      const serving = this.#serving(Reason.NOT_PRIMARY)
      const comparing = this.#comparing(extent)
      if (comparing !== undefined) {
        await comparing
        continue
      }
      const lock = how === 'shared' ? locks.read(lba, blocks) : locks.write(lba, blocks)
      if (!(lock instanceof Promise)) return { ...serving, release: lock }
      const release = await lock
      assert(release, 'the waits of operations are not abandoned')
      if (!serving.primary.closing && this.#may(serving, extent)) return { ...serving, release }
      release()
      // What has touched nothing need not begin any more.
      if (serving.primary.closing) throw new NotServed(Reason.CLOSED, 'closed meanwhile')
    }
  }

  /** While it waited for its lock, an operation before it may have left the range in doubt. */
  #may({ primary, store }: Serving, extent: BlockExtent): boolean {
    const segment = this.#segment
    if (segment.primary !== primary || segment.store !== store || segment.withheld) return false
    const { comparison, regions } = segment
    const { firstRegion, endRegion } = regions.of(extent)
    for (let region = firstRegion; region < endRegion; region++) {
      if (comparison?.pending(region)) return false
    }
    return true
  }

  /** Undefined: the replicas do not differ in the range. */
  #comparing(extent: BlockExtent): Promise<void> | undefined {
    const { comparison, regions } = this.#segment
    const { firstRegion, endRegion } = regions.of(extent)
    return comparison?.ensure(firstRegion, endRegion)?.catch((error: unknown) => {
      if (!(error instanceof StorageError)) throw error
      if (error.code === 'conflict') throw new NotServed(Reason.CLOSED, 'closed meanwhile')
      this.#segment.diskFailed(error)
      throw new NotServed(Reason.NOT_PRIMARY, error.message)
    })
  }

  async #change(change: Change): Promise<void> {
    const { firstRegion, endRegion } = this.#segment.regions.of(change)
    const room = this.#segment.room(firstRegion, endRegion)
    if (room !== undefined) await room
    const held = await this.#enter(change, 'alone')
    try {
      await this.#apply(held, change)
    } finally {
      held.release()
    }
  }

  /** Under the lock. What became of it is settled before the lock is given back. */
  async #apply(held: Held, change: Change): Promise<void> {
    const { masks, regions } = this.#segment
    const { primary } = held
    const { firstRegion, endRegion } = regions.of(change)
    const hasPartners = primary.inSync.length > 0
    const partners = primary.partners.filter(({ sentWrites }) => sentWrites)
    const marked = masks.mark(firstRegion, endRegion, primary.behind, hasPartners)
    const written = this.#segment.activity.begin(firstRegion, endRegion)
    try {
      const { store } = held
      const context = { generation: primary.generation, store, givingUp: () => primary.closing }
      this.#settle(held, await replicate(context, change, partners, marked))
    } finally {
      written()
    }
  }

  #settle(serving: Serving, { failure, missing }: ChangeOutcome): void {
    const { primary } = serving
    if (failure === undefined && missing.length === 0) return
    // One that has what is missing here is no copy of this replica any more.
    if (failure !== undefined) for (const { bringUp } of primary.partners) bringUp?.failed()
    if (primary.inSync.length > 0) this.#segment.doubt()
    throw failure === undefined ? interrupted() : this.#failed(serving, failure)
  }

  /** With other replicas a disk that fails is no reason for a client to see an error. */
  #failed({ primary }: Serving, failure: StorageError): Error {
    if (failure.code !== 'io-error') return failure
    this.#segment.diskFailed(failure)
    // The masks are read anew from their file; what they are on is not what holds the blocks.
    const { failure: masksFailure } = this.#segment.masks
    return primary.inSync.length > 0 || masksFailure !== undefined ? interrupted() : failure
  }

  async #replicate({ primary, store }: Serving, effect: Effect): Promise<ChangeOutcome> {
    const { generation, inSync } = primary
    const context = { generation, store, givingUp: () => primary.closing }
    return replicate(context, effect, inSync, undefined)
  }

  /** Undefined where another replica has to help out. */
  async #readHere(
    { primary, store }: Held,
    { lba, blocks }: BlockExtent,
  ): Promise<Buffer[] | undefined> {
    try {
      return await store.read(lba, blocks)
    } catch (error) {
      if (!(error instanceof StorageError && error.code === 'io-error')) throw error
      if (this.#segment.store !== store) {
        throw new NotServed(Reason.NOT_PRIMARY, 'the store failed')
      }
      if (primary.inSync.length === 0) throw error
      return undefined
    }
  }

  async #repaired(extent: BlockExtent): Promise<Buffer[]> {
    const held = await this.#enter(extent, 'alone')
    try {
      return (await this.#readHere(held, extent)) ?? (await this.#repair(held, extent))
    } finally {
      held.release()
    }
  }

  /** What cannot be read here is taken from another replica and written anew, alone in the range. */
  async #repair({ primary, store }: Held, { lba, blocks }: BlockExtent): Promise<Buffer[]> {
    const data = await this.#readElsewhere(primary, { lba, blocks })
    try {
      await store.write(lba, data)
      this.#segment.repaired({ lba, blocks })
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      this.#segment.diskFailed(error)
    }
    return data
  }

  async #readElsewhere(primary: PrimaryState, { lba, blocks }: BlockExtent): Promise<Buffer[]> {
    const { generation } = primary
    for (let turn = 0; ; turn++) {
      const state = primary.inSync[turn % primary.inSync.length]!
      try {
        return await state.call((partner) => partner.read({ generation }, lba, blocks))
      } catch (error) {
        if (!(error instanceof PartnerFailure)) throw error
        if (primary.closing) throw new NotServed(Reason.CLOSED, 'closed meanwhile')
        await state.again(error.kind)
      }
    }
  }
}

function mustHoldLease(primary: PrimaryState): void {
  if (primary.holdsLease) return
  primary.hurry()
  throw new NotServed(Reason.NOT_PRIMARY, 'no lease')
}

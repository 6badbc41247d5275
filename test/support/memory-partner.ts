/**
 * A Partner in memory, with its own replica and masks: a session that carries calls in their order
 * and can be cut. What a cut meets on its way may still have its effect or not, but never after the
 * session that follows stands.
 */
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { PageDigests } from '../../targets/mirror/digests.ts'
import type { MaskSet } from '../../targets/mirror/mask-set.ts'
import {
  type ClearWhat,
  type Partner,
  type PartnerCall,
  PartnerFailure,
  type PartnerWrite,
} from '../../targets/mirror/partner.ts'
import { Regions } from '../../targets/mirror/regions.ts'
import type { SegmentMasks } from '../../targets/mirror/segment-masks.ts'
import type { MemoryReplica } from './memory-replica.ts'

export interface MemoryPartnerOptions {
  readonly serverId: string
  readonly store: MemoryReplica
  readonly masks: SegmentMasks
  readonly digests: PageDigests
  readonly pause?: () => Promise<void>
  /** Whether what a cut met still happens. */
  readonly happens?: () => boolean
}

interface Session {
  ended: boolean
  /** What it carried has begun there. */
  arrived: Promise<void>
  readonly under: Set<Promise<void>>
}

export class MemoryPartner implements Partner {
  readonly serverId: string
  readonly store: MemoryReplica
  readonly heldMasks: SegmentMasks
  generation: Generation = 1
  inSyncGeneration: Generation = 1
  /** By the map: more than one replica is in sync, and these are not. */
  marksInSync = true
  behind: readonly string[] = []
  /** Names of the calls that came, in order. */
  readonly calls: string[] = []
  resyncBytes = 0
  failNext: PartnerFailure | undefined
  readonly #options: MemoryPartnerOptions
  readonly #regions: Regions
  readonly #pause: () => Promise<void>
  #session: Session = { ended: false, arrived: Promise.resolve(), under: new Set() }
  #changed: (() => void)[] = []

  constructor(options: MemoryPartnerOptions) {
    this.serverId = options.serverId
    this.store = options.store
    this.heldMasks = options.masks
    this.#options = options
    this.#pause = options.pause ?? (() => Promise.resolve())
    this.#regions = new Regions(options.store)
  }

  get up(): boolean {
    return !this.#session.ended
  }

  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#changed.push(resolve)
    })
  }

  /** The session ends; calls under way are lost. */
  cut(): void {
    this.#session.ended = true
    this.#tell()
  }

  /** Its machine dies, with what was not flushed; the masks are durable. */
  async die(): Promise<void> {
    this.cut()
    const { arrived, under } = this.#session
    await arrived
    await Promise.allSettled([...under])
    this.store.loseUnflushed()
  }

  /** Another session, when nothing of the former one can have any effect. */
  async connect(): Promise<void> {
    if (this.up) return
    const { arrived, under } = this.#session
    await arrived
    await Promise.allSettled([...under])
    if (this.up) return
    this.#session = { ended: false, arrived: Promise.resolve(), under: new Set() }
    this.#tell()
  }

  abandon(): void {
    this.cut()
  }

  write(call: PartnerWrite, lba: number, data: readonly Buffer[]): Promise<void> {
    return this.#call('write', call, async () => {
      await this.#mark([{ lba, blocks: Buffer.concat(data).length / this.store.blockBytes }])
      if (call.resync === true) this.resyncBytes += Buffer.concat(data).length
      await this.store.write(lba, data)
    })
  }

  unmap(call: PartnerCall, extents: readonly BlockExtent[]): Promise<void> {
    return this.#call('unmap', call, async () => {
      await this.#mark(extents)
      for (const { lba, blocks } of extents) await this.store.unmap(lba, blocks)
    })
  }

  flush(call: PartnerCall): Promise<void> {
    return this.#call('flush', call, () => this.store.flush())
  }

  read(call: PartnerCall, lba: number, blocks: number): Promise<Buffer[]> {
    return this.#call('read', call, () => this.store.read(lba, blocks))
  }

  digests(call: PartnerCall, lba: number, blocks: number): Promise<Buffer[]> {
    return this.#call('digests', call, () => this.#options.digests.of(this.store, { lba, blocks }))
  }

  masks(call: PartnerCall): Promise<MaskSet> {
    return this.#call('masks', call, async () => this.heldMasks.snapshot(this.inSyncGeneration))
  }

  takeMasks(call: PartnerCall, masks: MaskSet): Promise<void> {
    return this.#call('takeMasks', call, () => this.heldMasks.takeOver(masks))
  }

  clear(call: PartnerCall, regions: readonly number[], of: ClearWhat): Promise<void> {
    return this.#call('clear', call, async () => this.heldMasks.clear(regions, of))
  }

  async #mark(extents: readonly BlockExtent[]): Promise<void> {
    for (const extent of extents) {
      const { firstRegion, endRegion } = this.#regions.of(extent)
      await this.heldMasks.mark(firstRegion, endRegion, this.behind, this.marksInSync)
    }
  }

  async #call<T>(name: string, { generation }: PartnerCall, run: () => Promise<T>): Promise<T> {
    const session = this.#session
    const { failNext } = this
    this.failNext = undefined
    if (failNext !== undefined) throw failNext
    this.#lostIn(session, name)
    const before = session.arrived
    let arrive = (): void => undefined
    session.arrived = new Promise((resolve) => {
      arrive = resolve
    })
    let running: Promise<T>
    try {
      await this.#pause()
      await before
      if (session.ended && this.#options.happens?.() !== true) this.#lostIn(session, name)
      if (generation !== this.generation) {
        throw new PartnerFailure('refused', `${name} of ${generation} at ${this.generation}`)
      }
      this.calls.push(name)
      running = run()
      const settled = running.then(
        () => undefined,
        () => undefined,
      )
      session.under.add(settled)
      void settled.then(() => session.under.delete(settled))
    } finally {
      arrive()
    }
    try {
      return await running
    } finally {
      await this.#pause()
      this.#lostIn(session, name)
    }
  }

  #lostIn(session: Session, name: string): void {
    if (session.ended) throw new PartnerFailure('lost', `${name}: the session ended`)
  }

  #tell(): void {
    for (const resolve of this.#changed.splice(0)) resolve()
  }
}

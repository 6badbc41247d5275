/**
 * All volumes of which this server holds something, or held once: a deleted one leaves its record,
 * so that a delayed order cannot bring it back. Takes a manager's orders to the volume they name,
 * and refuses those of a manager whose term is over.
 */
import { StorageError } from '../../src/base/errors.ts'
import type {
  ActivateRequest,
  CloseRequest,
  Order,
  RecordsReply,
  ReopenRequest,
  SegmentIncarnation,
} from '../../src/control/messages/server.ts'
import { HeldVolume, type HeldVolumeContext } from './held-volume.ts'

export class HeldVolumes {
  readonly #context: HeldVolumeContext
  readonly #volumes = new Map<string, HeldVolume>()
  /** The highest term that any manager has shown. */
  #term = 0

  private constructor(context: HeldVolumeContext) {
    this.#context = context
  }

  static async load(context: HeldVolumeContext): Promise<HeldVolumes> {
    const volumes = new HeldVolumes(context)
    for (const record of await context.records.load()) {
      volumes.#term = Math.max(volumes.#term, record.order.term)
      volumes.#volumes.set(record.map.volumeId, new HeldVolume(context, record))
    }
    return volumes
  }

  all(): HeldVolume[] {
    return [...this.#volumes.values()]
  }

  get(volumeId: string): HeldVolume | undefined {
    return this.#volumes.get(volumeId)
  }

  async close({ order, volumeId }: CloseRequest): ReturnType<HeldVolume['close']> {
    this.#meet(order)
    return this.#find(volumeId).close(order)
  }

  async activate({ order, map }: ActivateRequest): Promise<SegmentIncarnation[]> {
    this.#meet(order)
    let volume = this.#volumes.get(map.volumeId)
    if (volume === undefined) {
      volume = HeldVolume.unheard(this.#context, map)
      this.#volumes.set(map.volumeId, volume)
    }
    return volume.activate(order, map)
  }

  async reopen({ order, volumeId, closed }: ReopenRequest): Promise<void> {
    this.#meet(order)
    this.#find(volumeId).reopen(order, closed)
  }

  /** What a configuration store that was lost is rebuilt from. */
  records(): RecordsReply {
    return { records: this.all().map(({ record }) => record), term: this.#term }
  }

  /** Call when the store's incarnation or its replicas changed. */
  storeChanged(): void {
    for (const volume of this.#volumes.values()) volume.storeChanged()
  }

  #find(volumeId: string): HeldVolume {
    const volume = this.#volumes.get(volumeId)
    if (volume === undefined) {
      throw new StorageError('not-found', `this server holds nothing of volume ${volumeId}`)
    }
    return volume
  }

  #meet(order: Order): void {
    if (order.term < this.#term) {
      const text = `a manager of term ${order.term} was succeeded by one of term ${this.#term}`
      throw new StorageError('conflict', text)
    }
    this.#term = order.term
  }
}

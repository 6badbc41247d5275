/** The maps as the configuration store holds them: what was decided, whoever has heard of it. */
import { volumeMapCodec } from '../../../src/control/messages/map.ts'
import { volumePrefix } from '../../../src/management/keys.ts'
import type { VolumeMap } from '../../../src/volume/map.ts'
import type { SimKeyValue } from '../world/sim-key-value.ts'

export class CommittedMaps {
  readonly #store: SimKeyValue
  /** Numbers of volumes, by identity. */
  readonly #numbers = new Map<string, number>()
  readonly #decoded = new WeakMap<Buffer, VolumeMap>()

  constructor(store: SimKeyValue) {
    this.#store = store
  }

  follow(number: number, { volumeId }: VolumeMap): void {
    this.#numbers.set(volumeId, number)
  }

  /** Of the volumes that are followed, by number. */
  get all(): Map<number, VolumeMap> {
    const maps = new Map<number, VolumeMap>()
    for (const stored of this.#store.under(volumePrefix)) {
      let map = this.#decoded.get(stored)
      if (map === undefined) {
        map = volumeMapCodec.decode(stored)
        this.#decoded.set(stored, map)
      }
      const number = this.#numbers.get(map.volumeId)
      if (number !== undefined && !map.deleted) maps.set(number, map)
    }
    return maps
  }
}

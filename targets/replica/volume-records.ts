/**
 * What a storage server durably knows of the volumes that it holds something of: one entry a
 * volume, {map, order, closed, confirmed generation}, replaced as a whole. All saves of one turn
 * share one durable commit (the KeyValue port groups them), so a manager that closes a thousand
 * volumes costs one sync.
 */
import { StorageError } from '../../src/base/errors.ts'
import { type VolumeRecord, volumeRecordCodec } from '../../src/control/messages/server.ts'
import type { KeyValue } from '../../src/ports/key-value.ts'
import { recordKeys } from './record-keys.ts'

export class VolumeRecords {
  readonly #store: KeyValue

  constructor(store: KeyValue) {
    this.#store = store
  }

  /** A record that cannot be read is fatal: a volume forgotten might be served when it is closed. */
  async load(): Promise<VolumeRecord[]> {
    const entries = await this.#store.range(recordKeys.volumes)
    return entries.map(({ key, value }) => {
      try {
        return volumeRecordCodec.decode(value)
      } catch (error) {
        throw new StorageError('not-a-store', `the record "${key}" is damaged`, error)
      }
    })
  }

  /** Resolves when durable. Saves of one volume take effect in the order of their calls. */
  async save(record: VolumeRecord): Promise<void> {
    const key = recordKeys.volume(record.map.volumeId)
    await this.#store.transact({ put: [{ key, value: volumeRecordCodec.encode(record) }] })
  }
}

/** What the units of one volume on this server have done since the process began. */
import type { VolumeCounters } from '../../src/control/messages/server.ts'
import type { Reason } from '../../src/volume/refusal.ts'

export interface CopyCounters {
  /** Content that brought a replica here up to date. */
  resyncedBytes: number
  /** Content that could not be read here and was taken from another replica. */
  repairedBytes: number
}

export class UnitCounters {
  reads = 0
  writes = 0
  readBytes = 0
  writtenBytes = 0
  viaManagementPath = 0
  readonly #refusals = new Map<Reason, number>()

  refused(reason: Reason): void {
    this.#refusals.set(reason, (this.#refusals.get(reason) ?? 0) + 1)
  }

  /** `copies`: what was done here so that copies are equal. */
  describe(volumeId: string, copies: CopyCounters): VolumeCounters {
    const { reads, writes, readBytes, writtenBytes, viaManagementPath } = this
    const { resyncedBytes, repairedBytes } = copies
    const refusals = [...this.#refusals].map(([reason, count]) => ({ reason, count }))
    const bytes = { readBytes, writtenBytes, resyncedBytes, repairedBytes }
    return { volumeId, reads, writes, ...bytes, viaManagementPath, refusals }
  }
}

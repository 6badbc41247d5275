/**
 * A partner whose every call counts as owed to its PartnerState: what background jobs ask of it hangs
 * no longer than what clients' commands do, and tells as much of it. Only what jobs need is here.
 */
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import type { MaskSet } from './mask-set.ts'
import type { ClearWhat, Partner, PartnerCall, PartnerWrite } from './partner.ts'

/** What counts a call, and gives the partner to it. */
export interface CallCounter {
  readonly partner: Partner
  call<R>(run: (partner: Partner) => Promise<R>): Promise<R>
}

export class CountedPartner implements Partner {
  readonly #counter: CallCounter

  constructor(counter: CallCounter) {
    this.#counter = counter
  }

  get serverId(): string {
    return this.#counter.partner.serverId
  }

  get up(): boolean {
    return this.#counter.partner.up
  }

  changed(): Promise<void> {
    return this.#counter.partner.changed()
  }

  abandon(): void {
    this.#counter.partner.abandon()
  }

  write(call: PartnerWrite, lba: number, data: readonly Buffer[]): Promise<void> {
    return this.#counter.call((partner) => partner.write(call, lba, data))
  }

  unmap(call: PartnerCall, extents: readonly BlockExtent[]): Promise<void> {
    return this.#counter.call((partner) => partner.unmap(call, extents))
  }

  flush(call: PartnerCall): Promise<void> {
    return this.#counter.call((partner) => partner.flush(call))
  }

  read(call: PartnerCall, lba: number, blocks: number): Promise<Buffer[]> {
    return this.#counter.call((partner) => partner.read(call, lba, blocks))
  }

  digests(call: PartnerCall, lba: number, blocks: number): Promise<Buffer[]> {
    return this.#counter.call((partner) => partner.digests(call, lba, blocks))
  }

  masks(call: PartnerCall): Promise<MaskSet> {
    return this.#counter.call((partner) => partner.masks(call))
  }

  takeMasks(call: PartnerCall, masks: MaskSet): Promise<void> {
    return this.#counter.call((partner) => partner.takeMasks(call, masks))
  }

  clear(call: PartnerCall, regions: readonly number[], of: ClearWhat): Promise<void> {
    return this.#counter.call((partner) => partner.clear(call, regions, of))
  }
}

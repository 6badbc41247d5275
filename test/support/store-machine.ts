/** A machine with one page store, whose disks can lose what was not flushed. In memory. */
import { PageStore, type PageStoreOptions } from '../../targets/store/page-store.ts'
import { type FaultOptions, FaultPlan } from './fault-plan.ts'
import { LossyBlockFiles } from './lossy-block-files.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryBlockFiles } from './memory-block-files.ts'
import { MemoryKeyValue } from './memory-key-value.ts'
import { quietLog } from './quiet-log.ts'

export const pageBytes = 64 * 1024
export const pageBlocks = pageBytes / 512

export class StoreMachine {
  readonly backing = new MemoryBlockFiles()
  readonly clock = new ManualClock()
  capacityPages = 16
  readonly random: () => number
  plan: FaultPlan
  files: LossyBlockFiles
  metadata: MemoryKeyValue
  #boot = 1
  #uuids = 0

  constructor(random: () => number, faults: Omit<FaultOptions, 'random'> = {}) {
    this.random = random
    this.plan = new FaultPlan({ ...faults, random })
    this.files = new LossyBlockFiles(this.backing, this.plan)
    this.metadata = new MemoryKeyValue(this.plan)
  }

  options(more: Partial<PageStoreOptions> = {}): PageStoreOptions {
    return {
      files: this.files,
      metadata: this.metadata,
      clock: this.clock,
      random: {
        bytes: (count) => Buffer.alloc(count),
        below: (limit) => Math.floor(this.random() * limit),
        uuid: () => `00000000-0000-4000-8000-${String(++this.#uuids).padStart(12, '0')}`,
      },
      log: quietLog,
      bootId: `boot-${this.#boot}`,
      capacityBytes: this.capacityPages * pageBytes,
      ...more,
    }
  }

  open(more: Partial<PageStoreOptions> = {}): Promise<PageStore> {
    return PageStore.open(this.options(more))
  }

  /** Power is lost and comes back: the next `open` is after another boot. */
  async crash(faults: Omit<FaultOptions, 'random'> = {}): Promise<void> {
    this.plan.stop()
    await this.files.crash()
    this.#boot++
    this.#restart(faults)
  }

  /** The process is killed and started again. */
  async kill(faults: Omit<FaultOptions, 'random'> = {}): Promise<void> {
    this.plan.stop()
    await this.files.kill()
    this.#restart(faults)
  }

  #restart(faults: Omit<FaultOptions, 'random'>): void {
    this.plan = new FaultPlan({ ...faults, random: this.random })
    this.files = new LossyBlockFiles(this.backing, this.plan)
    this.metadata = this.metadata.survivor(this.plan)
  }
}

/** Whole blocks that say which write they came from. */
export function stamped(stamp: number, blocks: number): Buffer {
  const pattern = Buffer.alloc(8)
  pattern.writeUInt32BE(stamp)
  return Buffer.alloc(blocks * 512, pattern)
}

/** The stamp of each block; fails where a block is of two writes. */
export function stampsOf(parts: readonly Buffer[]): number[] {
  const data = Buffer.concat(parts)
  const stamps: number[] = []
  for (let block = 0; block < data.length; block += 512) {
    const repeats = data.subarray(block, block + 504).equals(data.subarray(block + 8, block + 512))
    if (!repeats) throw new Error(`block ${block / 512} mixes writes`)
    stamps.push(data.readUInt32BE(block))
  }
  return stamps
}

/** Free pages must show nothing of their former owners to the next one. */
export async function reuseFaults(store: PageStore): Promise<string[]> {
  const pages = store.freePages
  if (pages === 0) return []
  await store.createReplica('next', pages * pageBlocks)
  const next = store.replica('next')!
  for (let page = 0; page < pages; page++) {
    await next.write(page * pageBlocks + 64, [stamped(0xffff_ffff, 1)])
  }
  const stamps = stampsOf(await next.read(0, pages * pageBlocks))
  return stamps.flatMap((stamp, block) => {
    const expected = block % pageBlocks === 64 ? 0xffff_ffff : 0
    return stamp === expected ? [] : [`block ${block} of a new replica is ${stamp}`]
  })
}

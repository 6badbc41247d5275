/**
 * A logical unit in memory: a small but whole implementation of LogicalUnit for tests of what
 * stands above it. `failNext` makes one call answer something else, `arriveWith` every arrival.
 */
import type {
  AllocationRun,
  BlockExtent,
  LogicalUnit,
  Nexus,
  Silence,
  Task,
  UnitFacts,
  UnitSpace,
  WriteOptions,
} from '../../src/scsi/logical-unit.ts'
import { checkCondition, good, type ScsiResult, type Sense } from '../../src/scsi/result.ts'
import { MISCOMPARE_DURING_VERIFY } from '../../src/scsi/sense.ts'
import type { UnitSettings } from '../../src/scsi/unit-settings.ts'

type Outcome = ScsiResult | Silence

export const memoryNaa = Buffer.from('6a11ce00000000000000000000000001', 'hex')

export class MemoryUnit implements LogicalUnit {
  facts: UnitFacts
  content: Buffer
  /** Every call that reached the blocks, in order. */
  readonly calls: string[] = []
  arriveWith: Outcome | undefined
  failNext: Outcome | undefined
  reason: Sense | undefined

  readonly settings?: UnitSettings
  space?: UnitSpace

  /** `settings`: without them, initiators can set nothing. */
  constructor(facts: Partial<UnitFacts> = {}, settings?: UnitSettings) {
    if (settings !== undefined) this.settings = settings
    this.facts = {
      blocks: 2048,
      blockBytes: 512,
      physicalBlockBytes: 4096,
      thin: true,
      writeCache: true,
      readOnly: false,
      removable: false,
      atomicBlocks: 256,
      atomicBoundaryBlocks: 0,
      serial: 'MEM0001',
      naa: memoryNaa,
      ...facts,
    }
    this.content = Buffer.alloc(this.facts.blocks * this.facts.blockBytes)
  }

  arrive(): Outcome | undefined {
    return this.arriveWith
  }

  notReady(): Sense | undefined {
    return this.reason
  }

  async read(_task: Task, lba: number, blocks: number): Promise<Outcome> {
    return this.#done(`read ${lba}+${blocks}`) ?? good([Buffer.from(this.#range(lba, blocks))])
  }

  async write(
    _task: Task,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<Outcome> {
    return this.#change('write', lba, data, options) ?? good()
  }

  async compareAndWrite(
    _task: Task,
    lba: number,
    data: { readonly compare: readonly Buffer[]; readonly write: readonly Buffer[] },
    options: WriteOptions,
  ): Promise<Outcome> {
    const compare = Buffer.concat(data.compare)
    const stored = this.#range(lba, compare.length / this.facts.blockBytes)
    const information = compare.findIndex((byte, i) => byte !== stored[i])
    if (information >= 0) return checkCondition({ ...MISCOMPARE_DURING_VERIFY, information })
    return this.#change('compareAndWrite', lba, data.write, options) ?? good()
  }

  async orWrite(
    _task: Task,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<Outcome> {
    const whole = Buffer.concat(data)
    const stored = this.#range(lba, whole.length / this.facts.blockBytes)
    const merged = Buffer.from(whole.map((byte, i) => byte | stored[i]!))
    return this.#change('orWrite', lba, [merged], options) ?? good()
  }

  async writeAtomic(
    _task: Task,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<Outcome> {
    return this.#change('writeAtomic', lba, data, options) ?? good()
  }

  /** A block that holds only zeros counts as not allocated. */
  async mapping(
    _task: Task,
    { lba, blocks }: BlockExtent,
    most: number,
  ): Promise<readonly AllocationRun[] | Outcome> {
    const failed = this.#done(`mapping ${lba}+${blocks}`)
    if (failed) return failed
    const runs: { mapped: boolean; blocks: number }[] = []
    for (let at = lba; at < lba + blocks; at++) {
      const mapped = this.#range(at, 1).some((byte) => byte !== 0)
      const last = runs.at(-1)
      if (last?.mapped === mapped) last.blocks++
      else if (runs.length === most) break
      else runs.push({ mapped, blocks: 1 })
    }
    return runs
  }

  async unmap(_task: Task, extents: readonly BlockExtent[]): Promise<Outcome> {
    const names = extents.map(({ lba, blocks }) => `${lba}+${blocks}`)
    const failed = this.#done(`unmap ${names.join(' ')}`)
    if (failed) return failed
    for (const { lba, blocks } of extents) this.#range(lba, blocks).fill(0)
    return good()
  }

  async flush(): Promise<Outcome> {
    return this.#done('flush') ?? good()
  }

  #change(
    name: string,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Outcome | undefined {
    const whole = Buffer.concat(data)
    const blocks = whole.length / this.facts.blockBytes
    const failed = this.#done(`${name} ${lba}+${blocks}${options.forceUnitAccess ? ' fua' : ''}`)
    if (failed) return failed
    whole.copy(this.#range(lba, blocks))
    return undefined
  }

  /** The bytes of a range that must lie within the unit, whole blocks only. */
  #range(lba: number, blocks: number): Buffer {
    if (!Number.isInteger(blocks) || blocks < 1 || lba < 0 || lba + blocks > this.facts.blocks) {
      throw new RangeError(`${lba}+${blocks} is not on this unit`)
    }
    const { blockBytes } = this.facts
    return this.content.subarray(lba * blockBytes, (lba + blocks) * blockBytes)
  }

  #done(call: string): Outcome | undefined {
    this.calls.push(call)
    const failed = this.failNext
    this.failNext = undefined
    return failed
  }
}

export function testNexus(name = 'iqn.2026-11.test:initiator'): Nexus {
  return {
    initiatorName: name,
    initiatorPort: `${name},i,0x0080c0ffee00`,
    targetName: 'iqn.2026-11.test:target',
  }
}

export function testTask(
  nexus: Nexus,
  cdb: Buffer,
  rest: { lun?: number; aborted?: boolean } = {},
): Task {
  const whole = Buffer.alloc(Math.max(16, cdb.length))
  cdb.copy(whole)
  return { nexus, cdb: whole, lun: rest.lun ?? 0, aborted: rest.aborted ?? false }
}

/**
 * A logical unit in memory: a small but whole implementation of LogicalUnit for tests of what
 * stands above it. `failNext` makes one call answer something else, `arriveWith` every arrival.
 */
import type {
  BlockExtent,
  LogicalUnit,
  Nexus,
  Silence,
  Task,
  UnitFacts,
} from '../../src/scsi/logical-unit.ts'
import { good, type ScsiResult, type Sense } from '../../src/scsi/result.ts'

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

  constructor(facts: Partial<UnitFacts> = {}) {
    this.facts = {
      blocks: 2048,
      blockBytes: 512,
      physicalBlockBytes: 4096,
      thin: true,
      writeCache: true,
      readOnly: false,
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
    options: { readonly forceUnitAccess: boolean },
  ): Promise<Outcome> {
    const whole = Buffer.concat(data)
    const blocks = whole.length / this.facts.blockBytes
    const failed = this.#done(`write ${lba}+${blocks}${options.forceUnitAccess ? ' fua' : ''}`)
    if (failed) return failed
    whole.copy(this.#range(lba, blocks))
    return good()
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

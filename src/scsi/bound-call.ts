/**
 * A task bound to its unit, so that handlers need not know of either. Lives as long as the command.
 */
import { assert } from '../base/assert.ts'
import { blockBytes } from '../base/limits.ts'
import type { Call, CommandFacts, Outcome } from './call.ts'
import { commandTable, thickCommands } from './command-table.ts'
import type { BlockExtent, LogicalUnit, Nexus, Task, UnitFacts } from './logical-unit.ts'
import type { Sense } from './result.ts'
import type { UnitAttentions } from './unit-attention.ts'

/** What belongs to the target rather than to one unit. */
export interface Surroundings {
  readonly directory: { luns(): readonly number[] }
  readonly attentions: UnitAttentions
}

export class BoundCall<T extends Task> implements Call {
  readonly #task: T
  readonly #unit: LogicalUnit<T> | undefined
  readonly #around: Surroundings
  readonly dataOut: readonly Buffer[]

  constructor(
    task: T,
    unit: LogicalUnit<T> | undefined,
    dataOut: readonly Buffer[],
    around: Surroundings,
  ) {
    this.#task = task
    this.#unit = unit
    this.#around = around
    this.dataOut = dataOut
  }

  get nexus(): Nexus {
    return this.#task.nexus
  }
  get cdb(): Buffer {
    return this.#task.cdb
  }
  get aborted(): boolean {
    return this.#task.aborted
  }
  get hasUnit(): boolean {
    return this.#unit !== undefined
  }
  get facts(): UnitFacts {
    const { facts } = this.#there()
    assert(facts.blockBytes === blockBytes, 'every unit has the one block size')
    return facts
  }
  get luns(): readonly number[] {
    return this.#around.directory.luns()
  }
  get commands(): readonly CommandFacts[] {
    return this.facts.thin ? commandTable : thickCommands
  }
  takeAttention(): Sense | undefined {
    return this.#around.attentions.take(this.nexus, this.#task.lun)
  }
  clearReportedLuns(): void {
    this.#around.attentions.clearReportedLuns(this.nexus)
  }
  notReady(): Sense | undefined {
    return this.#there().notReady?.(this.#task)
  }
  read(lba: number, blocks: number): Promise<Outcome> {
    return this.#there().read(this.#task, lba, blocks)
  }
  write(
    lba: number,
    data: readonly Buffer[],
    options: { readonly forceUnitAccess: boolean },
  ): Promise<Outcome> {
    return this.#there().write(this.#task, lba, data, options)
  }
  unmap(extents: readonly BlockExtent[]): Promise<Outcome> {
    return this.#there().unmap(this.#task, extents)
  }
  flush(): Promise<Outcome> {
    return this.#there().flush(this.#task)
  }
  #there(): LogicalUnit<T> {
    assert(this.#unit, 'a command that needs a unit runs only where there is one')
    return this.#unit
  }
}

/**
 * A task bound to its unit, so that handlers need not know of either. Lives as long as the command.
 */
import { assert } from '../base/assert.ts'
import type { Clock } from '../ports/clock.ts'
import { BoundDevice } from './bound-device.ts'
import type { Call, CommandFacts, Outcome } from './call.ts'
import { commandTable } from './command-table.ts'
import type { CopyDevice } from './copy/copy-device.ts'
import type { TokenStore } from './copy/token-store.ts'
import type {
  AllocationRun,
  BlockExtent,
  LogicalUnit,
  Nexus,
  Task,
  UnitDescription,
  UnitFacts,
  WriteOptions,
} from './logical-unit.ts'
import type { Sense } from './result.ts'
import type { UnitAttentions } from './unit-attention.ts'
import type { UnitConditions } from './unit-conditions.ts'
import { isWriteProtected, stateSense } from './unit-readiness.ts'
import type { UnitSettings } from './unit-settings.ts'

/** What belongs to the target rather than to one unit. */
export interface Surroundings<T extends Task> {
  readonly directory: {
    luns(): readonly number[]
    unit(lun: number): LogicalUnit<T> | undefined
  }
  readonly attentions: UnitAttentions
  readonly clock: Clock | undefined
  /** Of a unit where initiators may set something. */
  conditions(unit: UnitDescription): UnitConditions | undefined
}

export class BoundCall<T extends Task> implements Call {
  readonly #task: T
  readonly #unit: LogicalUnit<T> | undefined
  readonly #around: Surroundings<T>
  readonly dataOut: readonly Buffer[]

  constructor(
    task: T,
    unit: LogicalUnit<T> | undefined,
    dataOut: readonly Buffer[],
    around: Surroundings<T>,
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
  get announcedBytes(): number | undefined {
    return this.#task.announcedBytes
  }
  get aborted(): boolean {
    return this.#task.aborted
  }
  get clock(): Clock | undefined {
    return this.#around.clock
  }
  get hasUnit(): boolean {
    return this.#unit !== undefined
  }
  get facts(): UnitFacts {
    return this.#there().facts
  }
  get unit(): UnitDescription {
    return this.#there()
  }
  get settings(): UnitSettings {
    const unit = this.#there()
    assert(unit.settings, 'a command that sets something runs only where it can be kept')
    return unit.settingsFor?.(this.#task) ?? unit.settings
  }
  get conditions(): UnitConditions {
    const conditions = this.#around.conditions(this.#there())
    assert(conditions, 'a command that sets something runs only where it can be kept')
    return conditions
  }
  get tokens(): TokenStore {
    const { tokens } = this.#there()
    assert(tokens, 'a command about tokens runs only where they can be kept')
    return tokens
  }
  copyDevice(matches?: (facts: UnitFacts) => boolean): CopyDevice | undefined {
    const { directory } = this.#around
    const luns = matches === undefined ? [this.#task.lun] : directory.luns()
    for (const lun of luns) {
      const unit = directory.unit(lun)
      if (unit?.settings === undefined || matches?.(unit.facts) === false) continue
      return new BoundDevice({ task: this.#task, unit, lun }, this.#around)
    }
    return undefined
  }
  get writeProtected(): boolean {
    return isWriteProtected(this.#there())
  }
  get luns(): readonly number[] {
    return this.#around.directory.luns()
  }
  get commands(): readonly CommandFacts[] {
    const unit = this.#there()
    return commandTable.filter((row) => row.isOf(unit))
  }
  /** A driver's detached task is of the kind that its units take. */
  detached(): Call {
    const task = (this.#task.detached?.() ?? this.#task) as T
    return new BoundCall(task, this.#unit, [], this.#around)
  }
  whenAborted(run: () => void): void {
    this.#task.whenAborted?.(run)
  }
  takeAttention(): Sense | undefined {
    return this.#around.attentions.take(this.nexus, this.#task.lun)
  }
  clearReportedLuns(): void {
    this.#around.attentions.clearReportedLuns(this.nexus)
  }
  get initiatorPorts(): readonly string[] {
    return this.#around.attentions.initiatorPorts
  }
  async abortTasksOf(initiatorPorts: readonly string[]): Promise<void> {
    await this.#task.abortTasksOf?.(initiatorPorts)
  }
  raise(attention: Sense, to = (nexus: Nexus) => nexus !== this.nexus): void {
    this.#around.attentions.raise(attention, [this.#task.lun], to)
  }
  stateSense(): Sense | undefined {
    const unit = this.#there()
    return stateSense(unit, this.#around.conditions(unit))
  }
  notReady(): Sense | undefined {
    return this.#there().notReady?.(this.#task)
  }
  read(lba: number, blocks: number): Promise<Outcome> {
    return this.#there().read(this.#task, lba, blocks)
  }
  write(lba: number, data: readonly Buffer[], options: WriteOptions): Promise<Outcome> {
    return this.#there().write(this.#task, lba, data, options)
  }
  compareAndWrite(
    lba: number,
    data: { readonly compare: readonly Buffer[]; readonly write: readonly Buffer[] },
    options: WriteOptions,
  ): Promise<Outcome> {
    return this.#there().compareAndWrite(this.#task, lba, data, options)
  }
  orWrite(lba: number, data: readonly Buffer[], options: WriteOptions): Promise<Outcome> {
    return this.#there().orWrite(this.#task, lba, data, options)
  }
  writeAtomic(lba: number, data: readonly Buffer[], options: WriteOptions): Promise<Outcome> {
    return this.#there().writeAtomic(this.#task, lba, data, options)
  }
  mapping(range: BlockExtent, runs: number): Promise<readonly AllocationRun[] | Outcome> {
    return this.#there().mapping(this.#task, range, runs)
  }
  unmap(extents: readonly BlockExtent[]): Promise<Outcome> {
    return this.#there().unmap(this.#task, extents)
  }
  flush(): Promise<Outcome> {
    return this.#there().flush(this.#task)
  }
  activatePortGroup(): Promise<Outcome> {
    const { portGroups } = this.#there()
    assert(portGroups, 'port groups are set only where there are some')
    return portGroups.activate(this.#task)
  }
  #there(): LogicalUnit<T> {
    assert(this.#unit, 'a command that needs a unit runs only where there is one')
    return this.#unit
  }
}

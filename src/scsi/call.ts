/**
 * One command as its handler sees it: the CDB, the data, and the logical unit with the task already
 * bound in. A handler knows no transport, no other command and no LUN but its own.
 */

import type { Clock } from '../ports/clock.ts'
import type { CopyDevice } from './copy/copy-device.ts'
import type { TokenStore } from './copy/token-store.ts'
import type {
  AllocationRun,
  BlockExtent,
  Nexus,
  Silence,
  UnitDescription,
  UnitFacts,
  WriteOptions,
} from './logical-unit.ts'
import type { ScsiResult, Sense } from './result.ts'
import type { UnitConditions } from './unit-conditions.ts'
import type { UnitSettings } from './unit-settings.ts'

export type Outcome = ScsiResult | Silence

export interface Call {
  readonly nexus: Nexus
  readonly cdb: Buffer
  /** For operations that go on for long; absent where time does not pass by itself. */
  readonly clock: Clock | undefined
  /** True once nobody waits for the answer. */
  readonly aborted: boolean
  /** Bytes that the initiator means to send, where the transport knows. */
  readonly announcedBytes: number | undefined
  /** Data that came with the command; empty while it is being checked on arrival. */
  readonly dataOut: readonly Buffer[]
  /** False for the few commands that answer for a LUN that is not there; then `facts` is not. */
  readonly hasUnit: boolean
  readonly facts: UnitFacts
  readonly unit: UnitDescription
  /** Only for commands of units where initiators may set something. */
  readonly settings: UnitSettings
  readonly conditions: UnitConditions
  /** Only for commands of units that have tokens. */
  readonly tokens: TokenStore
  /** By the unit's nature or by an initiator (SWP). */
  readonly writeProtected: boolean
  readonly luns: readonly number[]
  /** The commands that this unit has. */
  readonly commands: readonly CommandFacts[]
  /** For an operation that goes on when the command, its session and its data are gone. */
  detached(): Call
  /** Calls `run` once when nobody waits for the answer any more. */
  whenAborted(run: () => void): void
  /** The pending unit attention of this nexus, which is thereby cleared. */
  takeAttention(): Sense | undefined
  clearReportedLuns(): void
  /** Initiator ports that are logged in here. */
  readonly initiatorPorts: readonly string[]
  /**
   * Ends the commands for this unit of other nexuses, by their initiator ports. Resolves when these
   * can touch nothing any more.
   */
  abortTasksOf(initiatorPorts: readonly string[]): Promise<void>
  /** Establishes a unit attention on this unit for the nexuses named, by default all others. */
  raise(attention: Sense, to?: (nexus: Nexus) => boolean): void
  /** The unit cannot serve the medium now, for reasons of its own. */
  notReady(): Sense | undefined
  /** What initiators did to the unit (ejected, stopped, sanitized) that keeps it from its work. */
  stateSense(): Sense | undefined
  /**
   * A unit of this target that the task may copy from or to: this one, or the first whose facts
   * match.
   */
  copyDevice(matches?: (facts: UnitFacts) => boolean): CopyDevice | undefined
  read(lba: number, blocks: number): Promise<Outcome>
  write(lba: number, data: readonly Buffer[], options: WriteOptions): Promise<Outcome>
  compareAndWrite(
    lba: number,
    data: { readonly compare: readonly Buffer[]; readonly write: readonly Buffer[] },
    options: WriteOptions,
  ): Promise<Outcome>
  orWrite(lba: number, data: readonly Buffer[], options: WriteOptions): Promise<Outcome>
  writeAtomic(lba: number, data: readonly Buffer[], options: WriteOptions): Promise<Outcome>
  mapping(range: BlockExtent, runs: number): Promise<readonly AllocationRun[] | Outcome>
  unmap(extents: readonly BlockExtent[]): Promise<Outcome>
  flush(): Promise<Outcome>
  /** Only for units with port groups: makes that of this command active and optimized. */
  activatePortGroup(): Promise<Outcome>
}

/** What REPORT SUPPORTED OPERATION CODES tells of a command. */
export interface CommandFacts {
  readonly name: string
  readonly operationCode: number
  readonly serviceAction: number | undefined
  readonly usageData: Buffer
}

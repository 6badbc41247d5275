/**
 * One command as its handler sees it: the CDB, the data, and the logical unit with the task already
 * bound in. A handler knows no transport, no other command and no LUN but its own.
 */
import type { BlockExtent, Nexus, Silence, UnitFacts } from './logical-unit.ts'
import type { ScsiResult, Sense } from './result.ts'

export type Outcome = ScsiResult | Silence

export interface Call {
  readonly nexus: Nexus
  readonly cdb: Buffer
  /** True once nobody waits for the answer. */
  readonly aborted: boolean
  /** Data that came with the command; empty while it is being checked on arrival. */
  readonly dataOut: readonly Buffer[]
  /** False for the few commands that answer for a LUN that is not there; then `facts` is not. */
  readonly hasUnit: boolean
  readonly facts: UnitFacts
  readonly luns: readonly number[]
  /** The commands that this unit has. */
  readonly commands: readonly CommandFacts[]
  /** The pending unit attention of this nexus, which is thereby cleared. */
  takeAttention(): Sense | undefined
  clearReportedLuns(): void
  notReady(): Sense | undefined
  read(lba: number, blocks: number): Promise<Outcome>
  write(
    lba: number,
    data: readonly Buffer[],
    options: { readonly forceUnitAccess: boolean },
  ): Promise<Outcome>
  unmap(extents: readonly BlockExtent[]): Promise<Outcome>
  flush(): Promise<Outcome>
}

/** What REPORT SUPPORTED OPERATION CODES tells of a command. */
export interface CommandFacts {
  readonly name: string
  readonly operationCode: number
  readonly serviceAction: number | undefined
  readonly usageData: Buffer
}

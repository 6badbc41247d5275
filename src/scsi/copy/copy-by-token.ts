/** What POPULATE TOKEN and WRITE USING TOKEN have in common: a list, and a copy under its identifier. */
import type { Call, Outcome } from '../call.ts'
import { type Command, command } from '../command.ts'
import type { BlockExtent, UnitDescription } from '../logical-unit.ts'
import { good, type ScsiResult } from '../result.ts'
import type { populateToken } from './cdb-copy.ts'
import type { CopyRecord } from './copy-records.ts'
import { checkListLength, parameterList } from './parameter-list.ts'

export interface CopySteps<Wanted> {
  /** What the blocks of this unit are used for. */
  readonly use: 'read' | 'write'
  /** What a parameter list asks for, or what is wrong with it. */
  parse(call: Call, list: Buffer): Wanted | ScsiResult
  work(call: Call, wanted: Wanted, record: CopyRecord): Promise<Outcome>
}

/** Tokens exist where the program keeps a store for them. */
export const whereTokens = (unit: UnitDescription): boolean =>
  unit.settings !== undefined && unit.tokens !== undefined

export function copyByToken<Wanted extends { readonly ranges: readonly BlockExtent[] }>(
  layout: typeof populateToken,
  { use, parse, work }: CopySteps<Wanted>,
): Command {
  return command(layout, {
    medium: use,
    reservation: use,
    when: whereTokens,
    transfer: ({ parameterListLength }) => ({ direction: 'out', bytes: parameterListLength }),
    check: (_call, { parameterListLength }) => checkListLength(parameterListLength),
    run(call, { listIdentifier, parameterListLength }) {
      if (parameterListLength === 0) return good()
      const wanted = parse(call, parameterList(call, parameterListLength))
      if ('status' in wanted) return wanted
      const { blockBytes } = call.facts
      const copy = { listIdentifier, blockBytes, serviceAction: layout.serviceAction ?? 0 }
      return call.conditions.copies.run(call.nexus, copy, (record) => work(call, wanted, record))
    },
  })
}

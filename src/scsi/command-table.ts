/**
 * Every command that a logical unit has, and nothing that it has not: what is not found here ends
 * in INVALID COMMAND OPERATION CODE. A row is the only place that knows a command; what is checked,
 * transferred, run and reported about it comes from there.
 */
import { assert } from '../base/assert.ts'
import type { Command } from './command.ts'
import { compareAndWriteCommands } from './compare-and-write.ts'
import { extendedCopyCommands } from './copy/extended-copy.ts'
import { populateTokenCommands } from './copy/populate-token.ts'
import { receiveCopyResultsCommands } from './copy/receive-copy-results.ts'
import { receiveRodTokenCommands } from './copy/receive-rod-token.ts'
import { writeUsingTokenCommands } from './copy/write-using-token.ts'
import { defectDataCommands } from './defect-data.ts'
import { inquiryCommands } from './inquiry.ts'
import { lbaStatusCommands } from './lba-status.ts'
import { logSelectCommands } from './log-select.ts'
import { logSenseCommands } from './log-sense.ts'
import type { LogicalUnit } from './logical-unit.ts'
import { modeSelectCommands } from './mode-select.ts'
import { modeSenseCommands } from './mode-sense.ts'
import { orWriteCommands } from './or-write.ts'
import { persistentReserveInCommands } from './persistent-reserve-in.ts'
import { persistentReserveOutCommands } from './persistent-reserve-out.ts'
import { prefetchCommands } from './pre-fetch.ts'
import { readCapacityCommands } from './read-capacity.ts'
import { readWriteCommands } from './read-write.ts'
import { reportCommandsCommands } from './report-commands.ts'
import { reportLunsCommands } from './report-luns.ts'
import { reportTaskManagementCommands } from './report-task-management.ts'
import { reserveReleaseCommands } from './reserve-release.ts'
import { sanitizeCommands } from './sanitize.ts'
import { startStopCommands } from './start-stop.ts'
import { targetPortGroupCommands } from './target-port-groups.ts'
import { unitStateCommands } from './unit-state.ts'
import { unmapCommands } from './unmap.ts'
import { verifyCommands } from './verify.ts'
import { writeAtomicCommands } from './write-atomic.ts'
import { writeSameCommands } from './write-same.ts'
import { writeVerifyCommands } from './write-verify.ts'

export const commandTable: readonly Command[] = [
  ...unitStateCommands,
  ...targetPortGroupCommands,
  ...startStopCommands,
  ...sanitizeCommands,
  ...reportTaskManagementCommands,
  ...modeSelectCommands,
  ...logSelectCommands,
  ...logSenseCommands,
  ...defectDataCommands,
  ...inquiryCommands,
  ...modeSenseCommands,
  ...reportLunsCommands,
  ...reportCommandsCommands,
  ...readCapacityCommands,
  ...readWriteCommands,
  ...verifyCommands,
  ...writeSameCommands,
  ...unmapCommands,
  ...writeVerifyCommands,
  ...writeAtomicCommands,
  ...prefetchCommands,
  ...orWriteCommands,
  ...lbaStatusCommands,
  ...compareAndWriteCommands,
  ...persistentReserveInCommands,
  ...persistentReserveOutCommands,
  ...reserveReleaseCommands,
  ...extendedCopyCommands,
  ...receiveCopyResultsCommands,
  ...populateTokenCommands,
  ...writeUsingTokenCommands,
  ...receiveRodTokenCommands,
].sort((one, other) => place(one) - place(other))

function place({ operationCode, serviceAction = 0 }: Command): number {
  return operationCode * 0x100 + serviceAction
}

type Slot = Command | ReadonlyMap<number, Command> | undefined

/** One slot for each operation code: a command, or one for each service action. */
const slots: readonly Slot[] = Array.from({ length: 256 }, (_, operationCode) => {
  const rows = commandTable.filter((row) => row.operationCode === operationCode)
  const plain = rows.find((row) => row.serviceAction === undefined)
  assert(!plain || rows.length === 1, `${operationCode.toString(16)}h is declared twice`)
  if (plain || rows.length === 0) return plain
  const actions = new Map(rows.map((row) => [row.serviceAction!, row]))
  assert(actions.size === rows.length, `${operationCode.toString(16)}h: an action twice`)
  return actions
})

/** SERVICE ACTION is in the low five bits of byte 1 in every CDB here. SPC-4 4.2.5.2. */
export function findCommand(cdb: Buffer): Command | undefined {
  const slot = slots[cdb[0]!]
  return slot instanceof Map ? slot.get(cdb[1]! & 0x1f) : (slot as Command | undefined)
}

/** True when the unit has the operation code, with other service actions than this one. */
export function isOtherServiceAction(cdb: Buffer, unit: LogicalUnit<never>): boolean {
  const slot = slots[cdb[0]!]
  return slot instanceof Map && [...slot.values()].some((row) => row.isOf(unit))
}

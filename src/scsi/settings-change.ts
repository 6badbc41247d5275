/** What an initiator hears of a change of the unit's settings that was not made for certain. */
import { checkCondition, type ScsiResult, Status } from './result.ts'
import { COMMAND_TIMEOUT_DURING_PROCESSING } from './sense.ts'

const busy: ScsiResult = { status: Status.BUSY }
const inDoubt = checkCondition(COMMAND_TIMEOUT_DURING_PROCESSING)

export function notChanged(outcome: 'unavailable' | 'unknown'): ScsiResult {
  return outcome === 'unavailable' ? busy : inDoubt
}

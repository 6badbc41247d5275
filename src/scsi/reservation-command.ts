/**
 * Carries out a change of the reservations for a command: decides on the newest table, has the
 * change made, begins again where somebody was faster. What a refusal of the rules is for the
 * initiator stands here too.
 */
import { assertNever } from '../base/assert.ts'
import type { Call, Outcome } from './call.ts'
import { invalidFieldInCdb } from './command.ts'
import type { Decision, Refusal } from './reservation-changes.ts'
import type { ReservationTable } from './reservation-table.ts'
import { checkCondition, good, type ScsiResult, Status } from './result.ts'
import {
  COMMAND_TIMEOUT_DURING_PROCESSING,
  INSUFFICIENT_REGISTRATION_RESOURCES,
  INVALID_FIELD_IN_PARAMETER_LIST,
  INVALID_RELEASE_OF_PERSISTENT_RESERVATION,
} from './sense.ts'

const conflict: ScsiResult = { status: Status.RESERVATION_CONFLICT }
const busy: ScsiResult = { status: Status.BUSY }

const answers: Readonly<Record<Refusal, ScsiResult>> = {
  conflict,
  'invalid-release': checkCondition(INVALID_RELEASE_OF_PERSISTENT_RESERVATION),
  'zero-key': checkCondition(INVALID_FIELD_IN_PARAMETER_LIST),
  'nothing-held': invalidFieldInCdb,
  'registered-already': checkCondition(INVALID_FIELD_IN_PARAMETER_LIST),
  insufficient: checkCondition(INSUFFICIENT_REGISTRATION_RESOURCES),
}

export async function changeReservations(
  call: Call,
  decide: (table: ReservationTable) => Decision,
): Promise<Outcome> {
  const { settings } = call
  for (;;) {
    const former = settings.state
    const decision = decide(former.reservations)
    if (decision.kind === 'unchanged') return good()
    if (decision.kind === 'refused') return answers[decision.why]
    const { table, takesAway, aborts } = decision
    const next = { ...former, reservations: table }
    const outcome = await settings.change(former, next, { takesAway })
    switch (outcome) {
      case 'done':
        if (aborts.length > 0) await call.abortTasksOf(aborts)
        return good()
      case 'changed':
        break
      case 'unavailable':
        return busy
      case 'unknown':
        return checkCondition(COMMAND_TIMEOUT_DURING_PROCESSING)
      default:
        return assertNever(outcome)
    }
  }
}

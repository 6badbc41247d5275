/**
 * TASK REASSIGN: a task whose connection was removed for recovery goes on over another one (RFC 7143
 * 7.2.2, 11.5.6). Either it is still under way, or it was answered and the answer has not been
 * acknowledged. ErrorRecoveryLevel 2 only.
 */
import type { TaskManagementRequest } from '../iscsi/pdu/task-management-request.ts'
import { TaskManagementOutcome as Outcome } from '../iscsi/pdu/task-management-response.ts'
import type { SessionConnection } from './session-connection.ts'

/** `go` is to be called once "function complete" was sent. */
export function reassign(
  request: TaskManagementRequest,
  members: readonly SessionConnection[],
  to: SessionConnection,
): number | { readonly go: () => void } {
  if (to.parameters.errorRecoveryLevel < 2) return Outcome.REASSIGNMENT_NOT_SUPPORTED
  for (const member of members) {
    const move = moveFrom(member, request, to)
    if (move === undefined) continue
    return member.phase === 'lost' && member.recovered ? { go: move } : Outcome.TASK_STILL_ALLEGIANT
  }
  return Outcome.TASK_DOES_NOT_EXIST
}

/** Undefined: the task is not there. */
function moveFrom(
  member: SessionConnection,
  request: TaskManagementRequest,
  to: SessionConnection,
): (() => void) | undefined {
  const { referencedTaskTag, expDataSn } = request
  const task = member.tasks?.find(referencedTaskTag)
  if (task !== undefined) {
    return () => {
      member.tasks?.release(task)
      to.tasks?.adopt(task, expDataSn)
    }
  }
  const { sent } = member.sender
  const answer = sent?.answer(referencedTaskTag)
  if (answer === undefined) return undefined
  return () => {
    sent?.forget(answer)
    to.sender.sent?.keep(answer.reassigned(to.sender, to.sendLimits, expDataSn))
  }
}

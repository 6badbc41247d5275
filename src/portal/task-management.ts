/**
 * Task management functions (RFC 7143 4.2.3, 11.5, 11.6). They act on the tasks of their own
 * session only: resets across initiators are a change of configuration here. "Function complete"
 * is answered only when what was aborted can no longer touch the store; where that takes too long
 * the answer is "rejected", and the task stays in doubt.
 */
import { portal } from '../base/limits.ts'
import { decodeLun } from '../iscsi/lun-field.ts'
import {
  TaskManagementFunction as TaskFunction,
  type TaskManagementRequest,
  taskManagementRequest,
} from '../iscsi/pdu/task-management-request.ts'
import {
  TaskManagementOutcome as Outcome,
  taskManagementResponse,
} from '../iscsi/pdu/task-management-response.ts'
import type { Clock } from '../ports/clock.ts'
import type { Sender } from './sender.ts'
import type { CommandTask } from './task.ts'
import type { TaskSet } from './task-set.ts'

export interface TaskManagementOptions {
  readonly tasks: TaskSet
  readonly hasUnit: (lun: number) => boolean
  readonly sender: Sender
  readonly clock: Clock
  /** After TARGET COLD RESET the connection ends. */
  readonly close: (cause: string) => void
}

/** Runs one request; `answered` is called when its place in the window is free. */
export function manageTasks(
  header: Buffer,
  options: TaskManagementOptions,
  answered: () => void,
): void {
  const request = taskManagementRequest.decode(header)
  const { tasks, clock, close } = options
  const cold = request.function === TaskFunction.TARGET_COLD_RESET
  const answer = (outcome: number): void => {
    answered()
    respond(options.sender, request.initiatorTaskTag, outcome)
    if (cold && outcome === Outcome.COMPLETE) close('target cold reset')
  }
  const affected = affectedTasks(request, options)
  if (typeof affected === 'number') {
    answer(affected)
    return
  }
  for (const task of affected) tasks.abort(task)
  whenAllEnded(affected, clock, (all) => answer(all ? Outcome.COMPLETE : Outcome.REJECTED))
}

/** The tasks that the function is about, or the answer where there is nothing to do. */
function affectedTasks(
  request: TaskManagementRequest,
  { tasks, hasUnit }: TaskManagementOptions,
): CommandTask[] | number {
  switch (request.function) {
    case TaskFunction.ABORT_TASK: {
      const task = tasks.find(request.referencedTaskTag)
      return task === undefined ? Outcome.TASK_DOES_NOT_EXIST : [task]
    }
    case TaskFunction.ABORT_TASK_SET:
    case TaskFunction.CLEAR_TASK_SET:
    case TaskFunction.LOGICAL_UNIT_RESET: {
      const lun = decodeLun(request.lun)
      const theirs = tasks.all().filter((task) => task.lun === lun)
      // A unit that has just been deleted may still have tasks, and these have to end.
      return theirs.length > 0 || hasUnit(lun) ? theirs : Outcome.LUN_DOES_NOT_EXIST
    }
    case TaskFunction.TARGET_WARM_RESET:
    case TaskFunction.TARGET_COLD_RESET:
      return tasks.all()
    case TaskFunction.TASK_REASSIGN:
      return Outcome.REASSIGNMENT_NOT_SUPPORTED
    default:
      return Outcome.FUNCTION_NOT_SUPPORTED
  }
}

/** Calls `done` once: true when all have ended, false when the deadline came first. */
export function whenAllEnded(
  affected: readonly CommandTask[],
  clock: Clock,
  done: (all: boolean) => void,
): void {
  let left = affected.length
  if (left === 0) {
    done(true)
    return
  }
  let finished = false
  const finish = (all: boolean): void => {
    if (finished) return
    finished = true
    cancel()
    done(all)
  }
  const cancel = clock.after(portal.taskManagementDeadlineMs, () => finish(false))
  for (const task of affected) {
    task.whenEnded(() => {
      left--
      if (left === 0) finish(true)
    })
  }
}

function respond(sender: Sender, initiatorTaskTag: number, response: number): void {
  const header = taskManagementResponse.build({
    response,
    initiatorTaskTag,
    statSn: sender.takeStatSn(),
    expCmdSn: sender.window.expCmdSn,
    maxCmdSn: sender.window.maxCmdSn,
  })
  sender.send(header)
}

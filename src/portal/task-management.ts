/**
 * Task management functions (RFC 7143 4.2.3, 11.5, 11.6). "Function complete" is answered only when
 * what was aborted can no longer touch the store; where that takes too long the answer is
 * "rejected", and the task stays in doubt. Resets and CLEAR TASK SET concern the tasks of all
 * sessions with this target; in a session that speaks the generation they act on its own tasks
 * only, for there a reset across clients is a change of configuration.
 *
 * Deviation: RFC 7143 4.2.3.3 (d) has the target wait until other initiators have acknowledged all
 * statuses sent to them. Here only the connections of the asking session are waited for, because a
 * reset must not depend on an initiator that may be dead.
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
import type { Nexus } from '../scsi/logical-unit.ts'
import type { ScsiTarget } from '../scsi/scsi-target.ts'
import type { CommandOrder } from './command-order.ts'
import type { PortalTask } from './portal-host.ts'
import type { Sender } from './sender.ts'
import type { CommandTask } from './task.ts'

/** A session whose tasks may be concerned. */
export interface ManagedSession {
  readonly nexus: Nexus
  /** Tasks that have not ended, of all its connections. */
  tasks(): CommandTask[]
  /** Sends what is queued, then ends. */
  close(cause: string): void
}

/** The session that asks. */
export interface AskingSession extends ManagedSession {
  find(initiatorTaskTag: number): CommandTask | undefined
  /** Commands that have not had their turn. */
  readonly order: CommandOrder
  /** Other sessions with this target; `noSessions` where resets are the session's own affair. */
  readonly others: readonly ManagedSession[]
}

export interface TaskManagementOptions {
  readonly session: AskingSession
  readonly target: ScsiTarget<PortalTask>
  readonly sender: Sender
  readonly clock: Clock
  /** TASK REASSIGN to the connection that asks; `go` is called once it was answered. */
  readonly reassign: (request: TaskManagementRequest) => number | { readonly go: () => void }
  /** Calls `done` when the initiator has seen what it was sent over other connections. */
  readonly whenOthersHeard: (done: () => void) => void
}

interface Affected {
  readonly own: readonly CommandTask[]
  readonly others: readonly CommandTask[]
  /** Commands that were sent before are still to come: they are concerned as well. */
  readonly wants?: (task: CommandTask) => boolean
}

/** Runs one request; `answered` is called when its place in the window is free. */
export function manageTasks(
  header: Buffer,
  options: TaskManagementOptions,
  answered: () => void,
): void {
  const request = taskManagementRequest.decode(header)
  const { session, clock, whenOthersHeard } = options
  const answer = (outcome: number): void => {
    answered()
    respond(options.sender, request.initiatorTaskTag, outcome)
  }
  if (request.function === TaskFunction.TASK_REASSIGN) {
    const reassigned = options.reassign(request)
    answer(typeof reassigned === 'number' ? reassigned : Outcome.COMPLETE)
    // RFC 7143 7.2.2: the response goes out before the reassignment takes effect.
    if (typeof reassigned !== 'number') reassigned.go()
    return
  }
  const affected = affectedTasks(request, options)
  if (typeof affected === 'number') {
    answer(affected)
    return
  }
  const abortAll = new Aborting(clock, (all) => {
    if (!all) answer(Outcome.REJECTED)
    else whenOthersHeard(() => complete(request, options, affected, answer))
  })
  for (const task of [...affected.own, ...affected.others]) abortAll.add(task)
  const { wants } = affected
  if (wants !== undefined) {
    abortAll.hold((release) =>
      session.order.catchEarlier(
        request.cmdSn,
        (task) => {
          if (wants(task)) abortAll.add(task)
        },
        release,
      ),
    )
  }
  abortAll.begun()
}

/** What was aborted is over: the units take note, then the initiator hears of it. */
function complete(
  request: TaskManagementRequest,
  { session, target }: TaskManagementOptions,
  affected: Affected,
  answer: (outcome: number) => void,
): void {
  const { nexus } = session
  const lun = decodeLun(request.lun)
  const isShared = session.others !== noSessions
  switch (request.function) {
    case TaskFunction.LOGICAL_UNIT_RESET:
      if (isShared) target.reset(nexus, { kind: 'unit', lun })
      break
    case TaskFunction.TARGET_WARM_RESET:
    case TaskFunction.TARGET_COLD_RESET:
      if (isShared) target.reset(nexus, { kind: 'target' })
      break
    case TaskFunction.CLEAR_TASK_SET: {
      const cleared = new Set(affected.others.map((task) => task.nexus))
      if (cleared.size > 0) target.tasksCleared([...cleared], lun)
    }
  }
  answer(Outcome.COMPLETE)
  if (request.function !== TaskFunction.TARGET_COLD_RESET) return
  // RFC 7143 11.5.1: a cold reset ends the connections, after the answer.
  for (const each of [...session.others, session]) each.close('target cold reset')
}

/** The value of `others` where a function is the session's own affair. */
export const noSessions: readonly ManagedSession[] = []

/** The tasks that the function is about, or the answer where there is nothing to do. */
function affectedTasks(
  request: TaskManagementRequest,
  { session, target }: TaskManagementOptions,
): Affected | number {
  const others = (): CommandTask[] => session.others.flatMap((each) => each.tasks())
  switch (request.function) {
    case TaskFunction.ABORT_TASK: {
      const task = session.find(request.referencedTaskTag)
      if (task !== undefined) return { own: [task], others: [] }
      return session.order.cancelAwaited(request) ? Outcome.COMPLETE : Outcome.TASK_DOES_NOT_EXIST
    }
    case TaskFunction.ABORT_TASK_SET:
    case TaskFunction.CLEAR_TASK_SET:
    case TaskFunction.LOGICAL_UNIT_RESET: {
      const lun = decodeLun(request.lun)
      const wants = (task: CommandTask): boolean => task.lun === lun
      const own = session.tasks().filter(wants)
      // A unit that has just been deleted may still have tasks, and these have to end.
      if (own.length === 0 && !target.hasUnit(lun)) return Outcome.LUN_DOES_NOT_EXIST
      const isOwn = request.function === TaskFunction.ABORT_TASK_SET
      return { own, others: isOwn ? [] : others().filter(wants), wants }
    }
    case TaskFunction.TARGET_WARM_RESET:
    case TaskFunction.TARGET_COLD_RESET:
      // RFC 7143 4.2.3.3: what has not come yet may be taken for received here.
      session.order.plug(request.cmdSn)
      return { own: session.tasks(), others: others() }
    default:
      return Outcome.FUNCTION_NOT_SUPPORTED
  }
}

/** Aborts tasks and waits for their end; calls `done` once, with false when the deadline came first. */
export class Aborting {
  readonly #done: (all: boolean) => void
  readonly #cancel: () => void
  #left = 1
  #finished = false
  #stopHolding: (() => void) | undefined

  constructor(clock: Clock, done: (all: boolean) => void) {
    this.#done = done
    this.#cancel = clock.after(portal.taskManagementDeadlineMs, () => this.#finish(false))
  }

  add(task: CommandTask): void {
    this.#left++
    task.home.abort(task)
    task.whenEnded(() => this.#one())
  }

  /** Does not end before `release` was called; what `wait` answers is called when it gives up. */
  hold(wait: (release: () => void) => () => void): void {
    this.#left++
    this.#stopHolding = wait(() => this.#one())
  }

  /** All tasks that are known now were added. */
  begun(): void {
    this.#one()
  }

  #one(): void {
    this.#left--
    if (this.#left === 0) this.#finish(true)
  }

  #finish(all: boolean): void {
    if (this.#finished) return
    this.#finished = true
    this.#cancel()
    this.#stopHolding?.()
    this.#done(all)
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
  sender.respond(header)
}

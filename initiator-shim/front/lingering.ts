/**
 * Writes that were aborted, or whose session has ended, and that can still touch the store. What
 * their initiator reads or writes over another session of its own waits for them: it may be the same
 * write again, and what was sent first must not come last. (In the same session, and for a new one,
 * the answer to the abort or to the login comes after their end.) Owned by a volume's front.
 */
import type { PortalTask } from '../../src/portal/portal-host.ts'

interface Running {
  readonly task: PortalTask
  readonly ended: Promise<void>
}

export class Lingering {
  /** By InitiatorName. */
  readonly #running = new Map<string, Set<Running>>()

  /** Undefined: nothing has to end before this task begins. */
  before(task: PortalTask): Promise<unknown> | undefined {
    const running = this.#running.get(task.nexus.initiatorName)
    if (running === undefined) return undefined
    const others: Promise<void>[] = []
    for (const each of running) {
      if (each.task.aborted && each.task.session !== task.session) others.push(each.ended)
    }
    return others.length === 0 ? undefined : Promise.all(others)
  }

  /** `ended` settles when the task can touch nothing any more. */
  begins(task: PortalTask, ended: Promise<unknown>): void {
    const { initiatorName } = task.nexus
    const running = this.#running.get(initiatorName) ?? new Set()
    this.#running.set(initiatorName, running)
    const end = (): void => {
      running.delete(each)
      if (running.size === 0) this.#running.delete(initiatorName)
    }
    const each: Running = { task, ended: ended.then(end, end) }
    running.add(each)
  }
}

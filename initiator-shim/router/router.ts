/**
 * Front commands of one volume to pieces and back: every piece runs on its own, the command is
 * answered when the last has ended. It owns the commands under way, ends them when their time is
 * over (BUSY), their initiator gave them up, or our admission changed, and asks after the life of
 * the front connections whose commands it holds.
 */
import { background } from '../../src/base/background.ts'
import { shim } from '../../src/base/limits.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import type { Cancel } from '../../src/ports/clock.ts'
import { type ScsiResult, Status } from '../../src/scsi/result.ts'
import type { VolumeState } from '../volume-state.ts'
import { Command, type Verdict } from './command.ts'
import { Holds } from './holds.ts'
import type { PieceRequest } from './piece-request.ts'
import { PieceRunner, type RunnerParts } from './piece-runner.ts'
import { RouterCounters } from './router-counters.ts'

export interface RouterOptions extends Omit<RunnerParts, 'holds' | 'counters' | 'held'> {
  /**
   * What initiators set on the volume that keeps the task from being carried out, or from going on:
   * its answer.
   */
  readonly keptFrom: (task: PortalTask) => ScsiResult | undefined
  /** How long commands are held before NOT READY. */
  readonly holdMs: () => number
}

/** The data of all pieces, in their order; or the one answer that the command gets. */
export type RouterOutcome =
  | { readonly kind: 'good'; readonly dataIn: readonly (readonly Buffer[])[] }
  | { readonly kind: 'failed'; readonly result: ScsiResult }

const busy: ScsiResult = { status: Status.BUSY }
const conflict: ScsiResult = { status: Status.RESERVATION_CONFLICT }
/** Nobody gets it: the initiator has aborted the task. */
const aborted: ScsiResult = { status: Status.TASK_ABORTED }

export class Router {
  readonly counters = new RouterCounters()
  readonly holds: Holds
  readonly #parts: RunnerParts
  readonly #state: VolumeState
  /** Commands under way, each with the way to answer it at once. */
  readonly #live = new Map<Command, (outcome: RouterOutcome) => void>()
  readonly #held = new Set<Command>()
  readonly #keptFrom: (task: PortalTask) => ScsiResult | undefined
  #admission: number
  #tick: Cancel | undefined

  constructor(options: RouterOptions) {
    const { state, clock } = options
    this.#state = state
    this.#keptFrom = options.keptFrom
    this.#admission = state.admission.admission
    this.holds = new Holds(clock, options.holdMs)
    this.#parts = {
      ...options,
      holds: this.holds,
      counters: this.counters,
      held: (command) => this.#hold(command),
    }
  }

  /** Runs the pieces of one front command. Settles when nothing of it is under way any more. */
  run(task: PortalTask, requests: readonly PieceRequest[]): Promise<RouterOutcome> {
    // A command of several requests asks for each: reservations may have changed since it began.
    const result = this.#state.admission.fenced ? conflict : this.#keptFrom(task)
    if (result !== undefined) {
      this.counters.conflicts++
      return Promise.resolve({ kind: 'failed', result })
    }
    this.counters.commands++
    const command = new Command(task, this.#parts.clock.nowMs())
    return new Promise((resolve, reject) => {
      const settle = (outcome: RouterOutcome): void => {
        if (!this.#live.delete(command)) return
        this.#settled(command, outcome)
        resolve(outcome)
      }
      this.#live.set(command, settle)
      task.whenAborted(() => command.end('aborted'))
      this.#runPieces(command, requests).then(settle, reject)
    })
  }

  async #runPieces(command: Command, requests: readonly PieceRequest[]): Promise<RouterOutcome> {
    const runs = requests.map((request) => new PieceRunner(this.#parts, command, request).run())
    const outcomes = runs.length === 1 ? [await runs[0]!] : await Promise.all(runs)
    const dataIn: (readonly Buffer[])[] = []
    for (const outcome of outcomes) {
      if (outcome.kind === 'failed') return outcome
      if (outcome.kind === 'good') dataIn.push(outcome.dataIn)
    }
    if (dataIn.length === outcomes.length) return { kind: 'good', dataIn }
    return { kind: 'failed', result: answerOf(command.verdict) }
  }

  #settled(command: Command, outcome: RouterOutcome): void {
    if (command.verdict === 'aborted') this.counters.dropped++
    if (!this.#held.delete(command) || outcome.kind !== 'good') return
    const stallMs = this.#parts.clock.nowMs() - command.acceptedAtMs
    this.counters.longestStallMs = Math.max(this.counters.longestStallMs, stallMs)
  }

  /**
   * After each new map. Another admission ends everything accepted before it, at once: the change
   * was committed, so what was sent under the former one is refused by every server.
   */
  mapChanged(): void {
    const { admission } = this.#state.admission
    if (admission === this.#admission) {
      this.endKept()
      return
    }
    this.#admission = admission
    for (const [command, settle] of [...this.#live]) {
      this.counters.conflicts++
      command.end(conflict)
      settle({ kind: 'failed', result: conflict })
    }
  }

  /**
   * What a reservation of another or a sanitize operation now forbids is not sent any more, and
   * neither is what ends here. What of it is at a server may be carried out there: then it was before the change, for its generation is the former one.
   */
  endKept(): void {
    for (const command of this.#live.keys()) {
      const result = command.verdict === undefined ? this.#keptFrom(command.task) : undefined
      if (result === undefined) continue
      this.counters.conflicts++
      command.end(result)
    }
  }

  /** PREEMPT AND ABORT at another front end: what is held for these initiator ports ends. */
  endTasksOf(initiatorPorts: ReadonlySet<string>): void {
    if (initiatorPorts.size === 0) return
    const theirs = [...this.#live.keys()].filter(({ task }) =>
      initiatorPorts.has(task.nexus.initiatorPort),
    )
    for (const { session, lun } of theirs.map(({ task }) => task)) {
      background(session.abortTasks(lun), () => undefined)
    }
  }

  /** A segment leaves its commands unanswered for longer than the hold time. */
  get notReady(): boolean {
    const { state, paths } = this.#parts
    for (const { segmentId, replicas } of state.map.segments) {
      const primary = replicas[0]
      if (primary !== undefined && paths.of(primary).up) this.holds.reachable(segmentId)
      if (this.holds.expired(segmentId)) return true
    }
    return false
  }

  get liveCount(): number {
    return this.#live.size
  }

  get heldCount(): number {
    return this.#held.size
  }

  #hold(command: Command): void {
    if (this.#held.has(command)) return
    this.#held.add(command)
    this.counters.held++
    this.#startTick()
  }

  #startTick(): void {
    this.#tick ??= this.#parts.clock.after(shim.holdTickMs, () => {
      this.#tick = undefined
      for (const command of [...this.#held]) this.#look(command)
      if (this.#held.size > 0) this.#startTick()
    })
  }

  /** A held command: is its initiator alive, is its time over? */
  #look(command: Command): void {
    const { clock, liveness } = this.#parts
    if (command.verdict === 'aborted') {
      command.wake.notify()
      return
    }
    liveness.alive(command.task.session)
    if (clock.nowMs() - command.acceptedAtMs >= shim.holdStretchMs) {
      if (command.verdict === undefined) this.counters.busy++
      command.end(busy)
    } else if ([...command.heldBy].some((segmentId) => this.holds.expired(segmentId))) {
      command.wake.notify()
    }
  }
}

function answerOf(verdict: Verdict | undefined): ScsiResult {
  return verdict === undefined || verdict === 'aborted' ? aborted : verdict
}

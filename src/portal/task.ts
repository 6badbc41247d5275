/**
 * One SCSI command of a session from its arrival to its end: what it says, how far it is, and who
 * wants to hear of it. It decides nothing and sends nothing; `TaskSet` owns it. RFC 7143 11.3.
 */
import type { DataOutSequence } from '../iscsi/data-out-sequence.ts'
import { decodeLun } from '../iscsi/lun-field.ts'
import type { ScsiCommand } from '../iscsi/pdu/scsi-command.ts'
import type { Nexus, Silence } from '../scsi/logical-unit.ts'
import type { ScsiResult } from '../scsi/result.ts'
import type { Transfer } from '../scsi/scsi-target.ts'
import type { Fence } from '../volume/generation-header.ts'
import { DetachedTask } from './detached-task.ts'
import type { FrontSession, PortalTask } from './portal-host.ts'

/**
 * `collecting`: data are to come. `ready`: waits for its turn. `running`: the unit may be touching
 * the store. `parked`: it has settled, but its connection is lost, and it may be reassigned.
 * `ended`: it can no longer touch anything.
 */
export type TaskPhase = 'collecting' | 'ready' | 'running' | 'parked' | 'ended'

/** Who has the task: its connection's set of them, which may change once. */
export interface TaskHome {
  settled(task: CommandTask, result: ScsiResult | Silence): void
  /** Marks the task aborted; what has not begun ends at once and is never answered. */
  abort(task: CommandTask): void
}

export interface TaskFacts {
  readonly home: TaskHome
  readonly session: FrontSession
  readonly command: ScsiCommand
  /** Sent as immediate: it holds no place in the command window. */
  readonly immediate: boolean
  readonly fence: Fence
  readonly transfer: Transfer
}

export class CommandTask implements PortalTask {
  readonly session: FrontSession
  readonly nexus: Nexus
  readonly lun: number
  readonly cdb: Buffer
  readonly fence: Fence
  readonly command: ScsiCommand
  readonly immediate: boolean
  readonly transfer: Transfer
  home: TaskHome
  phase: TaskPhase = 'collecting'
  writeData: DataOutSequence | undefined
  /**
   * Decided before all data had come; answered when the peer has sent what it announced. Or how it
   * settled, while it is parked.
   */
  verdict: ScsiResult | Silence | undefined
  /** What it holds of the budget for write data, or of that for read data. */
  heldBytes = 0
  /** Of these, what was granted: the others came unasked for. */
  grantedBytes = 0
  /** `Clock.nowMs` by which its data must have come. */
  dueAtMs = Number.POSITIVE_INFINITY
  /** `Clock.nowMs` at which the newest of its data came, or were asked for. */
  dataAtMs = 0
  /** How often `TaskSet.sweep` found it running: counted, for a look at the clock has its price. */
  sweeps = 0
  /** Its unit was told to stop because it took too long; unlike an aborted one it is answered. */
  overdue = false
  #aborted = false
  #whenAborted: (() => void)[] | undefined
  #whenEnded: (() => void)[] | undefined

  constructor(facts: TaskFacts) {
    this.home = facts.home
    this.session = facts.session
    this.nexus = facts.session.nexus
    this.command = facts.command
    this.lun = decodeLun(facts.command.lun)
    this.cdb = facts.command.cdb
    this.fence = facts.fence
    this.immediate = facts.immediate
    this.transfer = facts.transfer
  }

  /** RFC 7143 11.3.4: what the initiator expects to move, whatever its CDB says. */
  get announcedBytes(): number {
    return this.command.expectedDataTransferLength
  }

  get aborted(): boolean {
    return this.#aborted
  }

  abortTasksOf(initiatorPorts: readonly string[]): Promise<void> {
    return this.session.abortTasksOf(initiatorPorts, this.lun)
  }

  detached(): PortalTask {
    return new DetachedTask(this)
  }

  whenAborted(run: () => void): void {
    if (this.#aborted) run()
    else if (this.#whenAborted === undefined) this.#whenAborted = [run]
    else this.#whenAborted.push(run)
  }

  /** Calls `run` once when the task has ended; at once if it already has. */
  whenEnded(run: () => void): void {
    if (this.phase === 'ended') run()
    else if (this.#whenEnded === undefined) this.#whenEnded = [run]
    else this.#whenEnded.push(run)
  }

  /** Nobody waits for its answer any more. What has begun goes on until it settles. */
  abort(): void {
    if (this.#aborted) return
    this.#aborted = true
    const waiting = this.#whenAborted
    this.#whenAborted = undefined
    for (const run of waiting ?? []) run()
  }

  end(): void {
    this.phase = 'ended'
    this.#whenAborted = undefined
    const waiting = this.#whenEnded
    this.#whenEnded = undefined
    for (const run of waiting ?? []) run()
  }
}

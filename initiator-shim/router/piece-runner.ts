/**
 * Brings one piece of a front command to its end: sends it on its path, stamped with the newest
 * generation, judges the answer, and sends it again where that is allowed (design, sections 3, 8).
 *
 * A piece is *in doubt* from the loss of its session until the next login of that server was
 * answered, or until a newer map took the segment away from it. It is never sent again before that,
 * and neither is anything else to that server, so a command in doubt may be answered BUSY: what the
 * initiator sends next cannot be overtaken by it. An aborted command waits until it is in doubt no
 * more, because its end means that it can no longer touch the store. A piece that must not take effect
 * twice (`once`) goes out after a doubt as a repetition of the same sending, by its identity; where
 * the server does not know what became of that, the initiator is told that nobody knows.
 */
import { assert, assertNever } from '../../src/base/assert.ts'
import { shim } from '../../src/base/limits.ts'
import type { LegAnswer } from '../../src/leg/leg-command.ts'
import { anyOf, type Signal } from '../../src/leg/signal.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import { checkCondition, type ScsiResult } from '../../src/scsi/result.ts'
import {
  INTERNAL_TARGET_FAILURE,
  LOGICAL_UNIT_NOT_READY,
  LOGICAL_UNIT_NOT_SUPPORTED,
} from '../../src/scsi/sense.ts'
import type { Replica } from '../../src/volume/map.ts'
import type { RequestIdentity } from '../../src/volume/request-identity.ts'
import type { Liveness } from '../front/liveness.ts'
import type { PathSet } from '../paths/path-set.ts'
import type { ServerPath } from '../paths/server-path.ts'
import type { VolumeState } from '../volume-state.ts'
import { type Command, outcomeUnknown } from './command.ts'
import type { Holds } from './holds.ts'
import { judge } from './judgement.ts'
import type { PieceOutcome, PieceRequest } from './piece-request.ts'
import type { RequestIdentities, Sending } from './request-identities.ts'
import type { RouterCounters } from './router-counters.ts'

export interface RunnerParts {
  readonly clock: Clock
  readonly log: Log
  readonly state: VolumeState
  readonly paths: PathSet
  readonly liveness: Liveness
  /** What its initiator answered that was sent before does not count as a proof of its life. */
  readonly provenSince: (task: PortalTask) => number
  readonly holds: Holds
  readonly counters: RouterCounters
  readonly identities: RequestIdentities
  /** A command has to wait for the first time. */
  readonly held: (command: Command) => void
}

/** Where a piece was sent when its session was lost. */
interface Doubt {
  readonly path: ServerPath
  readonly login: number
  readonly generation: number
}

type NextStep =
  | { readonly kind: 'send'; readonly path: ServerPath; readonly replica: Replica }
  | { readonly kind: 'failed'; readonly result: ScsiResult }
  /** `server`: the wait is the server's fault and counts as holding. */
  | { readonly kind: 'wait'; readonly signals: readonly Signal[]; readonly server: boolean }

const over: PieceOutcome = { kind: 'over' }
/** Its former sending has ended, and nobody knows with what effect. */
const unknown = { kind: 'failed', result: outcomeUnknown } as const
const unitNotSupported = checkCondition(LOGICAL_UNIT_NOT_SUPPORTED)
const notReady = checkCondition(LOGICAL_UNIT_NOT_READY)
const broken = checkCondition(INTERNAL_TARGET_FAILURE)

/** One piece on its way; made for each piece, used once. */
export class PieceRunner {
  readonly #parts: RunnerParts
  readonly #command: Command
  readonly #request: PieceRequest
  #doubt: Doubt | undefined
  /** Of a piece that must not take effect twice: the last time that it went out for the first time. */
  #sending: Sending | undefined
  /** That one may have had its effect. */
  #mayHaveHappened = false
  #retryMs: number = shim.retryFirstMs
  #holding = false

  constructor(parts: RunnerParts, command: Command, request: PieceRequest) {
    this.#parts = parts
    this.#command = command
    this.#request = request
  }

  async run(): Promise<PieceOutcome> {
    try {
      for (;;) {
        const outcome = await this.#step()
        if (outcome !== undefined) return this.#ended(outcome)
      }
    } finally {
      if (this.#sending !== undefined) this.#parts.identities.end(this.#sending)
      if (this.#holding) this.#parts.holds.release(this.#request.segmentId)
    }
  }

  #ended(outcome: PieceOutcome): PieceOutcome {
    const verdict = outcome.kind === 'failed' ? outcome.result : this.#command.verdict
    if (this.#request.once && verdict === outcomeUnknown) this.#outcomeUnknown()
    return outcome
  }

  /** One round: undefined asks for another. */
  #step(): PieceOutcome | Promise<PieceOutcome | undefined> {
    if (this.#command.verdict !== undefined) return this.#endByVerdict()
    const next = this.#next()
    if (next.kind === 'failed') return next
    if (next.kind === 'send') return this.#send(next.path, next.replica)
    return next.server ? this.#hold(next.signals) : this.#waitForProof(next.signals)
  }

  /** What can be done in this turn. */
  #next(): NextStep {
    const { state, paths, liveness, provenSince } = this.#parts
    if (state.gone) return { kind: 'failed', result: unitNotSupported }
    const replica = state.primary(this.#request.segmentId)
    if (replica === undefined) return { kind: 'wait', signals: [state.changed], server: true }
    const path = paths.of(replica)
    if (!path.up) {
      path.connect()
      return { kind: 'wait', signals: [path.changed, state.changed], server: true }
    }
    if (this.#inDoubt(path)) {
      return { kind: 'wait', signals: [path.changed, state.changed], server: true }
    }
    const { session } = this.#command.task
    if (liveness.alive(session, provenSince(this.#command.task))) {
      return { kind: 'send', path, replica }
    }
    return { kind: 'wait', signals: [liveness.changed(session)], server: false }
  }

  /** May what was lost still reach a store, were this piece sent on `path` now? */
  #inDoubt(path: ServerPath): boolean {
    const doubt = this.#doubt
    if (doubt === undefined) return false
    if (doubt.path === path) return path.logins <= doubt.login
    return this.#parts.state.map.generation <= doubt.generation
  }

  async #send(path: ServerPath, replica: Replica): Promise<PieceOutcome | undefined> {
    const { state, counters } = this.#parts
    if (this.#doubt !== undefined) counters.resentAfterLoss++
    this.#doubt = undefined
    const { generation } = state.map
    const { logins } = path
    const { lun, startBlock } = replica
    const { dataInBytes } = this.#request
    const cdb = this.#request.cdb(startBlock)
    const dataOut = this.#request.dataOut?.(startBlock)
    const task = path.send(
      { lun, cdb, dataOut, dataInBytes },
      generation,
      this.#identity(generation),
    )
    this.#command.flies(task)
    const answer = await task.answer
    this.#command.landed(task)
    if (answer.kind === 'status') return this.#answered(answer, generation)
    if (answer.kind === 'lost') {
      if (answer.sent) this.#becomesDoubtful({ path, login: logins, generation })
      return undefined
    }
    assert(this.#command.verdict !== undefined, 'only an ended command is aborted')
    return over
  }

  #answered(
    answer: LegAnswer & { readonly kind: 'status' },
    generation: number,
  ): PieceOutcome | undefined | Promise<undefined> {
    const { holds, counters, state, log } = this.#parts
    const judgement = judge(answer.status, answer.sense)
    switch (judgement.kind) {
      case 'good':
        holds.answered(this.#request.segmentId)
        return this.#checkLength(answer.dataIn)
      case 'failed':
        holds.answered(this.#request.segmentId)
        if (judgement.alarm !== undefined) this.#alarm(judgement.alarm)
        return { kind: 'failed', result: judgement.result }
      case 'newer-map':
        counters.repeat(judgement.why)
        // A newer map may have come while the command was under way: then it goes out at once.
        if (state.map.generation > generation) return undefined
        state.wantNewerThan(generation)
        return this.#hold([state.changed], shim.watchSilenceMs)
      case 'repeat':
        if (judgement.touched) this.#touched()
        counters.repeat(judgement.why)
        log.debug('a server asks to repeat', { volume: state.map.name, why: judgement.why })
        return this.#repeat()
      case 'unknown':
        holds.answered(this.#request.segmentId)
        return unknown
      default:
        return assertNever(judgement)
    }
  }

  #becomesDoubtful(doubt: Doubt): void {
    this.#doubt = doubt
    this.#touched()
  }

  #touched(): void {
    if (!this.#request.once) return
    this.#mayHaveHappened = true
    this.#command.mayHaveHappened()
  }

  /** The same one again only where it may have had its effect. */
  #identity(generation: number): RequestIdentity | undefined {
    if (!this.#request.once) return undefined
    const { identities } = this.#parts
    if (this.#sending === undefined || !this.#mayHaveHappened) {
      if (this.#sending !== undefined) identities.end(this.#sending)
      this.#sending = identities.begin(generation)
    }
    return identities.of(this.#sending, this.#mayHaveHappened)
  }

  #outcomeUnknown(): void {
    const { counters, log, state } = this.#parts
    counters.outcomeUnknown++
    const { name, generation } = state.map
    const { segmentId } = this.#request
    log.warn('outcome of a command unknown', { volume: name, generation, segment: segmentId })
  }

  async #repeat(): Promise<undefined> {
    const ms = this.#retryMs
    this.#retryMs = Math.min(2 * ms, shim.retryLongestMs)
    await this.#hold([this.#parts.state.changed], ms)
  }

  /** A target that says GOOD and sends less than was asked for is broken: never half an answer. */
  #checkLength(dataIn: readonly Buffer[]): PieceOutcome {
    let bytes = 0
    for (const buffer of dataIn) bytes += buffer.length
    const { dataInBytes = 0, mayBeShort = false } = this.#request
    if (bytes === dataInBytes || (mayBeShort && bytes < dataInBytes))
      return { kind: 'good', dataIn }
    this.#alarm('a server answered GOOD with too few data')
    return { kind: 'failed', result: broken }
  }

  #alarm(event: string): void {
    const { counters, log, state } = this.#parts
    counters.alarms++
    const { name, generation } = state.map
    log.error(event, { volume: name, generation, segment: this.#request.segmentId })
  }

  /** Waits because of the server; past the hold time the answer is NOT READY. */
  async #hold(signals: readonly Signal[], ms?: number): Promise<undefined> {
    const { holds, held, clock } = this.#parts
    const command = this.#command
    if (!this.#holding) {
      this.#holding = true
      holds.begin(this.#request.segmentId, command.acceptedAtMs)
    }
    if (holds.expired(this.#request.segmentId)) {
      command.end(notReady)
      return
    }
    command.holdFor(this.#request.segmentId)
    held(command)
    await anyOf([command.wake, ...signals], ms === undefined ? undefined : { clock, ms })
    return
  }

  async #waitForProof(signals: readonly Signal[]): Promise<undefined> {
    this.#parts.held(this.#command)
    await anyOf([this.#command.wake, ...signals])
    return
  }

  /** Nothing more is sent. An abort waits until what was sent cannot touch the store any more. */
  async #endByVerdict(): Promise<PieceOutcome | undefined> {
    const command = this.#command
    const doubt = this.#doubt
    if (command.verdict !== 'aborted' || doubt === undefined || this.#isSettled(doubt)) return over
    doubt.path.connect()
    const { clock, state } = this.#parts
    const ms = command.acceptedAtMs + shim.holdStretchMs - clock.nowMs()
    await anyOf([command.wake, doubt.path.changed, state.changed], { clock, ms })
    return undefined
  }

  /**
   * The doubt is over, or the wait has become longer than anybody's patience: then the command is
   * let go, in doubt, as after BUSY. The next login still comes before anything else is sent there.
   */
  #isSettled({ path, login, generation }: Doubt): boolean {
    const { clock, state } = this.#parts
    if (path.logins > login) return true
    if (state.map.generation > generation && (path.closed || this.#isLedElsewhere(path)))
      return true
    return clock.nowMs() - this.#command.acceptedAtMs >= shim.holdStretchMs
  }

  /** The newest map took the segment away from the server of this path, which it may still name. */
  #isLedElsewhere(path: ServerPath): boolean {
    const { state, paths } = this.#parts
    const replica = state.primary(this.#request.segmentId)
    return replica !== undefined && paths.of(replica) !== path
  }
}

/**
 * One command of a leg from `submit` to its answer: what of it was sent, and what has come back. It
 * sends nothing itself; the leg owns it. An answer is given once.
 */
import { DataInAssembly } from '../iscsi/data-in-assembly.ts'
import { DataOutSource } from '../iscsi/data-out-source.ts'
import type { SessionParameters } from '../iscsi/session-parameters.ts'
import type { LegAnswer, LegCommand, LegTask } from './leg-command.ts'

const noData: readonly Buffer[] = []

export class OpenCommand implements LegTask {
  readonly answer: Promise<LegAnswer>
  readonly command: LegCommand
  readonly dataIn: DataInAssembly
  readonly dataOut: DataOutSource<Buffer>
  initiatorTaskTag = 0
  cmdSn = 0
  /** `Clock.nowMs` of both; the second is undefined until it was sent. */
  submittedAtMs = 0
  sentAtMs: number | undefined
  abortSent = false
  readonly #abort: (command: OpenCommand) => void
  #resolve: (answer: LegAnswer) => void = () => undefined
  #answered = false

  constructor(
    command: LegCommand,
    parameters: SessionParameters,
    abort: (command: OpenCommand) => void,
  ) {
    this.command = command
    this.#abort = abort
    this.dataIn = new DataInAssembly(command.dataInBytes ?? 0)
    this.dataOut = new DataOutSource(
      command.dataOut ?? noData,
      parameters,
      parameters.targetMaxRecvDataSegmentBytes,
    )
    this.answer = new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  abort(): void {
    if (!this.#answered) this.#abort(this)
  }

  settle(answer: LegAnswer): void {
    this.#answered = true
    this.#resolve(answer)
  }

  lose(): void {
    this.settle({ kind: 'lost', sent: this.sentAtMs !== undefined })
  }
}

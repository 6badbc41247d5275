/**
 * The target's side of command numbering in one session (RFC 7143 4.2.2.1): which CmdSN may be
 * begun, in which order, and how many commands the initiator may have open. Plain counters with
 * rules; it knows no PDU. Immediate commands do not pass through here.
 */
import { assert } from '../base/assert.ts'
import { serialAdd, serialDistance } from '../base/serial.ts'

/** `later`: a command before it is missing. `ignore`: outside the window, or a duplicate. */
export type Arrival = 'next' | 'later' | 'ignore'

export class CommandWindow<T = unknown> {
  readonly #commands: number
  readonly #held = new Map<number, T>()
  #expCmdSn: number
  /** Commands taken in order and not yet released. */
  #open = 0

  /** `expCmdSn`: the number that the first command will have; `commands`: how many may be open. */
  constructor(expCmdSn: number, commands: number) {
    assert(commands >= 1, 'a window of no commands')
    this.#expCmdSn = expCmdSn
    this.#commands = commands
  }

  /** ExpCmdSN: the next number that is missing. */
  get expCmdSn(): number {
    return this.#expCmdSn
  }

  /** MaxCmdSN. It never goes back: a command that is taken moves both ends. */
  get maxCmdSn(): number {
    return serialAdd(this.#expCmdSn, this.#commands - 1 - this.#open)
  }

  get openCommands(): number {
    return this.#open
  }

  /** After `next` the command has been taken: begin it, then ask `takeHeld` for its followers. */
  arrive(cmdSn: number, command: T): Arrival {
    const ahead = serialDistance(this.#expCmdSn, cmdSn)
    if (ahead < 0 || ahead >= this.#commands - this.#open) return 'ignore'
    if (ahead === 0) {
      this.#take()
      return 'next'
    }
    if (this.#held.has(cmdSn)) return 'ignore'
    this.#held.set(cmdSn, command)
    return 'later'
  }

  /** The command that was held for the number now expected, taken; or undefined. */
  takeHeld(): T | undefined {
    if (this.#held.size === 0) return undefined
    const command = this.#held.get(this.#expCmdSn)
    if (command === undefined) return undefined
    this.#held.delete(this.#expCmdSn)
    this.#take()
    return command
  }

  /** A command that was taken needs its place no longer. */
  release(): void {
    assert(this.#open > 0, 'a command is released once')
    this.#open--
  }

  #take(): void {
    this.#open++
    this.#expCmdSn = serialAdd(this.#expCmdSn, 1)
  }
}

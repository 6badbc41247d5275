/**
 * Order and flow of commands in a session, over all its connections: CmdSN, ExpCmdSN, MaxCmdSN.
 * RFC 7143 4.2.2.1. The target's side delivers in order and opens a slot for each command that
 * ended; the initiator's side numbers commands and obeys the window. Plain counters, owned by the
 * session.
 */
import { assert } from '../base/assert.ts'
import { serialAdd, serialDistance } from '../base/serial.ts'

/**
 * What the target does with a command that came: deliver these now, in order (none yet where one
 * before it is missing), or nothing at all because its number is a duplicate or out of the window.
 */
export type Arrival<T> = readonly T[] | 'ignored'

export class CommandWindow<T> {
  readonly #windowCommands: number
  #expCmdSn: number
  /** Delivered and not yet ended. */
  #open = 0
  /** Came before one that is missing; undefined where it is to be passed over. */
  readonly #early = new Map<number, T | undefined>()

  constructor(options: { readonly expCmdSn: number; readonly windowCommands: number }) {
    this.#expCmdSn = options.expCmdSn
    this.#windowCommands = options.windowCommands
  }

  get expCmdSn(): number {
    return this.#expCmdSn
  }

  /** Never goes back: delivering moves ExpCmdSN, ending a command moves this. */
  get maxCmdSn(): number {
    return serialAdd(this.#expCmdSn, this.#windowCommands - this.#open - 1)
  }

  /** For non-immediate PDUs; immediate ones are delivered at once and move nothing. */
  arrive(cmdSn: number, command: T): Arrival<T> {
    const ahead = serialDistance(this.#expCmdSn, cmdSn)
    if (ahead < 0 || ahead >= this.#windowCommands - this.#open) return 'ignored'
    if (ahead > 0) {
      if (this.#early.has(cmdSn)) return 'ignored'
      this.#early.set(cmdSn, command)
      return []
    }
    this.#deliver()
    return this.#early.size === 0 ? [command] : [command, ...this.#followers()]
  }

  /** A command that was delivered has ended, answered or not: its slot is free. */
  end(): void {
    assert(this.#open > 0, 'a command ends once')
    this.#open--
  }

  /** Is this number still to be delivered, and one that may come now? */
  awaits(cmdSn: number): boolean {
    const ahead = serialDistance(this.#expCmdSn, cmdSn)
    return ahead >= 0 && ahead < this.#windowCommands - this.#open
  }

  /** What came too early and waits, with its number. */
  early(): [cmdSn: number, command: T][] {
    const waiting: [number, T][] = []
    for (const [cmdSn, command] of this.#early) {
      if (command !== undefined) waiting.push([cmdSn, command])
    }
    return waiting
  }

  /**
   * Counts a number that is awaited as received: what has come under it, or comes yet, is never
   * delivered. Answers what may be delivered now. RFC 7143 11.6.1.
   */
  skip(cmdSn: number): readonly T[] {
    if (!this.awaits(cmdSn)) return []
    this.#early.set(cmdSn, undefined)
    return this.#followers()
  }

  /** As if it had not come: its sender may send it again. */
  forget(cmdSn: number): void {
    this.#early.delete(cmdSn)
  }

  #deliver(): void {
    this.#expCmdSn = serialAdd(this.#expCmdSn, 1)
    this.#open++
  }

  #followers(): T[] {
    const followers: T[] = []
    while (this.#early.has(this.#expCmdSn)) {
      const next = this.#early.get(this.#expCmdSn)
      this.#early.delete(this.#expCmdSn)
      this.#deliver()
      if (next === undefined) this.end()
      else followers.push(next)
    }
    return followers
  }
}

/** The initiator's side. */
export class CommandCredit {
  #cmdSn: number
  #expCmdSn: number
  #maxCmdSn: number

  /** `cmdSn` is that of the login, which the first command carries too. */
  constructor(cmdSn: number) {
    this.#cmdSn = cmdSn
    this.#expCmdSn = cmdSn
    this.#maxCmdSn = serialAdd(cmdSn, -1)
  }

  /** The number of the next command; immediate PDUs show it without using it up. */
  get cmdSn(): number {
    return this.#cmdSn
  }

  /** How many commands may be sent now. */
  get available(): number {
    return Math.max(0, serialDistance(this.#cmdSn, this.#maxCmdSn) + 1)
  }

  /** Numbers a command. Only while `available` is not 0. */
  take(): number {
    assert(this.available > 0, 'the window is open')
    const { cmdSn } = this
    this.#cmdSn = serialAdd(cmdSn, 1)
    return cmdSn
  }

  /** From every PDU of the target; numbers that go back or contradict each other are old news. */
  update(expCmdSn: number, maxCmdSn: number): void {
    if (serialDistance(serialAdd(expCmdSn, -1), maxCmdSn) < 0) return
    if (serialDistance(this.#expCmdSn, expCmdSn) > 0) this.#expCmdSn = expCmdSn
    if (serialDistance(this.#maxCmdSn, maxCmdSn) > 0) this.#maxCmdSn = maxCmdSn
  }

  /** Commands that the target has not yet seen in order. */
  get unacknowledged(): number {
    return Math.max(0, serialDistance(this.#expCmdSn, this.#cmdSn))
  }
}

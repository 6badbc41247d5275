/**
 * A storage server's side of the talk with its manager: it makes itself known, and asks what became
 * of each volume that it may not serve. What the manager answers is an order like any other. The
 * server needs no manager while everything it holds is open.
 */
import { background } from '../../src/base/background.ts'
import { toError } from '../../src/base/errors.ts'
import { storageServer as limits } from '../../src/base/limits.ts'
import type { AskReply, RegisterRequest } from '../../src/control/messages/client.ts'
import type { ConfigurationClient } from '../../src/control/services.ts'
import type { Cancel, Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import type { HeldVolume } from './held-volume.ts'
import type { HeldVolumes } from './held-volumes.ts'

export interface ManagerLinkContext {
  readonly configuration: ConfigurationClient
  readonly serverId: string
  readonly volumes: HeldVolumes
  readonly clock: Clock
  readonly log: Log
  /** What the server says of itself now. */
  describe(): RegisterRequest
  sessions(volumeId: string): number
  /** The most that the manager lets this server copy for recovery; 0: no limit. */
  limitRecovery?(bytesPerSecond: number): void
  /** A manager answered that knows nothing of what was told to others. */
  managerIsNew?(): void
}

/** The next question about one volume. */
interface Question {
  asking: boolean
  /** -Infinity before the first. */
  askedAtMs: number
  dueAtMs: number
  cancel: Cancel | undefined
}

export class ManagerLink {
  readonly #context: ManagerLinkContext
  readonly #questions = new Map<string, Question>()
  #cancelRegister: Cancel | undefined
  #registering = false
  #stopped = false
  /** Of the manager that answered last. */
  #term: number | undefined
  /** The manager answered last time; undefined before the first. */
  #reachable: boolean | undefined

  constructor(context: ManagerLinkContext) {
    this.#context = context
  }

  start(): void {
    this.registerSoon()
    for (const volume of this.#context.volumes.all()) {
      if (volume.needsAnswer) this.#askWithin(volume, 0)
    }
  }

  stop(): void {
    this.#stopped = true
    this.#cancelRegister?.()
    for (const { cancel } of this.#questions.values()) cancel?.()
    this.#questions.clear()
  }

  /**
   * Call when a volume's state changed. One that was closed just now is in a manager's hands: it is
   * asked about when that takes long. Any other that is not served is asked about at once.
   */
  changed(volume: HeldVolume): void {
    if (!volume.needsAnswer) this.#forget(volume)
    else this.#askWithin(volume, volume.state === 'closed' ? limits.askIntervalMs : 0)
  }

  /** Call when a sender believes in a newer generation than the volume's here. */
  newerSeen(volume: HeldVolume): void {
    const askedAtMs = this.#questions.get(volume.volumeId)?.askedAtMs ?? Number.NEGATIVE_INFINITY
    const sinceMs = this.#context.clock.nowMs() - askedAtMs
    this.#askWithin(volume, Math.max(0, limits.newerAskIntervalMs - sinceMs))
  }

  /** Call when what the server says of itself changed in a way that a manager waits for. */
  registerSoon(): void {
    this.#cancelRegister?.()
    this.#cancelRegister = undefined
    background(this.#register(), () => undefined)
  }

  async #register(): Promise<void> {
    if (this.#stopped || this.#registering) return
    this.#registering = true
    const { configuration, clock } = this.#context
    try {
      const described = this.#context.describe()
      const reply = await configuration.register(described, limits.managerDeadlineMs)
      this.#context.limitRecovery?.(reply.recoveryBytesPerSecond)
      if (reply.term !== this.#term) this.#context.managerIsNew?.()
      this.#term = reply.term
      this.#reached(true)
    } catch (error) {
      this.#reached(false, error)
    }
    this.#registering = false
    if (this.#stopped) return
    this.#cancelRegister?.()
    this.#cancelRegister = clock.after(limits.registerIntervalMs, () => this.registerSoon())
  }

  #reached(reachable: boolean, error?: unknown): void {
    if (reachable === this.#reachable) return
    this.#reachable = reachable
    const { log } = this.#context
    if (reachable) log.info('registered with the manager')
    else log.warn('the manager does not answer', { error: toError(error).message })
  }

  #forget(volume: HeldVolume): void {
    const question = this.#questions.get(volume.volumeId)
    question?.cancel?.()
    if (question !== undefined) question.cancel = undefined
  }

  /** The sooner of two times wins; while an answer is awaited nothing else is asked. */
  #askWithin(volume: HeldVolume, delayMs: number): void {
    if (this.#stopped) return
    const question = this.#question(volume)
    const dueAtMs = this.#context.clock.nowMs() + delayMs
    if (question.asking || (question.cancel !== undefined && question.dueAtMs <= dueAtMs)) return
    question.cancel?.()
    question.dueAtMs = dueAtMs
    question.cancel = this.#context.clock.after(delayMs, () => {
      question.cancel = undefined
      background(this.#ask(volume, question), () => undefined)
    })
  }

  #question(volume: HeldVolume): Question {
    let question = this.#questions.get(volume.volumeId)
    if (question === undefined) {
      const never = Number.NEGATIVE_INFINITY
      question = { asking: false, askedAtMs: never, dueAtMs: never, cancel: undefined }
      this.#questions.set(volume.volumeId, question)
    }
    return question
  }

  async #ask(volume: HeldVolume, question: Question): Promise<void> {
    const { configuration, clock, log, serverId } = this.#context
    question.asking = true
    question.askedAtMs = clock.nowMs()
    let again: number = limits.askIntervalMs
    try {
      const described = volume.describe(this.#context.sessions(volume.volumeId))
      const request = { serverId, volume: described }
      const reply = await configuration.ask(request, limits.managerDeadlineMs)
      // A close that was undone may leave a volume unconfirmed since a restart: ask on at once.
      if (await this.#obey(volume, reply)) again = limits.newerAskIntervalMs
    } catch (error) {
      log.debug('asking for a volume failed', { volume: volume.map.name, error: toError(error) })
    }
    question.asking = false
    if (volume.needsAnswer) this.#askWithin(volume, again)
  }

  /** True when the manager decided something; an order that was overtaken throws. */
  async #obey(volume: HeldVolume, reply: AskReply): Promise<boolean> {
    const { volumes, log } = this.#context
    if (reply.activate !== undefined) await volumes.activate(reply.activate)
    else if (reply.reopen !== undefined) await volumes.reopen(reply.reopen)
    else if (reply.forgotten === true) {
      log.warn('the volume was deleted', { volume: volume.map.name, volumeId: volume.volumeId })
      await volume.forget()
    }
    return reply.reopen !== undefined
  }
}

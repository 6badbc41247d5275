/**
 * A process: everything that reaches a program's code goes through `enter`. A dead one is reached
 * by nothing any more: no timer, no completion, no message. A stopped one (SIGSTOP, a suspended
 * machine, a blocked event loop) gets all that came meanwhile when it goes on.
 */
import type { Cancel, Clock } from '../../../src/ports/clock.ts'
import type { Chance } from './chance.ts'
import type { Machine } from './machine.ts'

type Source = 'timer' | 'input'

export type Death = 'kill' | 'power'

export class SimProcess {
  readonly machine: Machine
  readonly name: string
  readonly #startedAtMs: number
  readonly #jitter: Chance
  readonly #deathListeners: ((death: Death) => void)[] = []
  #alive = true
  #goesOnAtMs = 0
  /** What came while it was stopped. */
  #late: { readonly source: Source; readonly run: () => void }[] = []

  constructor(machine: Machine, name: string) {
    this.machine = machine
    this.name = name
    this.#startedAtMs = machine.monotonicMs
    this.#jitter = machine.world.chance.fork(`timers ${name} ${machine.world.nowMs}`)
  }

  get alive(): boolean {
    return this.#alive
  }

  get stopped(): boolean {
    return this.#alive && this.machine.world.nowMs < this.#goesOnAtMs
  }

  /** Called in the moment of its death. */
  onDeath(run: (death: Death) => void): void {
    this.#deathListeners.push(run)
  }

  enter(run: () => void, source: Source = 'input'): void {
    if (!this.#alive) return
    if (this.machine.world.nowMs < this.#goesOnAtMs) this.#late.push({ source, run })
    else run()
  }

  stop(ms: number): void {
    const { world } = this.machine
    const goesOnAtMs = world.nowMs + ms
    if (!this.#alive || goesOnAtMs <= this.#goesOnAtMs) return
    this.#goesOnAtMs = goesOnAtMs
    world.after(ms, () => this.#goOn(goesOnAtMs))
  }

  kill(): void {
    if (this.#alive) this.machine.world.note(`${this.name}: killed`)
    this.die('kill')
  }

  die(death: Death): void {
    if (!this.#alive) return
    this.#alive = false
    this.#late = []
    this.machine.processes.delete(this)
    for (const run of this.#deathListeners) run(death)
  }

  get clock(): Clock {
    const { machine } = this
    return {
      nowMs: () => machine.monotonicMs - this.#startedAtMs,
      bootMs: () => machine.bootMs,
      wallMs: () => machine.wallMs,
      after: (delayMs, run) => this.#timer(delayMs, run),
    }
  }

  /** Node counts whole milliseconds, at least one, from the time its loop looked last. */
  #timer(delayMs: number, run: () => void): Cancel {
    const { machine } = this
    const { world } = machine
    const wholeMs = Math.max(1, Math.trunc(delayMs))
    const dueMs = machine.monotonicMs + wholeMs + this.#jitter.between(-0.8, 0.8)
    let cancel: Cancel
    let cancelled = false
    const arm = (): void => {
      cancel = world.after((dueMs - machine.monotonicMs) / machine.rate, look)
    }
    const look = (): void => {
      if (!this.#alive) return
      this.enter(() => {
        if (cancelled) return
        // The machine was suspended: its monotonic clock is not there yet.
        if (machine.monotonicMs < dueMs - 0.001) arm()
        else run()
      }, 'timer')
    }
    arm()
    return () => {
      cancelled = true
      cancel()
    }
  }

  /** Node runs its timers and then reads, or is in the middle of reading. */
  #goOn(goesOnAtMs: number): void {
    if (!this.#alive || goesOnAtMs !== this.#goesOnAtMs) return
    const { world } = this.machine
    const late = this.#late
    this.#late = []
    const isTimer = ({ source }: { source: Source }): boolean => source === 'timer'
    const timers = late.filter(isTimer)
    const input = late.filter((each) => !isTimer(each))
    const timersFirst = world.chance.happens(0.7)
    const order = timersFirst ? [...timers, ...input] : [...input, ...timers]
    for (const { source, run } of order) world.after(0, () => this.enter(run, source))
  }
}

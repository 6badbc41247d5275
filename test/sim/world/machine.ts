/**
 * A machine: its clocks, and the processes on it. It may lose its power, which ends all of them and
 * is another boot when it comes back; it may be suspended, and then its monotonic clock stands still
 * while the one that counts from boot does not; or that one stands still by itself. Clocks of machines
 * run at slightly different speeds.
 */
import { SimProcess } from './sim-process.ts'
import type { World } from './world.ts'

export interface ClockFault {
  /** 1: as fast as the world's. */
  readonly rate: number
  readonly wallOffsetMs: number
}

export class Machine {
  readonly name: string
  readonly world: World
  readonly processes = new Set<SimProcess>()
  readonly #powerListeners: (() => void)[] = []
  #clock: ClockFault
  #powered = true
  #boots = 1
  #bootAtMs: number
  #suspendedMs = 0
  /** Time that the clock that counts from boot has left out, and what it leaves out now. */
  #leftOutMs = 0
  #bootStands: { readonly sinceMs: number; readonly untilMs: number } | undefined

  constructor(world: World, name: string, clock: ClockFault = { rate: 1, wallOffsetMs: 0 }) {
    this.world = world
    this.name = name
    this.#clock = clock
    this.#bootAtMs = world.nowMs - 100_000 - world.chance.fork(name).below(1e6)
  }

  get powered(): boolean {
    return this.#powered
  }

  get bootId(): string {
    return `${this.name}-boot-${this.#boots}`
  }

  get rate(): number {
    return this.#clock.rate
  }

  /** CLOCK_MONOTONIC. */
  get monotonicMs(): number {
    return (this.world.nowMs - this.#bootAtMs - this.#suspendedMs) * this.#clock.rate
  }

  /** CLOCK_BOOTTIME, in the steps in which the kernel tells it. */
  get bootMs(): number {
    const ms = this.world.nowMs - this.#bootAtMs - this.#leftOutMs - this.#standingMs
    return Math.floor((ms * this.#clock.rate) / 10) * 10
  }

  get #standingMs(): number {
    if (this.#bootStands === undefined) return 0
    const { sinceMs, untilMs } = this.#bootStands
    return Math.min(this.world.nowMs, untilMs) - sinceMs
  }

  /** The clock that counts from boot stands still for so long, and is late from then on. */
  stopBootClock(ms: number): void {
    this.world.note(`${this.name}: the boot clock stands still for ${ms.toFixed(0)} ms`)
    this.#leftOutMs += this.#standingMs
    this.#bootStands = { sinceMs: this.world.nowMs, untilMs: this.world.nowMs + ms }
  }

  get wallMs(): number {
    return Math.floor(1_795_000_000_000 + this.world.nowMs + this.#clock.wallOffsetMs)
  }

  /** The wall clock jumps. */
  setWall(wallOffsetMs: number): void {
    this.#clock = { ...this.#clock, wallOffsetMs }
  }

  start(program: string): SimProcess {
    const process = new SimProcess(this, program)
    this.processes.add(process)
    return process
  }

  /** Called in the moment in which the power is lost. */
  onPowerLoss(run: () => void): void {
    this.#powerListeners.push(run)
  }

  losePower(): void {
    if (!this.#powered) return
    this.world.note(`${this.name}: power lost`)
    this.#powered = false
    for (const process of [...this.processes]) process.die('power')
    for (const run of this.#powerListeners) run()
  }

  powerOn(): void {
    if (this.#powered) return
    this.#powered = true
    this.#boots++
    this.#bootAtMs = this.world.nowMs
    this.#suspendedMs = 0
    this.#leftOutMs = 0
    this.#bootStands = undefined
    this.world.note(`${this.name}: power is back`)
  }

  /** Nothing runs here for so long, and the monotonic clock stands still. */
  suspend(ms: number): void {
    if (!this.#powered) return
    this.world.note(`${this.name}: suspended for ${ms.toFixed(0)} ms`)
    // While it stands nobody reads it: what it lost counts from the first moment after.
    this.#suspendedMs += ms
    for (const process of this.processes) process.stop(ms)
  }
}

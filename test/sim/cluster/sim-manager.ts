/**
 * The manager and its store. It is started again when it was killed and when it ends because its
 * store says so; it may be replaced while it stands still, and then there are two for a while.
 */
import { Manager } from '../../../src/management/manager.ts'
import { rebuild } from '../../../src/management/rebuild.ts'
import { Machine } from '../world/machine.ts'
import { SimKeyValue } from '../world/sim-key-value.ts'
import type { SimProcess } from '../world/sim-process.ts'
import { simLog } from './sim-log.ts'
import type { Surroundings } from './surroundings.ts'

export const managerControl = 'm:7000'
const managementPath = ['ma:3260']
const restartMs = 300

export class SimManager {
  readonly machine: Machine
  readonly store: SimKeyValue
  readonly #around: Surroundings
  #process: SimProcess | undefined
  #starts = 0

  constructor(around: Surroundings, clock: { rate: number; wallOffsetMs: number }) {
    const { world, network, rpc } = around
    this.#around = around
    this.machine = new Machine(world, 'm', clock)
    this.store = new SimKeyValue(this.machine, 'manager')
    network.attach(this.machine, ['ma'])
    rpc.attach(this.machine, ['m'])
  }

  get running(): boolean {
    return this.#process?.alive === true
  }

  get process(): SimProcess | undefined {
    return this.#process
  }

  start(): void {
    if (this.running || !this.machine.powered) return
    this.#begin()
  }

  kill(): void {
    this.#process?.kill()
  }

  /** The operator makes a lost store anew from what the servers keep; rejects where that fails. */
  async rebuild(servers: readonly string[]): Promise<void> {
    this.kill()
    this.store.restore(new Map())
    const process = this.machine.start('rebuild')
    // It has the directory to itself: no manager is started meanwhile.
    this.#process = process
    const { rpc } = this.#around
    try {
      const ports = { keyValue: this.store.of(process), rpc: rpc.of(process) }
      await rebuild(ports, { servers, lost: [] })
    } finally {
      process.kill()
    }
    this.start()
  }

  /**
   * The running one stands still for `ms`, and another one takes its place. The former goes on then,
   * without knowing, until its store or a server tells it.
   */
  replace(ms: number): void {
    const former = this.#process
    if (former === undefined || !former.alive) return
    this.#around.world.note('the manager is replaced')
    former.stop(ms)
    this.#around.network.release(former)
    this.#around.rpc.release(former)
    this.#begin()
  }

  #begin(): void {
    const { world, network, rpc, bugs } = this.#around
    const process = this.machine.start('manager')
    this.#process = process
    const number = ++this.#starts
    const name = number === 1 ? 'm' : `m#${number}`
    world.note(`${name}: starts`)
    const started = Manager.start(
      {
        keyValue: this.store.of(process),
        rpc: rpc.of(process),
        network: network.of(process),
        clock: process.clock,
        random: world.chance.fork(`manager ${number}`).port,
        log: simLog(world, name),
      },
      { control: managerControl, portals: managementPath },
    )
    const again = (why: unknown): void => {
      world.note(`${name}: ends: ${String(why)}`)
      process.kill()
      if (this.#process === process) world.after(restartMs, () => this.start())
    }
    started.then(
      (manager) => void manager.storeFailed.then(again),
      (error: unknown) => {
        if (!(error instanceof Error) || error.name !== 'StorageError') bugs.report(name, error)
        again(error)
      },
    )
  }
}

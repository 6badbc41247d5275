/** A shim on a client's machine. */
import { Shim } from '../../../initiator-shim/shim.ts'
import { plainLoginPolicy } from '../../../src/iscsi/login-policy.ts'
import { clientIqn } from '../../../src/volume/names.ts'
import { Machine } from '../world/machine.ts'
import type { SimProcess } from '../world/sim-process.ts'
import { simLog } from './sim-log.ts'
import { managerControl } from './sim-manager.ts'
import type { Surroundings } from './surroundings.ts'

export class SimShim {
  readonly name: string
  readonly machine: Machine
  readonly portal: string
  readonly client: string
  /** Processes so far. */
  lives = 0
  readonly #around: Surroundings
  #process: SimProcess | undefined

  constructor(around: Surroundings, number: number, clock: { rate: number; wallOffsetMs: number }) {
    const { world, network } = around
    this.#around = around
    this.name = `c${number}`
    this.machine = new Machine(world, this.name, clock)
    this.portal = `${this.name}:3260`
    this.client = clientIqn(`11111111-1111-4111-8111-${String(number).padStart(12, '0')}`)
    network.attach(this.machine, [this.name])
  }

  get running(): boolean {
    return this.#process?.alive === true
  }

  get process(): SimProcess | undefined {
    return this.#process
  }

  start(): void {
    if (this.running || !this.machine.powered) return
    const { world, network, rpc, bugs } = this.#around
    const process = this.machine.start(this.name)
    this.#process = process
    this.lives++
    world.note(`${this.name}: starts`)
    const shim = new Shim(
      {
        network: network.of(process),
        rpc: rpc.of(process),
        clock: process.clock,
        random: world.chance.fork(`${this.name} ${this.lives}`).port,
        log: simLog(world, this.name),
      },
      { client: this.client, manager: managerControl, volumes: [], policy: plainLoginPolicy },
    )
    shim
      .listen(this.portal)
      .then(() => shim.start())
      .catch((error: unknown) => bugs.report(this.name, error))
  }

  kill(): void {
    this.#process?.kill()
  }
}

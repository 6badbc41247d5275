/** A front end on a machine of its own: the shim of a client, or a gateway beside others. */
import { Shim } from '../../../initiator-shim/shim.ts'
import { plainLoginPolicy } from '../../../src/iscsi/login-policy.ts'
import { clientIqn } from '../../../src/volume/names.ts'
import { type ClockFault, Machine } from '../world/machine.ts'
import type { SimProcess } from '../world/sim-process.ts'
import { simLog } from './sim-log.ts'
import { managerControl } from './sim-manager.ts'
import type { Surroundings } from './surroundings.ts'

export interface FrontEndKind {
  /** Of its names, as in c1. */
  readonly letter: string
  /** Its portal group is its number and one. */
  readonly isGateway: boolean
}

export const shimKind: FrontEndKind = { letter: 'c', isGateway: false }
export const gatewayKind: FrontEndKind = { letter: 'g', isGateway: true }

export class SimShim {
  readonly name: string
  readonly machine: Machine
  readonly portals: readonly string[]
  readonly client: string
  /** Of a gateway. */
  readonly group: number
  /** Processes so far. */
  lives = 0
  readonly #around: Surroundings
  readonly #kind: FrontEndKind
  #process: SimProcess | undefined

  constructor(
    around: Surroundings,
    { number, kind, ...clock }: ClockFault & { number: number; kind: FrontEndKind },
  ) {
    const { world, network } = around
    this.#around = around
    this.#kind = kind
    this.name = `${kind.letter}${number}`
    this.group = number + 1
    this.machine = new Machine(world, this.name, clock)
    const hosts = kind.isGateway ? [this.name] : [this.name, `${this.name}b`]
    this.portals = hosts.map((host) => `${host}:3260`)
    this.client = clientIqn(`${identity(kind)}-${String(number).padStart(12, '0')}`)
    network.attach(this.machine, hosts)
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
      {
        client: this.client,
        manager: managerControl,
        volumes: [],
        policy: plainLoginPolicy,
        ...(this.#kind.isGateway && { gateway: { group: this.group } }),
      },
    )
    Promise.all(this.portals.map((portal) => shim.listen(portal)))
      .then(() => shim.start())
      .catch((error: unknown) => bugs.report(this.name, error))
  }

  kill(): void {
    this.#process?.kill()
  }
}

function identity({ isGateway }: FrontEndKind): string {
  return isGateway ? '22222222-2222-4222-8222' : '11111111-1111-4111-8111'
}

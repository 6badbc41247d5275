/** A storage server on a machine of its own, with two data paths and a disk that outlive it. */

import type { ClearingTimes } from '../../../targets/mirror/clearing-choice.ts'
import { StorageServer } from '../../../targets/storage-server.ts'
import { directDigest } from '../../support/direct-digest.ts'
import { Machine } from '../world/machine.ts'
import { SimDisk } from '../world/sim-disk.ts'
import { SimKeyValue } from '../world/sim-key-value.ts'
import type { SimProcess } from '../world/sim-process.ts'
import { simLog } from './sim-log.ts'
import type { Surroundings } from './surroundings.ts'

export interface SimServerOptions {
  readonly number: number
  readonly capacityBytes: number
  readonly rate: number
  readonly wallOffsetMs: number
  readonly manager: string
  /** Undefined: the usual times. */
  readonly clearing: ClearingTimes | undefined
}

const restartAfterFailureMs = 1_000
const stopGraceMs = 1_000

export class SimServer {
  readonly name: string
  readonly machine: Machine
  readonly disk: SimDisk
  readonly records: SimKeyValue
  readonly metadata: SimKeyValue
  readonly control: string
  readonly portals: readonly string[]
  readonly serverId: string
  readonly #options: SimServerOptions
  readonly #around: Surroundings
  #process: SimProcess | undefined
  #server: StorageServer | undefined
  #starts = 0

  constructor(around: Surroundings, options: SimServerOptions) {
    const { world, network, rpc } = around
    const { number, rate, wallOffsetMs } = options
    this.#around = around
    this.#options = options
    this.name = `s${number}`
    this.machine = new Machine(world, this.name, { rate, wallOffsetMs })
    this.disk = new SimDisk(this.machine, this.name)
    this.records = new SimKeyValue(this.machine, `${this.name} records`)
    this.metadata = new SimKeyValue(this.machine, `${this.name} metadata`)
    this.control = `${this.name}:7000`
    this.portals = [`${this.name}a:3260`, `${this.name}b:3260`]
    this.serverId = `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`
    network.attach(this.machine, [`${this.name}a`, `${this.name}b`])
    rpc.attach(this.machine, [this.name])
  }

  get running(): boolean {
    return this.#process?.alive === true
  }

  get process(): SimProcess | undefined {
    return this.#process
  }

  /** Undefined until it has started. */
  get server(): StorageServer | undefined {
    return this.running ? this.#server : undefined
  }

  start(): void {
    if (this.running || !this.machine.powered) return
    const process = this.machine.start(this.name)
    this.#process = process
    this.#server = undefined
    this.#starts++
    this.#around.world.note(`${this.name}: starts`)
    this.#launch(process).then(
      (server) => {
        if (this.#process === process) this.#server = server
      },
      (error: unknown) => this.#failed(process, error),
    )
  }

  kill(): void {
    this.#process?.kill()
  }

  /** As SIGTERM does it: sessions end, everything is durable, then the process is gone. */
  async shutDown(): Promise<void> {
    const process = this.#process
    await this.server?.stop(stopGraceMs)
    process?.kill()
  }

  /** All that is stored there now; returns what puts it back, while the machine has no power. */
  backUp(): () => void {
    const { disk, records, metadata } = this
    const files = disk.backUp()
    const stores = [records, metadata].map((store) => ({ store, entries: store.backUp() }))
    return () => {
      files()
      for (const { store, entries } of stores) store.restore(entries)
    }
  }

  #launch(process: SimProcess): Promise<StorageServer> {
    const { world, network, rpc } = this.#around
    const { capacityBytes, manager, number, clearing } = this.#options
    const clock = process.clock
    return StorageServer.start(
      {
        clock,
        log: simLog(world, this.name),
        network: network.of(process),
        rpc: rpc.of(process),
        records: this.records.of(process),
        digest: directDigest,
        store: {
          files: this.disk.of(process),
          metadata: this.metadata.of(process),
          random: world.chance.fork(`${this.name} ${this.#starts}`).port,
          bootId: this.machine.bootId,
          capacityBytes,
        },
      },
      {
        serverId: this.serverId,
        name: this.name,
        portals: this.portals.map((listen) => ({ listen })),
        control: { listen: this.control },
        manager,
        version: 'sim',
        processId: `${number}.${this.#starts}`,
        ...(clearing && { clearing }),
      },
    )
  }

  /** As its supervisor does. */
  #failed(process: SimProcess, error: unknown): void {
    const { world, bugs } = this.#around
    if (!(error instanceof Error) || error.name !== 'StorageError') bugs.report(this.name, error)
    world.note(`${this.name}: did not start: ${String(error)}`)
    process.kill()
    world.after(restartAfterFailureMs, () => this.start())
  }
}

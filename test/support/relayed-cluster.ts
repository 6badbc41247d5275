/**
 * Real processes with a cut in every path: a manager, one storage server whose direct path leads
 * through a relay of the test, and a shim whose front portal has a relay before it. The server may
 * be another composition root. Everything is ended by `stop`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { GrpcRpc } from '../../src/adapters/grpc-rpc.ts'
import { nodeClock } from '../../src/adapters/node-clock.ts'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { freeAddresses } from '../../src/cli/up/free-address.ts'
import type { FrontVolumeStatus, PathStatus } from '../../src/control/messages/shim.ts'
import { type AdminClient, adminClient, shimStatusClient } from '../../src/control/services.ts'
import { openLeg } from '../../src/leg/open-leg.ts'
import type { RpcChannel } from '../../src/ports/rpc.ts'
import { volumeIqn } from '../../src/volume/names.ts'
import { Initiator } from './memory-cluster.ts'
import { mainProgram, PalisadeProcess } from './palisade-process.ts'
import { quietLog } from './quiet-log.ts'
import { Relay } from './relay.ts'

const network = new NodeNetwork(quietLog)
const readyLine = /^\{.*"ready":true.*\}$/m
const callDeadlineMs = 10_000
const volume = 'data'

export interface RelayedOptions {
  readonly sizeBytes: number
  /** Composition root of the storage server; `palisade target` by default. */
  readonly serverRoot?: string
}

export class RelayedCluster {
  readonly #directory: string
  readonly #rpc = new GrpcRpc()
  readonly #channels = new Map<string, RpcChannel>()
  readonly #processes: PalisadeProcess[] = []
  #manager = ''
  #status = ''
  #front = ''
  server!: PalisadeProcess
  shim!: PalisadeProcess
  /** Before the storage server's portal. */
  path!: Relay
  /** Before the shim's portal. */
  door!: Relay

  private constructor(directory: string) {
    this.#directory = directory
  }

  static async start(options: RelayedOptions): Promise<RelayedCluster> {
    const cluster = new RelayedCluster(await mkdtemp(join(tmpdir(), 'palisade-relayed-')))
    try {
      await cluster.#start(options)
    } catch (error) {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  /** URL of the volume, through the relay before the shim. */
  get url(): string {
    return `iscsi://${this.door.address}/${volumeIqn(volume)}/0`
  }

  get admin(): AdminClient {
    return adminClient(this.#channel(this.#manager))
  }

  async status(): Promise<FrontVolumeStatus> {
    const client = shimStatusClient(this.#channel(this.#status))
    const { volumes } = await client.show({}, callDeadlineMs)
    return volumes[0]!
  }

  async pathStatus(): Promise<PathStatus | undefined> {
    return (await this.status()).paths[0]
  }

  /** Waits until commands go this way. */
  async routed(route: 'direct' | 'management'): Promise<void> {
    const deadline = Date.now() + 30_000
    while ((await this.pathStatus())?.route !== route) {
      if (Date.now() > deadline) throw new Error(`never ${route}: ${this.shim.stderr}`)
      await sleep(20)
    }
  }

  /** An initiator of our own at the front, for many commands at a time. */
  async attach(isid: number, address = this.#front): Promise<Initiator> {
    const opened = await openLeg({
      network,
      clock: nodeClock,
      address,
      initiatorName: 'iqn.2026-11.example:many',
      isid: Buffer.from([0x80, 0, 0, 0, 0, isid]),
      targetName: volumeIqn(volume),
    })
    if (opened.kind !== 'open') throw new Error(`no session: ${opened.cause}`)
    return new Initiator(opened.leg)
  }

  /** Starts a shim on the directory of the former one, at the same front address. */
  async startShim(): Promise<void> {
    this.shim = this.#spawn([
      ...[mainProgram, 'shim', '--dir', join(this.#directory, 'shim')],
      ...['--manager', this.#manager, '--portal', this.#front, '--status', this.#status],
      ...['--json', '--log-level', 'info'],
    ])
    await this.shim.output(readyLine)
  }

  async stop(): Promise<void> {
    for (const process of this.#processes.reverse()) await process.stop()
    await this.door?.stop()
    await this.path?.stop()
    for (const channel of this.#channels.values()) channel.close()
    await rm(this.#directory, { recursive: true, force: true })
  }

  async #start({ sizeBytes, serverRoot }: RelayedOptions): Promise<void> {
    const draw = freeAddresses([])
    this.#manager = await draw()
    this.#front = await draw()
    this.#status = await draw()
    const [managementPath, listen, control] = [await draw(), await draw(), await draw()]
    this.path = await Relay.open(network, listen)
    this.door = await Relay.open(network, this.#front)
    const manager = this.#spawn([
      ...[mainProgram, 'manager', '--dir', join(this.#directory, 'manager'), '--json'],
      ...['--control', this.#manager, '--portal', managementPath, '--log-level', 'warn'],
    ])
    await manager.output(readyLine)
    this.server = this.#spawn([
      ...(serverRoot === undefined ? [mainProgram, 'target'] : [serverRoot]),
      ...['--name', 's1', '--dir', join(this.#directory, 's1'), '--manager', this.#manager],
      ...['--control', control, '--capacity', '128MiB', '--json', '--log-level', 'warn'],
      ...['--portal', `${listen}=${this.path.address}`],
    ])
    await this.server.output(readyLine)
    await this.admin.addServer({ address: control, name: '' }, callDeadlineMs)
    const asked = {
      stripe: 0,
      partitions: [],
      stalePolicy: 'reject',
      holdMs: 0,
      leaseMs: 0,
    } as const
    await this.admin.createVolume({ name: volume, sizeBytes, ...asked }, callDeadlineMs)
    await this.startShim()
  }

  #spawn(args: readonly string[]): PalisadeProcess {
    const child = new PalisadeProcess(args, { program: process.execPath })
    this.#processes.push(child)
    return child
  }

  #channel(address: string): RpcChannel {
    let channel = this.#channels.get(address)
    if (channel === undefined) {
      channel = this.#rpc.channel(address)
      this.#channels.set(address, channel)
    }
    return channel
  }
}

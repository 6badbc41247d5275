/**
 * A cluster put together by hand: a manager, storage servers and shims as processes of their own,
 * any of which a test may kill, start again or replace by another composition root. Every server
 * tells clients the address of a junction, where the connections of one initiator can be held back.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { GrpcRpc } from '../../src/adapters/grpc-rpc.ts'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { freeAddresses } from '../../src/cli/up/free-address.ts'
import type { DescribeReply } from '../../src/control/messages/server.ts'
import type { FrontVolumeStatus } from '../../src/control/messages/shim.ts'
import {
  type AdminClient,
  adminClient,
  shimStatusClient,
  storageServerClient,
} from '../../src/control/services.ts'
import type { Leg } from '../../src/leg/leg.ts'
import { openLeg } from '../../src/leg/open-leg.ts'
import type { RpcChannel } from '../../src/ports/rpc.ts'
import { volumeIqn } from '../../src/volume/names.ts'
import { Initiator } from './initiator.ts'
import { Junction } from './junction.ts'
import { ManualClock } from './manual-clock.ts'
import { mainProgram, PalisadeProcess, type ProcessOptions, run } from './palisade-process.ts'
import { quietLog } from './quiet-log.ts'
import { Relay } from './relay.ts'
import { relayAddress } from './relay-address.ts'

export const realNetwork = new NodeNetwork(quietLog)

export interface HandServer {
  readonly name: string
  readonly listen: string
  readonly junction: Junction
  /** Where the cluster is `relayed`. */
  readonly managerPath: ManagerPath | undefined
  /** Other ones after each start, unless the cluster is `relayed`. */
  control: string
  process: PalisadeProcess
}

export interface HandShim {
  /** InitiatorName of this client. */
  readonly client: string
  readonly name: string
  readonly verb: 'shim' | 'gateway'
  readonly portal: string
  readonly status: string
  process: PalisadeProcess
}

export interface ClusterOptions {
  readonly servers: number
  readonly capacity?: string
  /** Composition root of the storage servers; `palisade target` by default. */
  readonly serverRoot?: string
  /** Servers and manager reach each other by relays that a test can cut. */
  readonly relayed?: boolean
  /** Of manager and servers; `warn` by default. */
  readonly logLevel?: 'warn' | 'info'
}

/** Between a server and the manager, in both directions. */
export interface ManagerPath {
  readonly toManager: Relay
  readonly toServer: Relay
  /** What the manager relays there for front ends. */
  readonly toPortal: Relay
}

export interface ManagerRoot {
  /** Another composition root than `palisade`. */
  readonly program?: string
  readonly env?: NodeJS.ProcessEnv
}

const relayedManager = fileURLToPath(new URL('./main-relayed-manager.js', import.meta.url))
const readyLine = /^\{.*"ready":true.*\}$/m
/** Many programs start at once, on a machine that may have other things to do. */
const startDeadlineMs = 60_000
const callDeadlineMs = 10_000
const changeDeadlineMs = 30_000
const settleDeadlineMs = 30_000

interface ReadyLine {
  readonly client?: string
  readonly portals: readonly { readonly kind: 'iscsi' | 'grpc'; readonly address: string }[]
}

export class HandCluster {
  readonly directory: string
  readonly servers: HandServer[] = []
  readonly shims: HandShim[] = []
  manager!: PalisadeProcess
  readonly #options: ClusterOptions
  readonly #control: string
  readonly #path: string
  readonly #draw: () => Promise<string>
  readonly #rpc = new GrpcRpc()
  readonly #attached: Leg[] = []
  readonly #channels = new Map<string, RpcChannel>()
  /** Every process that was ever started. */
  readonly #processes: PalisadeProcess[] = []
  #stopped = false

  private constructor(
    directory: string,
    options: ClusterOptions,
    addresses: readonly [string, string],
    draw: () => Promise<string>,
  ) {
    this.directory = directory
    this.#options = options
    ;[this.#control, this.#path] = addresses
    this.#draw = draw
  }

  /** A manager, and storage servers that it has adopted. */
  static async start(options: ClusterOptions): Promise<HandCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'palisade-hand-'))
    const draw = freeAddresses([])
    const cluster = new HandCluster(directory, options, [await draw(), await draw()], draw)
    try {
      await cluster.startManager()
      const numbers = Array.from({ length: options.servers }, (_, i) => i + 1)
      await Promise.all(numbers.map((number) => cluster.#addServer(`s${number}`)))
      for (const { control } of cluster.servers) {
        await cluster.admin.addServer({ address: control, name: '' }, changeDeadlineMs)
      }
      await cluster.settled()
    } catch (error) {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  /** Calls of the command line, without the time that a process takes to start. */
  get admin(): AdminClient {
    return adminClient(this.#channel(this.#control))
  }

  /** The portal of the management path. */
  get path(): string {
    return this.#path
  }

  async startManager({ program, env = {} }: ManagerRoot = {}): Promise<void> {
    const root = this.#options.relayed === true ? relayedManager : mainProgram
    const args = [
      ...[program ?? root, 'manager', '--dir', join(this.directory, 'manager'), '--json'],
      ...['--control', this.#control, '--portal', this.#path, '--log-level', this.#logLevel],
    ]
    const environment = { ...process.env, ...env }
    this.manager = this.#spawn(args, { program: process.execPath, env: environment })
    await this.manager.output(readyLine, startDeadlineMs)
    // The former channel may be waiting before it tries again.
    this.#channels.get(this.#control)?.close()
    this.#channels.delete(this.#control)
  }

  async stopManager(): Promise<void> {
    await this.manager.stop()
  }

  /** kill -9, then a new process on the same directory and portal. */
  async restartServer(server: HandServer, env: NodeJS.ProcessEnv = {}): Promise<void> {
    server.process.kill('SIGKILL')
    await server.process.exited
    server.process = this.#spawnServer(server, env)
    server.control = await controlOf(server.process)
  }

  /** The machine of a server whose root is `main-lossy-target` loses its power and boots again. */
  async losePower(server: HandServer): Promise<void> {
    server.process.stdout = ''
    server.process.kill('SIGUSR2')
    server.control = await controlOf(server.process)
  }

  async startShim(name: string, verb: HandShim['verb'] = 'shim'): Promise<HandShim> {
    const [portal, status] = [await this.#draw(), await this.#draw()]
    const process = this.#spawnShim({ name, verb, portal, status })
    const { client = '' } = await ready(process).catch(async (error) => {
      await process.stop()
      throw error
    })
    const shim = { client, name, verb, portal, status, process }
    this.shims.push(shim)
    return shim
  }

  /** kill -9, then a new process on the same directory and portal. */
  async restartShim(shim: HandShim): Promise<void> {
    shim.process.kill('SIGKILL')
    await shim.process.exited
    shim.process = this.#spawnShim(shim)
    await ready(shim.process)
  }

  #spawnShim({
    name,
    verb,
    portal,
    status,
  }: Omit<HandShim, 'client' | 'process'>): PalisadeProcess {
    return this.#spawn([
      ...[verb, '--dir', join(this.directory, name), '--manager', this.#control],
      ...['--portal', portal, '--status', status, '--json', '--log-level', 'info'],
    ])
  }

  /** An initiator of our own at a shim. Its clock stands still: it waits. */
  async attach(shim: HandShim, volume: string, name: string, isid = 1): Promise<Initiator> {
    const opening = await openLeg({
      network: realNetwork,
      clock: new ManualClock(),
      address: shim.portal,
      initiatorName: `iqn.2026-11.example:${name}`,
      isid: Buffer.from([0x80, 0, 0, 0, 0, isid]),
      targetName: volumeIqn(volume),
    })
    if (opening.kind !== 'open') throw new Error(`no session: ${opening.cause}`)
    this.#attached.push(opening.leg)
    return new Initiator(opening.leg)
  }

  /** Runs a verb of the command line against the manager. */
  async verb(args: readonly string[]): Promise<unknown> {
    const argv = [mainProgram, ...args, '--manager', this.#control, '--json']
    const { code, stdout, stderr } = await run(process.execPath, argv, { timeoutMs: 60_000 })
    if (code !== 0) throw new Error(`${args.join(' ')}: exit ${code}\n${stdout}${stderr}`)
    return JSON.parse(stdout)
  }

  /** What a storage server says of itself and of all that it holds. */
  describe({ control }: HandServer): Promise<DescribeReply> {
    return storageServerClient(this.#channel(control)).describe({}, callDeadlineMs)
  }

  /** What a shim says of a volume. */
  async front({ status }: HandShim, volume: string): Promise<FrontVolumeStatus> {
    const { volumes } = await shimStatusClient(this.#channel(status)).show({}, callDeadlineMs)
    const found = volumes.find(({ name }) => name === volume)
    if (found === undefined) throw new Error(`the shim does not know volume ${volume}`)
    return found
  }

  /** Resolves when the manager hears every server, and each has confirmed the newest maps. */
  async settled(): Promise<void> {
    const deadline = Date.now() + settleDeadlineMs
    for (;;) {
      const { servers, volumes } = await this.admin.status({}, callDeadlineMs)
      const silent = servers.filter(({ reachable }) => !reachable).map(({ server }) => server.name)
      const behind = volumes.flatMap((volume) => volume.behind)
      if (silent.length === 0 && behind.length === 0) return
      if (Date.now() > deadline) throw new Error(`no answer from ${[...silent, ...behind]}`)
      await sleep(20)
    }
  }

  async stop(): Promise<void> {
    for (const leg of this.#attached) leg.close()
    await Promise.all(this.shims.map(({ process }) => process.stop()))
    await Promise.all(this.servers.map(({ process }) => process.stop()))
    await this.manager?.stop()
    await this.#removeAll()
  }

  /** What every process said that was ever started, with its arguments. */
  said(): string {
    return this.#processes.map(({ args, stderr }) => `${args.join(' ')}\n${stderr}`).join('\n')
  }

  /** SIGKILL for all, also for those that stand still; nothing is started from now on. */
  async kill(): Promise<void> {
    this.#stopped = true
    for (const process of this.#processes) process.kill('SIGKILL')
    await Promise.allSettled(this.#processes.map(({ exited }) => exited))
    await this.#removeAll()
  }

  async #removeAll(): Promise<void> {
    for (const { junction, managerPath } of this.servers) {
      await junction.close()
      await managerPath?.toManager.stop()
      await managerPath?.toServer.stop()
      await managerPath?.toPortal.stop()
    }
    for (const channel of this.#channels.values()) channel.close()
    await rm(this.directory, { recursive: true, force: true })
  }

  async #addServer(name: string): Promise<void> {
    const listen = await this.#draw()
    const junction = await Junction.open(realNetwork, listen)
    const managerPath = this.#options.relayed === true ? await this.#managerPath(listen) : undefined
    const process = this.#spawnServer({ name, listen, junction, managerPath })
    const server = { name, listen, junction, managerPath, control: '', process }
    this.servers.push(server)
    server.control = await controlOf(process)
  }

  async #managerPath(listen: string): Promise<ManagerPath> {
    return {
      toManager: await Relay.open(realNetwork, this.#control),
      toServer: await Relay.open(realNetwork, await this.#draw()),
      toPortal: await Relay.open(realNetwork, listen, relayAddress(listen)),
    }
  }

  #spawnServer(
    { name, listen, junction, managerPath }: Omit<HandServer, 'control' | 'process'>,
    env: NodeJS.ProcessEnv = {},
  ): PalisadeProcess {
    const { serverRoot, capacity = '256MiB' } = this.#options
    const args = [
      ...(serverRoot === undefined ? [mainProgram, 'target'] : [serverRoot]),
      ...['--name', name, '--dir', join(this.directory, name)],
      ...['--manager', managerPath?.toManager.address ?? this.#control, '--capacity', capacity],
      ...['--control', controlArgument(managerPath)],
      ...['--portal', `${listen}=${junction.address}`, '--json', '--log-level', this.#logLevel],
    ]
    const environment = { ...process.env, ...env }
    return this.#spawn(args, { program: process.execPath, env: environment })
  }

  get #logLevel(): string {
    return this.#options.logLevel ?? 'warn'
  }

  #spawn(args: readonly string[], options?: ProcessOptions): PalisadeProcess {
    if (this.#stopped) throw new Error('the cluster was stopped')
    const process = new PalisadeProcess(args, options)
    this.#processes.push(process)
    return process
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

function controlArgument(path: ManagerPath | undefined): string {
  return path === undefined ? '127.0.0.1:0' : `${path.toServer.target}=${path.toServer.address}`
}

async function controlOf(process: PalisadeProcess): Promise<string> {
  const { portals } = await ready(process)
  return portals.find(({ kind }) => kind === 'grpc')?.address ?? ''
}

async function ready(process: PalisadeProcess): Promise<ReadyLine> {
  const [line] = await process.output(readyLine, startDeadlineMs)
  return JSON.parse(line) as ReadyLine
}

/**
 * What the faults happen to: three storage servers and a manager with a relay on every way between
 * two of them, a volume with two copies of each block, and front ends: a shim with stock initiators
 * (libiscsi in qemu-io), and two gateways with a host that has a path through each. All of them are
 * real processes; all initiators write, read back and keep every latency.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { volumeIqn } from '../../src/volume/names.ts'
import {
  HandCluster,
  type HandServer,
  type HandShim,
  realNetwork,
} from '../support/hand-cluster.ts'
import { MultipathWriter } from '../support/multipath-writer.ts'
import { QemuWriter } from '../support/qemu-writer.ts'
import { Relay } from '../support/relay.ts'

const MIB = 1024 * 1024
const blockBytes = 512
const volume = 'data'
const deadlineMs = 30_000
const recoveredMs = 90_000
const restMs = 5
const qemuWriters = 2
const slots = { slots: 48, slotBytes: 8 * 1024, restMs, verifies: true } as const
const hostRange = { lba: (16 * MIB) / blockBytes, lanes: 4, slotsPerLane: 12 } as const

/** A server with the ways to it that can be cut. */
export interface Member {
  readonly server: HandServer
  /** From the other servers. */
  readonly peers: Relay
  /** From front ends, by their InitiatorName. The management path does not lead here. */
  readonly fronts: ReadonlyMap<string, Relay>
}

/** A gateway, and the way from the host to it. */
export interface Gateway {
  readonly front: HandShim
  readonly path: Relay
}

/** An initiator that loads the volume. */
export interface Load {
  readonly latenciesMs: readonly number[]
  readonly errors: readonly string[]
  readonly stale: readonly string[]
  readonly acknowledgedWrites: number
  start(): void
  stop(): Promise<void>
  /** Slots that do not hold their last acknowledged write. */
  verify(): Promise<number[]>
  close(): Promise<void>
}

export interface SceneOptions {
  readonly shim: boolean
  readonly gateways: boolean
  /** From 0 up to 1. */
  readonly random: () => number
  readonly longestMs: number
  /** Processes log what they do, for `cluster.said`. */
  readonly logs: boolean
}

export class Scene {
  readonly cluster: HandCluster
  readonly random: () => number
  /** Longest time for which something is dead or cut off. */
  readonly longestMs: number
  readonly members: Member[] = []
  readonly gateways: Gateway[] = []
  readonly loads: Load[] = []
  #shim: HandShim | undefined
  #host: MultipathWriter | undefined

  private constructor(cluster: HandCluster, { random, longestMs }: SceneOptions) {
    this.cluster = cluster
    this.random = random
    this.longestMs = longestMs
  }

  /** `begun` is given the scene, to be killed, before there is more than a cluster in it. */
  static async set(options: SceneOptions, begun: (scene: Scene) => void): Promise<Scene> {
    const cluster = await HandCluster.start({
      servers: 3,
      relayed: true,
      logLevel: options.logs ? 'info' : 'warn',
    })
    const scene = new Scene(cluster, options)
    try {
      begun(scene)
      await scene.#startFronts(options)
      await scene.#createVolume()
      await scene.#openLoads()
      return scene
    } catch (error) {
      await scene.kill()
      throw error
    }
  }

  get shim(): HandShim {
    if (this.#shim === undefined) throw new Error('there is no shim')
    return this.#shim
  }

  get host(): MultipathWriter | undefined {
    return this.#host
  }

  /** The gateway that the host works through. */
  get activeGateway(): Gateway {
    const found = this.gateways.find(({ path }) => path.address === this.#host?.host.address)
    if (found === undefined) throw new Error('there is no active gateway')
    return found
  }

  /** Names of the servers that hold a copy now, the primary first. */
  async holders(): Promise<readonly string[]> {
    const { status } = await this.cluster.admin.showVolume({ name: volume }, deadlineMs)
    return status.replicas.map(({ server }) => server)
  }

  async a(role: 'primary' | 'secondary'): Promise<Member> {
    const [primary, secondary] = await this.holders()
    const name = role === 'primary' ? primary : secondary
    const found = this.members.find(({ server }) => server.name === name)
    if (found === undefined) throw new Error(`there is no ${role}`)
    return found
  }

  /** Both copies are in sync, every server has the newest map, and every path is as it should be. */
  async healthy(): Promise<void> {
    const deadline = Date.now() + recoveredMs
    for (;;) {
      const wrong = await this.#wrong()
      if (wrong === undefined) break
      if (Date.now() > deadline) throw new Error(`not in sync after ${recoveredMs} ms: ${wrong}`)
      await sleep(20)
    }
    await this.#host?.host.whole(recoveredMs)
  }

  async stop(): Promise<void> {
    for (const load of this.loads) await load.close()
    for (const { path } of this.gateways) await path.stop()
    await this.cluster.stop()
  }

  /** At once, whatever stands still. */
  async kill(): Promise<void> {
    await this.cluster.kill()
    for (const load of this.loads) await load.close()
    for (const { path } of this.gateways) await path.stop()
  }

  async #wrong(): Promise<string | undefined> {
    try {
      const { volumes, servers } = await this.cluster.admin.status({}, deadlineMs)
      const replicas = volumes.flatMap((each) => each.replicas)
      const behind = volumes.flatMap((each) => each.behind)
      const heard = servers.every(({ reachable }) => reachable)
      const together = replicas.length >= 2 && replicas.every(({ state }) => state === 'in-sync')
      const isDirect = await this.#isDirect()
      if (heard && together && behind.length === 0 && isDirect) return undefined
      return JSON.stringify({ replicas, behind, heard, isDirect })
    } catch (error) {
      return String(error)
    }
  }

  /** No front end goes through the management path any more: the next fault may hit the direct one. */
  async #isDirect(): Promise<boolean> {
    const { cluster } = this
    const fronts = await Promise.all(cluster.shims.map((shim) => cluster.front(shim, volume)))
    return fronts.every(({ paths }) => paths.every(({ route }) => route !== 'management'))
  }

  async #startFronts({ shim, gateways }: SceneOptions): Promise<void> {
    const { cluster } = this
    if (shim) this.#shim = await cluster.startShim('shim')
    for (const name of gateways ? ['one', 'two'] : []) {
      const front = await cluster.startShim(name, 'gateway')
      this.gateways.push({ front, path: await Relay.open(realNetwork, front.portal) })
    }
    const clients = cluster.shims.map(({ client }) => client)
    for (const server of cluster.servers) {
      const { junction } = server
      const fronts = new Map<string, Relay>()
      for (const client of clients) {
        fronts.set(client, await junction.addWay((name) => name === client))
      }
      const peers = await junction.addWay((name) => !clients.includes(name))
      this.members.push({ server, peers, fronts })
    }
  }

  async #createVolume(): Promise<void> {
    const policies = { stripe: 0, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
    const request = { name: volume, sizeBytes: 64 * MIB, partitions: [], mirror: 2, ...policies }
    await this.cluster.admin.createVolume(request, deadlineMs)
    await this.healthy()
  }

  async #openLoads(): Promise<void> {
    const targetName = volumeIqn(volume)
    for (let i = 0; this.#shim !== undefined && i < qemuWriters; i++) {
      const url = `iscsi://${this.#shim.portal}/${targetName}/0`
      this.loads.push(await QemuWriter.open({ url, offsetBytes: i * 32 * MIB, ...slots }))
    }
    if (this.gateways.length === 0) return
    this.#host = new MultipathWriter({
      ...{ network: realNetwork, initiatorName: 'iqn.2026-11.example:host', targetName },
      addresses: this.gateways.map(({ path }) => path.address),
      ...hostRange,
    })
    this.loads.push(this.#host)
  }
}

/**
 * A manager and storage servers as far as changes go, in one process: the real manager over a
 * memory store, the real volume states of the servers and their real talk with the manager, over a
 * network whose faults the test plans. Programs can be killed and started again; what they had
 * made durable stays. There is no iSCSI and there are no pages.
 */

import type {
  HeldVolume as HeldVolumeMessage,
  ServerFacts,
  VerifyReply,
  VerifyRequest,
} from '../../src/control/messages/server.ts'
import {
  type AdminClient,
  adminClient,
  configurationClient,
  serveStorageServer,
} from '../../src/control/services.ts'
import { Manager } from '../../src/management/manager.ts'
import type { KeyValue, KeyValueEntry, Transaction } from '../../src/ports/key-value.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import { HeldVolumes } from '../../targets/replica/held-volumes.ts'
import { ManagerLink } from '../../targets/replica/manager-link.ts'
import type { SegmentStore } from '../../targets/replica/segment-store.ts'
import { VolumeRecords } from '../../targets/replica/volume-records.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryKeyValue } from './memory-key-value.ts'
import { MemoryNetwork } from './memory-network.ts'
import { type Host, MemoryRpc } from './memory-rpc.ts'
import { quietLog } from './quiet-log.ts'
import { DataPaths, type Disk, RigMirror } from './rig-mirror.ts'
import { seededRandom } from './seeded-random.ts'
import { testUuid } from './volume-maps.ts'

const managerAddress = 'manager:1'
const capacityBytes = 64 * 1024 * 1024

export interface ControlClusterOptions {
  readonly servers: number
  readonly seed?: number
}

export class ControlCluster {
  readonly clock = new ManualClock()
  readonly net = new MemoryRpc(this.clock)
  readonly servers: ServerRig[]
  readonly admin: AdminClient
  readonly store = new MemoryKeyValue()
  /** What servers send each other. */
  readonly paths: DataPaths
  /** Sees each transaction of the configuration store in the turn in which it is durable. */
  committed: (transaction: Transaction) => void = () => undefined
  manager: Manager | undefined
  #managerHost: Host | undefined
  #keyValue: MortalKeyValue | undefined
  readonly #seed: number
  #starts = 0

  constructor({ servers, seed = 1 }: ControlClusterOptions) {
    this.#seed = seed
    this.paths = new DataPaths(this.clock, seededRandom(seed))
    this.servers = Array.from({ length: servers }, (_, i) => new ServerRig(this, i + 1))
    this.admin = adminClient(this.net.host('admin').channel(managerAddress))
  }

  /** Manager and servers up, all adopted. */
  static async start(options: ControlClusterOptions): Promise<ControlCluster> {
    const cluster = new ControlCluster(options)
    await cluster.startManager()
    for (const server of cluster.servers) {
      await server.start()
      const added = cluster.admin.addServer({ address: server.control, name: '' }, 5_000)
      await cluster.run(added)
    }
    return cluster
  }

  /** Moves time until the promise settles; at most `mostMs`. */
  async run<T>(promise: Promise<T>, mostMs = 60_000): Promise<T> {
    let settled = false
    const done = promise.finally(() => {
      settled = true
    })
    done.catch(() => undefined)
    for (let ms = 0; !settled && ms <= mostMs; ms += 1) await this.clock.advance(1)
    if (!settled) throw new Error(`not settled within ${mostMs} ms`)
    return done
  }

  async startManager(): Promise<void> {
    this.#starts += 1
    const host = this.net.host('manager')
    this.#managerHost = host
    this.#keyValue = new MortalKeyValue(this.store, (each) => this.committed(each))
    this.manager = await Manager.start(
      {
        keyValue: this.#keyValue,
        rpc: host,
        network: new MemoryNetwork(),
        clock: this.clock,
        random: seededRandom(this.#seed * 1000 + this.#starts),
        log: quietLog,
      },
      { control: managerAddress, portals: [] },
    )
  }

  /** Nothing that it has not committed will ever happen; what it sent still arrives. */
  killManager(): void {
    this.#managerHost?.kill()
    if (this.#keyValue !== undefined) this.#keyValue.dead = true
    this.manager = undefined
  }

  async stop(): Promise<void> {
    for (const server of this.servers) server.kill()
    this.killManager()
    await this.clock.advance(0)
  }
}

/** One storage server's state of volumes. Its records survive a kill. */
export class ServerRig {
  readonly name: string
  readonly serverId: string
  readonly control: string
  readonly store: MemorySegmentStore
  readonly disk: Disk = { contents: new Map(), flushed: new Map(), failed: false }
  readonly #cluster: ControlCluster
  readonly #records = new MemoryKeyValue()
  #keyValue: MortalKeyValue | undefined
  #host: Host | undefined
  #link: ManagerLink | undefined
  #volumes: HeldVolumes | undefined
  #mirror: RigMirror | undefined
  #starts = 0
  sessions = 0
  /** What it answers when the manager has it compare copies. */
  verify: (request: VerifyRequest) => VerifyReply = () => ({ segments: [] })

  constructor(cluster: ControlCluster, number: number) {
    this.#cluster = cluster
    this.name = `s${number}`
    this.serverId = testUuid(number)
    this.control = `${this.name}:1`
    this.store = new MemorySegmentStore(`${this.name}-1`)
  }

  get alive(): boolean {
    return this.#host?.alive === true
  }

  /** What it says of a volume; undefined while it is down. */
  held(volumeId: string): HeldVolumeMessage | undefined {
    return this.alive ? this.#volumes?.get(volumeId)?.describe(this.sessions) : undefined
  }

  /** Its running process towards other servers. */
  get mirror(): RigMirror | undefined {
    return this.alive ? this.#mirror : undefined
  }

  map(volumeId: string): VolumeMap | undefined {
    return this.#volumes?.get(volumeId)?.map
  }

  async start(): Promise<void> {
    const { clock, net } = this.#cluster
    this.#starts += 1
    const host = net.host(this.name)
    this.#host = host
    this.#keyValue = new MortalKeyValue(this.#records)
    let link: ManagerLink | undefined
    const configuration = configurationClient(host.channel(managerAddress))
    const mirror = new RigMirror({
      name: this.name,
      serverId: this.serverId,
      disk: this.disk,
      paths: this.#cluster.paths,
      incarnation: () => this.store.incarnation,
      tell: (volume) => {
        const request = { serverId: this.serverId, volume: volume.describe(this.sessions) }
        configuration.condition(request, 1_000).catch(() => undefined)
      },
    })
    this.#mirror = mirror
    const volumes = await HeldVolumes.load({
      serverId: this.serverId,
      store: this.store,
      records: new VolumeRecords(this.#keyValue),
      clock,
      log: quietLog,
      changed: (volume) => link?.changed(volume),
      mirrors: (volume) => mirror.of(volume),
    })
    this.#volumes = volumes
    link = new ManagerLink({
      configuration,
      serverId: this.serverId,
      volumes,
      clock,
      log: quietLog,
      describe: () => this.#describe(volumes),
      sessions: () => this.sessions,
    })
    this.#link = link
    await host.serve(
      this.control,
      serveStorageServer({
        close: async (request) => ({
          ...(await volumes.close(request)),
          sessions: this.sessions,
        }),
        activate: async (request) => ({ incarnations: await volumes.activate(request) }),
        reopen: async (request) => {
          await volumes.reopen(request)
          return {}
        },
        describe: async () => ({ ...this.#describe(volumes), counters: [] }),
        records: async () => volumes.records(),
        verify: async (request) => this.verify(request),
      }),
    )
    link.start()
  }

  kill(): void {
    this.#host?.kill()
    this.#link?.stop()
    this.#mirror?.kill()
    if (this.#keyValue !== undefined) this.#keyValue.dead = true
  }

  /** Down, and up again without what it had acknowledged and not flushed. */
  losePower(): void {
    this.kill()
    this.store.incarnation = `${this.name}-${this.#starts + 1}`
    const { contents, flushed } = this.disk
    for (const [segmentId, content] of contents) {
      const kept = [...content].filter((write) => {
        return (
          flushed.get(segmentId)?.has(write) === true || this.#cluster.paths.random.below(2) > 0
        )
      })
      contents.set(segmentId, new Set(kept))
      flushed.set(segmentId, new Set(kept))
    }
  }

  #describe(volumes: HeldVolumes) {
    const facts: ServerFacts = {
      serverId: this.serverId,
      name: this.name,
      portals: [`${this.name}:3260`],
      control: this.control,
      capacityBytes,
      freeBytes: capacityBytes,
      processId: `${this.name}.${this.#starts}`,
      version: 'test',
      storeIncarnation: this.store.incarnation,
    }
    const held = volumes.all().filter(({ map }) => !map.deleted)
    return { server: facts, volumes: held.map((volume) => volume.describe(this.sessions)) }
  }
}

/** Which replicas there are; nothing in them. */
export class MemorySegmentStore implements SegmentStore {
  incarnation: string
  readonly replicas = new Map<string, number>()

  constructor(incarnation: string) {
    this.incarnation = incarnation
  }

  replicaBlocks(segmentId: string): number | undefined {
    return this.replicas.get(segmentId)
  }

  async createReplica(segmentId: string, blocks: number): Promise<void> {
    this.replicas.set(segmentId, blocks)
  }

  async resizeReplica(segmentId: string, blocks: number): Promise<void> {
    this.replicas.set(segmentId, blocks)
  }

  async dropReplica(segmentId: string): Promise<void> {
    this.replicas.delete(segmentId)
  }
}

/** A program's handle on its store: once the program is dead, nothing happens through it. */
class MortalKeyValue implements KeyValue {
  dead = false
  readonly #inner: KeyValue
  readonly #committed: (transaction: Transaction) => void

  constructor(inner: KeyValue, committed: (transaction: Transaction) => void = () => undefined) {
    this.#inner = inner
    this.#committed = committed
  }

  get(key: string): Promise<Buffer | undefined> {
    return this.#inner.get(key)
  }

  range(prefix: string): Promise<KeyValueEntry[]> {
    return this.#inner.range(prefix)
  }

  async transact(transaction: Transaction): Promise<boolean> {
    const never = new Promise<never>(() => undefined)
    if (this.dead) return never
    const applied = await this.#inner.transact(transaction)
    if (applied) this.#committed(transaction)
    return this.dead ? never : applied
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

/**
 * A whole cluster in one process: the real manager, storage servers and shim, over networks, disks
 * and a store in memory, on a clock that the test moves. The direct path of each server leads
 * through a relay that the test can cut; the management path does not. Initiators are legs whose
 * own clock stands still: they wait for as long as it takes.
 */
import { Shim } from '../../initiator-shim/shim.ts'
import type { ShimStatusReply } from '../../src/control/messages/shim.ts'
import { type AdminClient, adminClient, shimStatusClient } from '../../src/control/services.ts'
import { plainLoginPolicy } from '../../src/iscsi/login-policy.ts'
import { openLeg } from '../../src/leg/open-leg.ts'
import { Manager } from '../../src/management/manager.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import { StorageServer } from '../../targets/storage-server.ts'
import { PageStore } from '../../targets/store/page-store.ts'
import { directDigest } from './direct-digest.ts'
import { GatedBlockFiles } from './gated-block-files.ts'
import { Initiator } from './initiator.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryBlockFiles } from './memory-block-files.ts'
import { MemoryKeyValue } from './memory-key-value.ts'
import { MemoryNetwork } from './memory-network.ts'
import { MemoryRpc } from './memory-rpc.ts'
import { quietLog } from './quiet-log.ts'
import { Relay } from './relay.ts'
import { seededRandom } from './seeded-random.ts'
import { testClient, testUuid } from './volume-maps.ts'

const managerAddress = 'manager:1'
const capacityBytes = 16 * 1024 * 1024

export interface VolumeSpec {
  readonly name: string
  readonly sizeBytes: number
  readonly stripe?: number
  readonly holdMs?: number
  readonly blockBytes?: number
  readonly readOnly?: boolean
  /** Copies. */
  readonly mirror?: number
}

export class MemoryCluster {
  readonly clock = new ManualClock()
  readonly network = new MemoryNetwork()
  readonly rpc = new MemoryRpc(this.clock)
  readonly admin: AdminClient = adminClient(this.rpc.host('admin').channel(managerAddress))
  readonly servers: MemoryServer[] = []
  manager!: Manager
  shim!: Shim
  portal = ''
  #status = ''
  readonly #still = new ManualClock()
  #shims = 0
  readonly #moreShims: Shim[] = []

  private constructor() {}

  static async start(options: {
    readonly servers: number
    readonly volumes: readonly VolumeSpec[]
  }): Promise<MemoryCluster> {
    const cluster = new MemoryCluster()
    cluster.manager = await Manager.start(
      {
        keyValue: new MemoryKeyValue(),
        rpc: cluster.rpc.host('manager'),
        network: cluster.network,
        clock: cluster.clock,
        random: seededRandom(7),
        log: quietLog,
      },
      { control: managerAddress, portals: ['127.0.0.1:0'] },
    )
    for (let i = 1; i <= options.servers; i++) {
      const server = new MemoryServer(cluster, i)
      cluster.servers.push(server)
      await cluster.run(server.start())
      const added = cluster.admin.addServer({ address: server.control, name: '' }, 5_000)
      await cluster.run(added)
    }
    for (const volume of options.volumes) await cluster.create(volume)
    await cluster.startShim()
    return cluster
  }

  async create({ stripe = 0, holdMs = 0, ...volume }: VolumeSpec): Promise<VolumeMap> {
    const asked = { partitions: [], stalePolicy: 'reject', leaseMs: 0 } as const
    const request = { ...volume, stripe, holdMs, ...asked }
    return (await this.run(this.admin.createVolume(request, 9_000))).map
  }

  async startShim(): Promise<void> {
    const host = this.rpc.host(`shim-${++this.#shims}`)
    const { network, clock } = this
    this.shim = new Shim(
      { network, rpc: host, clock, random: seededRandom(this.#shims), log: quietLog },
      { client: testClient, manager: managerAddress, volumes: [], policy: plainLoginPolicy },
    )
    this.#status = await this.shim.listenStatus(`shim:${this.#shims}`)
    this.portal = await this.shim.listen('127.0.0.1:0')
    await this.run(this.shim.start())
  }

  /** Another client's shim, named `shim-N` in the RPC network. */
  async addShim(
    client: string,
    gateway?: { readonly group: number },
  ): Promise<{ shim: Shim; portal: string; host: string }> {
    const name = `shim-${++this.#shims}`
    const rpc = this.rpc.host(name)
    const { network, clock } = this
    const shim = new Shim(
      { network, rpc, clock, random: seededRandom(this.#shims), log: quietLog },
      {
        ...{ client, manager: managerAddress, volumes: [], policy: plainLoginPolicy },
        ...(gateway !== undefined && { gateway }),
      },
    )
    this.#moreShims.push(shim)
    const portal = await shim.listen('127.0.0.1:0')
    await this.run(shim.start())
    return { shim, portal, host: name }
  }

  async status(): Promise<ShimStatusReply> {
    const channel = this.rpc.host('reader').channel(this.#status)
    return this.run(shimStatusClient(channel).show({}, 1_000))
  }

  /** An initiator logs in to a volume at the shim; sequential numbers make different ISIDs. */
  async attach(
    volume: string,
    options: { name?: string; isid?: number; address?: string } = {},
  ): Promise<Initiator> {
    const { name = 'a', isid = 1, address = this.portal } = options
    const opening = openLeg({
      network: this.network,
      clock: this.#still,
      address,
      initiatorName: `iqn.2026-11.example:${name}`,
      isid: Buffer.from([0x80, 0, 0, 0, 0, isid]),
      targetName: `iqn.2026-11.io.palisade:${volume}`,
    })
    const opened = await this.run(opening)
    if (opened.kind !== 'open') throw new Error(`no session with ${volume}: ${opened.cause}`)
    return new Initiator(opened.leg)
  }

  /** Moves time until the promise settles; at most `mostMs`. */
  async run<T>(promise: Promise<T>, mostMs = 120_000): Promise<T> {
    let settled = false
    const done = promise.finally(() => {
      settled = true
    })
    done.catch(() => undefined)
    const untilMs = this.clock.nowMs() + mostMs
    while (!settled && this.clock.nowMs() <= untilMs) await this.clock.advance(1)
    if (!settled) throw new Error(`not settled within ${mostMs} ms`)
    return done
  }

  /** Lets time go by in small steps, so that traffic goes on meanwhile. */
  async pass(ms: number): Promise<void> {
    for (let i = 0; i < ms; i++) await this.clock.advance(1)
  }

  /** Moves time until the condition holds. */
  async until(condition: () => boolean | Promise<boolean>, mostMs = 30_000): Promise<void> {
    const untilMs = this.clock.nowMs() + mostMs
    while (!(await condition())) {
      if (this.clock.nowMs() > untilMs) throw new Error(`never within ${mostMs} ms`)
      await this.clock.advance(25)
    }
  }

  async stop(): Promise<void> {
    for (const shim of [this.shim, ...this.#moreShims]) await this.run(shim.stop(0))
    for (const server of this.servers) await this.run(server.stop())
    await this.run(this.manager.stop())
  }
}

/** A storage server whose disk and records survive a stop. */
export class MemoryServer {
  readonly name: string
  readonly control: string
  readonly #cluster: MemoryCluster
  readonly #number: number
  readonly files = new GatedBlockFiles(new MemoryBlockFiles())
  readonly #metadata = new MemoryKeyValue()
  readonly #records = new MemoryKeyValue()
  #starts = 0
  #server: StorageServer | undefined
  relay!: Relay

  constructor(cluster: MemoryCluster, number: number) {
    this.#cluster = cluster
    this.#number = number
    this.name = `s${number}`
    this.control = `${this.name}:1`
  }

  async start(): Promise<void> {
    const { clock, network, rpc } = this.#cluster
    this.#starts++
    this.relay ??= await Relay.open(network)
    const listen = `10.0.0.${this.#number}:${3260 + this.#starts}`
    this.relay.target = listen
    this.#server = await StorageServer.start(
      {
        clock,
        log: quietLog,
        network,
        rpc: rpc.host(this.name),
        records: this.#records,
        digest: directDigest,
        store: {
          files: this.files,
          metadata: this.#metadata,
          random: seededRandom(this.#number * 100 + this.#starts),
          bootId: 'boot',
          capacityBytes,
        },
      },
      {
        serverId: testUuid(this.#number),
        name: this.name,
        portals: [{ listen, advertised: this.relay.address }],
        control: { listen: this.control },
        manager: managerAddress,
        version: 'test',
        processId: `${this.#number}.${this.#starts}`,
      },
    )
  }

  async stop(): Promise<void> {
    await this.#server?.stop(0)
    this.#server = undefined
  }

  get serverId(): string {
    return testUuid(this.#number)
  }

  get running(): boolean {
    return this.#server !== undefined
  }

  /** What the disk of a server that was stopped has of a segment: one stamp a block. */
  async stampsOf(segmentId: string, lba: number, blocks: number): Promise<number[]> {
    const store = await PageStore.open({
      ...{ clock: new ManualClock(), log: quietLog, failed: () => undefined },
      ...{ files: this.files, metadata: this.#metadata, bootId: 'boot', capacityBytes },
      random: seededRandom(this.#number),
    })
    const data = Buffer.concat((await store.replica(segmentId)?.read(lba, blocks)) ?? [])
    await store.close()
    return Array.from({ length: data.length / 512 }, (_, i) => data.readUInt32BE(i * 512))
  }
}

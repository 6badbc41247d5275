/**
 * A storage server: an iSCSI target that owns a page store, holds replicas of segments, and does
 * nothing for a request whose generation is not its own. This file only joins the parts: the state
 * of volumes and the talk with the manager are targets/replica, the units targets/lun, the pages
 * targets/store, iSCSI src/portal.
 */
import { StorageError } from '../src/base/errors.ts'
import type { Order, ServerFacts } from '../src/control/messages/server.ts'
import {
  type ConfigurationClient,
  configurationClient,
  type StorageServerHandlers,
  serveStorageServer,
} from '../src/control/services.ts'
import { fencedLoginPolicy } from '../src/iscsi/login-policy.ts'
import { Portal } from '../src/portal/portal.ts'
import type { Clock } from '../src/ports/clock.ts'
import type { Digest } from '../src/ports/digest.ts'
import type { KeyValue } from '../src/ports/key-value.ts'
import type { Log } from '../src/ports/log.ts'
import type { Network } from '../src/ports/network.ts'
import type { RpcChannel, RpcListener, RpcNetwork } from '../src/ports/rpc.ts'
import { replicationIqn } from '../src/volume/names.ts'
import { VolumeTarget } from './lun/volume-target.ts'
import type { ClearingTimes } from './mirror/clearing-choice.ts'
import { ServerMirrors } from './mirror/server-mirrors.ts'
import { ConditionReports } from './replica/condition-reports.ts'
import type { HeldVolume } from './replica/held-volume.ts'
import { HeldVolumes } from './replica/held-volumes.ts'
import { LoginGate } from './replica/login-gate.ts'
import { ManagerLink } from './replica/manager-link.ts'
import { ServerStore } from './replica/server-store.ts'
import { VolumeRecords } from './replica/volume-records.ts'
import type { PageStoreOptions } from './store/page-store.ts'

export interface StorageServerPorts {
  readonly clock: Clock
  readonly log: Log
  readonly network: Network
  readonly rpc: RpcNetwork
  /** The server's own records; open before and closed after the server. */
  readonly records: KeyValue
  readonly digest: Digest
  readonly store: Omit<PageStoreOptions, 'failed' | 'clock' | 'log'>
}

export interface PortalAddress {
  readonly listen: string
  /** What clients are told; without it the address that it listens on. */
  readonly advertised?: string
}

export interface StorageServerOptions {
  /** UUID, drawn once into the server's directory. */
  readonly serverId: string
  readonly name: string
  /** One a data path. */
  readonly portals: readonly PortalAddress[]
  readonly control: PortalAddress
  /** `HOST:PORT` of the manager's calls. */
  readonly manager: string
  readonly version: string
  /** Drawn at every start. */
  readonly processId: string
  /** Of marks in region masks; without it the usual times. */
  readonly clearing?: ClearingTimes
}

/** What a starting server acquires, in this order; released in the other. */
interface Parts {
  readonly store: ServerStore
  readonly mirrors: ServerMirrors
  readonly volumes: HeldVolumes
  readonly portal: Portal
  readonly channel: RpcChannel
}

export class StorageServer {
  readonly #ports: StorageServerPorts
  readonly #options: StorageServerOptions
  readonly #targets = new Map<string, VolumeTarget>()
  readonly #portals: string[] = []
  readonly #listens: string[] = []
  #control = ''
  #parts: Parts | undefined
  #link: ManagerLink | undefined
  #reports: ConditionReports | undefined
  #calls: RpcListener | undefined

  private constructor(ports: StorageServerPorts, options: StorageServerOptions) {
    this.#ports = ports
    this.#options = options
  }

  /** Resolves when everything listens. Rejects with StorageError, and then holds nothing open. */
  static async start(
    ports: StorageServerPorts,
    options: StorageServerOptions,
  ): Promise<StorageServer> {
    const server = new StorageServer(ports, options)
    try {
      await server.#start()
    } catch (error) {
      await server.stop(0)
      throw error
    }
    return server
  }

  /** Where clients are told to come, one address a data path. */
  get portals(): readonly string[] {
    return this.#portals
  }

  /** Where it serves the manager's calls. */
  get control(): string {
    return this.#control
  }

  /** Ends sessions after `graceMs`, makes everything durable. */
  async stop(graceMs: number): Promise<void> {
    this.#link?.stop()
    this.#reports?.stop()
    await this.#calls?.close()
    if (this.#parts === undefined) return
    const { portal, store, channel, mirrors } = this.#parts
    // What waits for partners that are away has that long to end.
    const cancel = this.#ports.clock.after(graceMs, () => mirrors.stop())
    await portal.close(graceMs)
    cancel()
    mirrors.stop()
    channel.close()
    await mirrors.close()
    await store.close()
  }

  async #start(): Promise<void> {
    const { clock, log, network, rpc } = this.#ports
    const { manager, portals, control } = this.#options
    const store = await ServerStore.open({ ...this.#ports.store, clock, log })
    const mirrors = this.#mirrors(store)
    const volumes = await this.#load(store, mirrors)
    const host = new LoginGate({
      targets: () => this.#targets.values(),
      portals: this.#portals,
      replication: {
        targetName: replicationIqn(this.#options.name),
        accept: mirrors.accept,
      },
    })
    const portal = new Portal({ network, clock, log, host, policy: fencedLoginPolicy })
    const channel = rpc.channel(manager)
    this.#parts = { store, mirrors, volumes, portal, channel }
    for (const volume of volumes.all()) this.#changed(volume)
    for (const { listen, advertised } of portals) {
      const address = await portal.listen(listen)
      this.#portals.push(advertised ?? address)
      this.#listens.push(address)
    }
    this.#calls = await rpc.serve(control.listen, serveStorageServer(this.#handlers(volumes)))
    this.#control = control.advertised ?? this.#calls.address
    this.#startLink(this.#parts)
  }

  #mirrors(store: ServerStore): ServerMirrors {
    const { clock, log, network, digest } = this.#ports
    const { files, random } = this.#ports.store
    const { serverId, clearing } = this.#options
    return new ServerMirrors({
      ...{ serverId, clock, log, network, random, digest, files, store },
      ...(clearing && { clearing }),
      newerSeen: (volume) => this.#link?.newerSeen(volume),
      changed: (volume) => this.#reports?.look(volume),
    })
  }

  async #load(store: ServerStore, mirrors: ServerMirrors): Promise<HeldVolumes> {
    const { clock, log, records } = this.#ports
    try {
      return await HeldVolumes.load({
        serverId: this.#options.serverId,
        store,
        records: new VolumeRecords(records),
        clock,
        log,
        changed: (volume) => this.#changed(volume),
        mirrors: (volume) => mirrors.of(volume),
      })
    } catch (error) {
      mirrors.stop()
      await store.close()
      throw error
    }
  }

  #startLink({ store, mirrors, volumes, channel }: Parts): void {
    const { clock, log } = this.#ports
    const configuration = configurationClient(channel)
    const link = new ManagerLink({
      configuration,
      serverId: this.#options.serverId,
      volumes,
      clock,
      log,
      describe: () => this.#describe(store, volumes),
      sessions: (volumeId) => this.#sessions(volumeId),
      limitRecovery: (bytesPerSecond) => mirrors.limitRecovery(bytesPerSecond),
      managerIsNew: () => this.#reports?.tellAnew(),
    })
    this.#link = link
    this.#reports = this.#startReports(volumes, configuration)
    store.onChange(() => {
      volumes.storeChanged()
      link.registerSoon()
    })
    link.start()
  }

  #startReports(volumes: HeldVolumes, configuration: ConfigurationClient): ConditionReports {
    const { clock, log } = this.#ports
    const reports = new ConditionReports({
      ...{ configuration, clock, log, serverId: this.#options.serverId },
      volumes: () => volumes.all(),
      describe: (volume) => volume.describe(this.#sessions(volume.volumeId)),
    })
    reports.start()
    return reports
  }

  #sessions(volumeId: string): number {
    return this.#targets.get(volumeId)?.sessions ?? 0
  }

  #changed(volume: HeldVolume): void {
    const { volumeId } = volume
    if (!this.#targets.has(volumeId)) this.#targets.set(volumeId, this.#target(volume))
    this.#parts?.mirrors.follow(volume)
    this.#link?.changed(volume)
    this.#reports?.look(volume)
  }

  #target(volume: HeldVolume): VolumeTarget {
    return new VolumeTarget({
      volume,
      replica: (segmentId) => this.#parts?.mirrors.store(volume, segmentId),
      newerSeen: (seen) => this.#link?.newerSeen(seen),
    })
  }

  #handlers(volumes: HeldVolumes): StorageServerHandlers {
    return {
      close: async (request) => {
        mustHave(request.order)
        return { ...(await volumes.close(request)), sessions: this.#sessions(request.volumeId) }
      },
      activate: async (request) => {
        mustHave(request.order)
        mustHave(request.map)
        return { incarnations: await volumes.activate(request) }
      },
      reopen: async (request) => {
        mustHave(request.order)
        mustHave(request.closed)
        await volumes.reopen(request)
        return {}
      },
      records: async () => volumes.records(),
      verify: async (request) => {
        const mirrors = this.#parts?.mirrors.get(request.volumeId)
        if (mirrors === undefined) {
          throw new StorageError('not-found', `volume ${request.volumeId} is not held here`)
        }
        return { segments: mirrors.verify(request) }
      },
      describe: async () => {
        const { store, mirrors } = this.#parts ?? {}
        if (store === undefined) throw new StorageError('conflict', 'the server is starting')
        const counters = [...this.#targets].map(([volumeId, target]) =>
          target.counters.describe(volumeId, mirrors?.get(volumeId)?.counters ?? noCopies),
        )
        return { ...this.#describe(store, volumes), counters }
      },
    }
  }

  /** Throws while the store is not open: there is no incarnation to speak of. */
  #describe(store: ServerStore, volumes: HeldVolumes) {
    const held = volumes.all().filter(({ map }) => !map.deleted)
    return {
      server: this.#facts(store),
      volumes: held.map((volume) => volume.describe(this.#sessions(volume.volumeId))),
    }
  }

  #facts(store: ServerStore): ServerFacts {
    const { serverId, name, processId, version } = this.#options
    const { incarnation } = store
    if (incarnation === undefined) throw new StorageError('io-error', 'the page store is down')
    return {
      serverId,
      name,
      portals: this.#portals,
      control: this.#control,
      capacityBytes: store.capacityBytes,
      freeBytes: store.freeBytes,
      processId,
      version,
      storeIncarnation: incarnation,
      listens: this.#listens,
    }
  }
}

const noCopies = { resyncedBytes: 0, repairedBytes: 0 }

/** A field that the message leaves out is an absent property, whatever its type says. */
function mustHave(field: Order | object | undefined): void {
  if (field === undefined) throw new StorageError('invalid', 'the request is incomplete')
}

/**
 * The manager: joins the configuration store, the servers, the volumes, the watching clients and
 * the management path, and serves the calls of servers, front ends and the command line. It takes
 * ports and knows no machine; the composition root is src/cli/manager.ts.
 */
import { manager as limits } from '../base/limits.ts'
import type { StatusReply } from '../control/messages/admin.ts'
import type {
  AskRequest,
  ConditionReply,
  ConditionRequest,
  GetMapReply,
  RegisterRequest,
} from '../control/messages/client.ts'
import type { Order } from '../control/messages/server.ts'
import {
  type AdminHandlers,
  type ConfigurationHandlers,
  serveAdmin,
  serveConfiguration,
} from '../control/services.ts'
import type { Clock } from '../ports/clock.ts'
import type { KeyValue } from '../ports/key-value.ts'
import type { Log } from '../ports/log.ts'
import type { Network } from '../ports/network.ts'
import type { Random } from '../ports/random.ts'
import type { RpcListener, RpcNetwork } from '../ports/rpc.ts'
import type { VolumeMap } from '../volume/map.ts'
import { RecoveryAdmin } from './admin-recovery.ts'
import { ServerAdmin } from './admin-servers.ts'
import { statusReply } from './admin-status.ts'
import { VolumeAdmin } from './admin-volumes.ts'
import { domainKey } from './candidate.ts'
import { ClientReports } from './client-reports.ts'
import { Conditions } from './conditions.ts'
import { ConfigurationStore } from './configuration-store.ts'
import { FrontEnds } from './front-ends.ts'
import { ManagementPath } from './management-path/management-path.ts'
import { targetAddresses, targetNames } from './management-path/targets.ts'
import { withPortals } from './map-edits.ts'
import { MapWaiters } from './map-waiters.ts'
import { Recovery } from './recovery.ts'
import { type MissingRoom, missingRoom } from './recovery-room.ts'
import { ReplicaHealth } from './replica-health.ts'
import { RollCall } from './roll-call.ts'
import { ServerRegistry } from './server-registry.ts'
import { SharedStates } from './shared-state.ts'
import { ShutOutTimes } from './shut-out.ts'
import { Space } from './space.ts'
import { Succession } from './succession.ts'
import { Suspicions } from './suspicions.ts'
import { Volumes } from './volumes.ts'
import { roomWarnings, volumeWarnings } from './warnings.ts'
import { WatchHub } from './watch-hub.ts'

export interface ManagerPorts {
  readonly keyValue: KeyValue
  readonly rpc: RpcNetwork
  readonly network: Network
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface ManagerOptions {
  /** Where calls are served. */
  readonly control: string
  /** Where the management path listens. */
  readonly portals: readonly string[]
  /** Part of each server that only recovery may fill, once anything is mirrored; 0 to 1. */
  readonly reservedShare?: number
  /** Failure domain in which the manager runs; empty: not told. */
  readonly domain?: string
}

export class Manager {
  readonly #ports: ManagerPorts
  readonly #store: ConfigurationStore
  readonly #registry: ServerRegistry
  readonly #volumes: Volumes
  readonly #hub: WatchHub
  readonly #waiters: MapWaiters
  readonly #reports = new ClientReports()
  readonly #conditions: Conditions
  readonly #rollCall: RollCall
  readonly #suspicions: Suspicions
  readonly #health: ReplicaHealth
  readonly #recovery: Recovery
  readonly #space: Space
  readonly #shutOut = new ShutOutTimes()
  readonly #path: ManagementPath
  readonly #volumeAdmin: VolumeAdmin
  readonly #serverAdmin: ServerAdmin
  readonly #recoveryAdmin: RecoveryAdmin
  readonly #sharedStates: SharedStates
  readonly #frontEnds: FrontEnds
  readonly #domain: string
  #orders = 0
  #listener: RpcListener | undefined

  private constructor(ports: ManagerPorts, store: ConfigurationStore, options: ManagerOptions) {
    const { reservedShare = limits.reservedShare, domain = '' } = options
    this.#domain = domain
    const { rpc, network, clock, random, log } = ports
    this.#ports = ports
    this.#store = store
    this.#waiters = new MapWaiters(clock)
    this.#rollCall = new RollCall({ clock, isDead: (serverId) => registry.isDead(serverId) })
    const rollCall = this.#rollCall
    const succession = new Succession({ store, rollCall, log })
    this.#conditions = new Conditions(clock)
    this.#registry = new ServerRegistry({
      store,
      rpc,
      clock,
      log,
      heard: (facts, volumes) => {
        succession.heard(facts, volumes)
        this.#conditions.heard(facts, volumes)
        this.#volumes.heard(facts, volumes)
      },
      failed: (serverId, error) => this.#suspicions.failed(serverId, error),
      changed: (serverId, what) => this.#volumes.changed(serverId, what),
      portalsChanged: (serverId) => this.#volumes.republish(serverId),
    })
    const registry = this.#registry
    this.#suspicions = new Suspicions({
      clock,
      describe: (serverId) => registry.describe(serverId),
      lookAgain: (serverId) => this.#volumes.lookAt(serverId),
    })
    this.#health = new ReplicaHealth({
      clock,
      log,
      conditions: this.#conditions,
      suspicions: this.#suspicions,
      isReachable: (serverId) => registry.isReachable(serverId),
      isDead: (serverId) => registry.isDead(serverId),
    })
    this.#space = new Space({
      registry,
      maps: () => store.volumes,
      hasFailedDisk: (serverId) => this.#conditions.hasFailedDisk(serverId),
      reservedShare,
    })
    this.#recovery = new Recovery({
      clock,
      log,
      conditions: this.#conditions,
      space: this.#space,
      graceMs: () => store.recovery.graceMs,
      isDead: (serverId) => registry.isDead(serverId),
      domainOf: (serverId) => this.#domainKey(serverId),
    })
    this.#hub = new WatchHub({
      clock,
      maps: () => this.#volumeAdmin.maps,
      managementPath: () => this.#path.addresses,
    })
    const handOut = (map: VolumeMap) => withPortals(map, (id) => registry.portalsOf(id))
    this.#volumes = new Volumes({
      store,
      clock,
      log,
      health: this.#health,
      recovery: this.#recovery,
      nextOrder: () => this.#nextOrder(),
      client: (serverId) => succession.attentive(registry.client(serverId)),
      isDead: (serverId) => registry.isDead(serverId),
      nameOf: (serverId) => registry.nameOf(serverId),
      handOut,
      rollCall,
      committed: (map) => this.#waiters.committed(handOut(map)),
      publish: (map) => this.#hub.publish(handOut(map)),
      refresh: (serverId, delayMs) => registry.refresh(serverId, delayMs),
      shutOut: this.#shutOut,
    })
    this.#volumeAdmin = new VolumeAdmin({
      volumes: this.#volumes,
      registry,
      space: this.#space,
      conditions: this.#conditions,
      recovery: this.#recovery,
      warningsOf: (map) => this.#warningsOf(map),
      random,
      handOut,
    })
    this.#serverAdmin = new ServerAdmin({ registry, volumes: this.#volumes, space: this.#space })
    this.#recoveryAdmin = new RecoveryAdmin({
      store,
      registry,
      volumes: this.#volumes,
      volumeAdmin: this.#volumeAdmin,
    })
    this.#sharedStates = new SharedStates({ volumes: this.#volumes, handOut })
    this.#frontEnds = new FrontEnds({ clock, volumes: this.#volumes, handOut })
    this.#path = new ManagementPath({
      network,
      clock,
      log,
      targetNames: () => targetNames(this.#volumes),
      addressesOf: (name) => targetAddresses(name, this.#volumes, registry),
    })
  }

  /** Resolves when it serves; from then on `keyValue` is closed by `stop`. */
  static async start(ports: ManagerPorts, options: ManagerOptions): Promise<Manager> {
    const store = await ConfigurationStore.open(ports.keyValue)
    const manager = new Manager(ports, store, options)
    try {
      for (const portal of options.portals) await manager.#path.listen(portal)
      manager.#listener = await ports.rpc.serve(options.control, manager.#methods())
    } catch (error) {
      await manager.stop()
      throw error
    }
    manager.#registry.start()
    return manager
  }

  /** Where calls are served, with the real port. */
  get control(): string {
    return this.#listener?.address ?? ''
  }

  /** iSCSI portals of the management path. */
  get portals(): readonly string[] {
    return this.#path.addresses
  }

  /** Resolves when the store has failed or another manager took it over: start anew. */
  get storeFailed(): Promise<Error> {
    return this.#store.failed
  }

  async stop(): Promise<void> {
    this.#hub.stop()
    this.#waiters.stop()
    this.#registry.stop()
    this.#rollCall.stop()
    this.#suspicions.stop()
    this.#health.stop()
    this.#recovery.stop()
    await this.#path.close()
    await this.#listener?.close()
    await this.#store.close()
  }

  #nextOrder(): Order {
    this.#orders += 1
    return { term: this.#store.term, number: this.#orders }
  }

  #methods() {
    return [...serveConfiguration(this.#configuration()), ...serveAdmin(this.#admin())]
  }

  #configuration(): ConfigurationHandlers {
    return {
      register: (request) => this.#register(request),
      condition: async (request) => this.#condition(request),
      ask: async (request) => this.#ask(request),
      getMap: ({ volume, newerThan }) => this.#getMap(volume, newerThan),
      watch: (_request, sink) => this.#hub.watch(sink),
      changeSharedState: (request) => this.#sharedStates.change(request),
      attend: async (request) => this.#frontEnds.attend(request),
      activateFrontEnd: (request) => this.#frontEnds.activate(request),
      report: async (report) => {
        this.#reports.take(report, this.#ports.clock.wallMs())
        if (this.#store.server(report.serverId) !== undefined) this.#suspicions.reported(report)
        const server = this.#registry.nameOf(report.serverId)
        this.#ports.log.info('reported', { ...report, server })
        return {}
      },
    }
  }

  #admin(): AdminHandlers {
    const volumes = this.#volumeAdmin
    const servers = this.#serverAdmin
    return {
      createVolume: (request) => volumes.create(request),
      listVolumes: async () => ({ maps: volumes.maps }),
      showVolume: async ({ name }) => volumes.show(name),
      growVolume: (request) => volumes.grow(request),
      deleteVolume: async (request) => {
        await volumes.delete(request)
        return {}
      },
      fence: (request) => volumes.fence(request),
      admit: (request) => volumes.admit(request),
      clearReservations: (request) => this.#sharedStates.clear(request),
      addServer: async (request) => ({ server: await servers.add(request) }),
      setDomain: async (request) => ({ server: await servers.setDomain(request) }),
      listServers: async () => ({ servers: servers.all }),
      showServer: async ({ name }) => ({ server: servers.show(name) }),
      removeServer: async ({ name }) => {
        await servers.remove(name)
        return {}
      },
      declareDead: async ({ name }) => ({ server: await servers.declareDead(name) }),
      verifyVolume: (request) => this.#recoveryAdmin.verify(request),
      recovery: (request) => this.#recoveryAdmin.recovery(request),
      status: async () => this.#status(),
    }
  }

  async #register({ server }: RegisterRequest) {
    const adopted = await this.#registry.register(server)
    const { bytesPerSecond } = this.#store.recovery
    return { adopted, term: this.#store.term, recoveryBytesPerSecond: bytesPerSecond }
  }

  #condition({ serverId, volume }: ConditionRequest): ConditionReply {
    if (this.#store.server(serverId) === undefined) return {}
    this.#conditions.take(serverId, volume)
    this.#volumes.look(volume.volumeId)
    return {}
  }

  #ask({ serverId, volume }: AskRequest) {
    // Only adopted servers hold data of this manager's.
    if (this.#store.server(serverId) === undefined) return { wait: true }
    return this.#volumes.verdict(serverId, volume)
  }

  async #getMap(name: string, newerThan: number): Promise<GetMapReply> {
    const { map } = this.#volumeAdmin.show(name)
    if (map.generation > newerThan) return { map }
    const newer = await this.#waiters.wait(map.volumeId, newerThan)
    return newer === undefined ? {} : { map: newer }
  }

  #warningsOf(map: VolumeMap): string[] {
    const servers = this.#registry.all
    const domains = new Map(servers.map(({ facts, domain }) => [facts.name, domain]))
    return [
      ...volumeWarnings(map, { domains, managerDomain: this.#domain }),
      ...roomWarnings(this.#missingRoom([map])),
    ]
  }

  #domainKey(serverId: string): string {
    return domainKey({ serverId, domain: this.#registry.domainOf(serverId) })
  }

  #missingRoom(maps: readonly VolumeMap[]): MissingRoom[] {
    return missingRoom(maps, {
      candidates: this.#space.room('recovery').candidates,
      domainOf: (serverId) => this.#domainKey(serverId),
    })
  }

  #status(): StatusReply {
    return statusReply({
      managerDomain: this.#domain,
      missingRoom: this.#missingRoom(this.#volumes.all.map(({ map }) => map)),
      store: this.#store,
      volumes: this.#volumes,
      volumeAdmin: this.#volumeAdmin,
      servers: this.#serverAdmin.all,
      nameOf: (serverId) => this.#registry.nameOf(serverId),
      shutOut: this.#shutOut.summary,
      watching: this.#hub.watching,
      relayed: this.#path.relayed,
      managementPath: this.#path.addresses,
      reports: this.#reports.all,
      gateways: this.#frontEnds.status,
    })
  }
}

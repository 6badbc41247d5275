/**
 * The shim: on the client's host, an iSCSI target towards stock initiators and an iSCSI initiator
 * towards the storage servers. This class puts its parts together and owns their life; it takes
 * the outside world as ports. Design sections 2, 3 and 8.
 */
import { background } from '../src/base/background.ts'
import { frontEnds, shim as limits } from '../src/base/limits.ts'
import type { ServedInitiator } from '../src/control/messages/client.ts'
import {
  type ConfigurationClient,
  configurationClient,
  serveShimStatus,
} from '../src/control/services.ts'
import type { LoginPolicy } from '../src/iscsi/login-policy.ts'
import { LoginNumbers } from '../src/leg/login-numbers.ts'
import { Portal, type PortalPlace } from '../src/portal/portal.ts'
import type { FrontSession } from '../src/portal/portal-host.ts'
import type { Clock } from '../src/ports/clock.ts'
import type { Log } from '../src/ports/log.ts'
import type { Network } from '../src/ports/network.ts'
import type { Random } from '../src/ports/random.ts'
import type { RpcChannel, RpcListener, RpcNetwork } from '../src/ports/rpc.ts'
import { TokenStore } from '../src/scsi/copy/token-store.ts'
import type { VolumeMap } from '../src/volume/map.ts'
import { FrontVolume } from './device/front-volume.ts'
import { Attendance } from './front/attendance.ts'
import { FrontHost } from './front/front-host.ts'
import { Liveness } from './front/liveness.ts'
import { LoginGuide } from './front/login-guide.ts'
import { attachmentKey } from './front/login-spread.ts'
import { MapWatch } from './map-watch.ts'
import type { PathPorts, PathReport } from './paths/server-path.ts'
import { shimStatus } from './shim-status.ts'

export interface ShimPorts {
  readonly network: Network
  readonly rpc: RpcNetwork
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export interface ShimOptions {
  /** InitiatorName of this client, its identity for admission. */
  readonly client: string
  /** Control address of the manager. */
  readonly manager: string
  /** Names of the volumes to offer; all that this client may see where it is empty. */
  readonly volumes: readonly string[]
  /**
   * For initiators elsewhere, beside other gateways: the portal group that no other one has. Absent:
   * a plain shim, for those of its host.
   */
  readonly gateway?: { readonly group: number }
  /** What initiators have to bring. */
  readonly policy: LoginPolicy
  /** How long commands are held before NOT READY; absent: what the volume's map says. */
  readonly holdMs?: number
}

/** The same in every shim: random format (RFC 7143 11.12.5), "PALSHI". One kind of program, one ISID. */
const isid = Buffer.from([0x80, 0x50, 0x41, 0x4c, 0x00, 0x01])

export class Shim {
  readonly #ports: ShimPorts
  readonly #options: ShimOptions
  readonly #channel: RpcChannel
  readonly #configuration: ConfigurationClient
  readonly #watch: MapWatch
  readonly #portal: Portal
  readonly #liveness: Liveness
  readonly #attendance: Attendance
  readonly #guide: LoginGuide
  /** As initiators are told of them. */
  readonly #addresses: string[] = []
  readonly #tokens: TokenStore
  readonly #pathPorts: PathPorts
  /** By volumeId. */
  readonly #volumes = new Map<string, FrontVolume>()
  #managementPath: readonly string[] = []
  #status: RpcListener | undefined

  constructor(ports: ShimPorts, options: ShimOptions) {
    const { network, rpc, clock, random, log } = ports
    this.#ports = ports
    this.#options = options
    this.#channel = rpc.channel(options.manager)
    this.#liveness = new Liveness(clock)
    this.#tokens = new TokenStore({ clock, random })
    const configuration = configurationClient(this.#channel)
    this.#configuration = configuration
    this.#pathPorts = {
      network,
      clock,
      log,
      initiatorName: options.client,
      isid,
      numbers: new LoginNumbers(clock),
      managementPortals: () => this.#managementPath,
      report: (report) => this.#report(report),
    }
    this.#watch = new MapWatch({
      client: options.client,
      configuration,
      clock,
      log,
      map: (map) => this.#take(map),
      gone: (volumeId) => this.#gone(volumeId),
      managementPath: (portals) => {
        this.#managementPath = portals
      },
    })
    const { gateway, client } = options
    this.#attendance = new Attendance({
      client,
      configuration,
      clock,
      ...(gateway !== undefined && {
        gateway: { group: gateway.group, addresses: () => this.#addresses },
      }),
      serves: () => this.#served(),
      sessions: () => this.#attached().length,
      attachments: () => this.#attachments(),
      named: () => this.#offered().some(({ namesUs }) => namesUs),
    })
    const attendance = this.#attendance
    this.#guide = new LoginGuide({ clock, attendance, sessions: () => this.#attached() })
    const host = new FrontHost({
      clock,
      attendance,
      liveness: this.#liveness,
      guide: this.#guide,
      volumes: () => this.#offered(),
      listed: this.#watch.listed,
    })
    this.#portal = new Portal({ network, clock, log, host, policy: options.policy })
  }

  /** Resolves when the volumes are known; initiators may be let in then. */
  async start(): Promise<void> {
    this.#watch.start()
    await this.#watch.listed
    await this.#attendance.start()
  }

  /** Opens a front portal; resolves with its address, with the real port. */
  async listen(address: string, place: PortalPlace = {}): Promise<string> {
    const { gateway } = this.#options
    const group = gateway === undefined ? {} : { portalGroupTag: gateway.group }
    const listening = await this.#portal.listen(address, { ...place, ...group })
    this.#addresses.push(place.advertised ?? listening)
    return listening
  }

  /** Serves the status; resolves with its address. */
  async listenStatus(address: string): Promise<string> {
    const handlers = { show: () => Promise.resolve(shimStatus(this.#facts())) }
    this.#status = await this.#ports.rpc.serve(address, serveShimStatus(handlers))
    return this.#status.address
  }

  /** Ends the sessions of initiators, then those with the servers. Resolves when all have ended. */
  async stop(graceMs: number): Promise<void> {
    if (this.#options.gateway !== undefined) await this.#moveAway(graceMs)
    await this.#portal.close(graceMs)
    await this.#attendance.leave()
    this.#attendance.stop()
    await Promise.all([...this.#volumes.values()].map((volume) => volume.settled()))
    this.#watch.stop()
    for (const volume of this.#volumes.values()) volume.close()
    this.#tokens.close()
    await this.#status?.close()
    this.#channel.close()
  }

  /**
   * The initiators are asked to log out while there is another gateway that they can be sent to, and
   * find this one at home until each has a session with its volume at one of the others.
   */
  async #moveAway(graceMs: number): Promise<void> {
    const { clock } = this.#ports
    const attendance = this.#attendance
    await attendance.leave()
    if (!attendance.isLeaving || attendance.loads.length === 0) return
    const leaving = this.#attachments()
    const untilMs = clock.nowMs() + frontEnds.leaveMs
    await this.#portal.dismiss(graceMs)
    for (;;) {
      const { loads } = attendance
      const hasMoved = (key: number) => loads.some(({ attachments }) => attachments.has(key))
      if (loads.length === 0 || leaving.every(hasMoved) || clock.nowMs() >= untilMs) return
      attendance.hurry()
      await new Promise<void>((resolve) => void clock.after(frontEnds.leaveTickMs, resolve))
    }
  }

  /** Logins that were sent to other gateways. */
  get sentElsewhere(): number {
    return this.#guide.sent
  }

  #facts() {
    return {
      client: this.#options.client,
      managerConnected: this.#watch.connected,
      managementPath: this.#managementPath,
      volumes: this.#offered(),
      sessions: this.#portal.sessions,
      sentElsewhere: this.sentElsewhere,
    }
  }

  /** Sessions with volumes. */
  #attached(): FrontSession[] {
    const targets = new Set(this.#offered().map(({ state }) => state.map.iqn))
    return this.#portal.sessions.filter(({ nexus }) => targets.has(nexus.targetName))
  }

  #attachments(): number[] {
    const keys = this.#attached().map(({ nexus }) =>
      attachmentKey(nexus.targetName, nexus.initiatorName),
    )
    return [...new Set(keys)].slice(0, frontEnds.attachments)
  }

  /** Initiators that work through this front end and answer; others may take over the rest. */
  #served(): ServedInitiator[] {
    const volumes = new Map(this.#offered().map((volume) => [volume.state.map.iqn, volume]))
    return this.#portal.sessions.flatMap((session) => {
      const { targetName, initiatorName } = session.nexus
      const volume = volumes.get(targetName)
      if (volume?.isActiveFor(initiatorName) !== true || !this.#liveness.alive(session)) return []
      return [{ volumeId: volume.state.map.volumeId, initiator: initiatorName }]
    })
  }

  #offered(): FrontVolume[] {
    return [...this.#volumes.values()]
      .filter(({ state }) => !state.gone)
      .sort((left, right) => (left.state.map.name < right.state.map.name ? -1 : 1))
  }

  #take(map: VolumeMap): void {
    const { volumes, client, holdMs } = this.#options
    if (volumes.length > 0 && !volumes.includes(map.name)) return
    const known = this.#volumes.get(map.volumeId)
    if (known !== undefined) {
      known.take(map)
      return
    }
    if (map.deleted) return
    const volume = new FrontVolume({
      client,
      map,
      ports: this.#pathPorts,
      random: this.#ports.random,
      configuration: this.#configuration,
      managerConnected: () => this.#watch.connected,
      liveness: this.#liveness,
      attendance: this.#attendance,
      tokens: this.#tokens,
      holdMs: (current) => holdMs ?? (current.holdMs || limits.holdMs),
      refresh: ({ name }, newerThan) => this.#watch.refresh(name, newerThan),
      detached: (left) => this.#forgetIfGone(map.volumeId, left),
    })
    this.#volumes.set(map.volumeId, volume)
  }

  /** It stays only for the sessions that still ask for it. */
  #gone(volumeId: string): void {
    const volume = this.#volumes.get(volumeId)
    volume?.leave()
    if (volume?.sessions === 0) this.#forgetIfGone(volumeId, volume)
  }

  #forgetIfGone(volumeId: string, volume: FrontVolume): void {
    if (!volume.state.gone) return
    volume.close()
    this.#volumes.delete(volumeId)
  }

  #report(report: PathReport): void {
    const { client } = this.#options
    background(
      this.#configuration.report({ client, ...report }, limits.reportDeadlineMs),
      (error) =>
        this.#ports.log.info('a report did not reach the manager', { error: error.message }),
    )
  }
}

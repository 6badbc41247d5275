/**
 * One volume at this front end: its state, paths, router and SCSI target, and what a new map means
 * for each of them. Paths stand while an initiator is attached. Owned by the shim.
 */

import { background } from '../../src/base/background.ts'
import type { ConfigurationClient } from '../../src/control/services.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import type { Random } from '../../src/ports/random.ts'
import type { Outcome } from '../../src/scsi/call.ts'
import type { TokenStore } from '../../src/scsi/copy/token-store.ts'
import { DeviceServer } from '../../src/scsi/device-server.ts'
import type { Nexus } from '../../src/scsi/logical-unit.ts'
import type { ReservationTable } from '../../src/scsi/reservation-table.ts'
import { newNotices } from '../../src/scsi/reservation-watch.ts'
import { type ScsiResult, Status } from '../../src/scsi/result.ts'
import type { ScsiTarget } from '../../src/scsi/scsi-target.ts'
import {
  ASYMMETRIC_ACCESS_STATE_CHANGED,
  CAPACITY_DATA_HAS_CHANGED,
  MODE_PARAMETERS_CHANGED,
  NOT_READY_TO_READY_CHANGE,
  POWER_ON_OR_RESET_OCCURRED,
} from '../../src/scsi/sense.ts'
import type { SharedState } from '../../src/scsi/unit-settings.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import type { Attendance } from '../front/attendance.ts'
import { Lingering } from '../front/lingering.ts'
import type { Liveness } from '../front/liveness.ts'
import { PathSet } from '../paths/path-set.ts'
import type { PathPorts } from '../paths/server-path.ts'
import { RequestIdentities } from '../router/request-identities.ts'
import { Router } from '../router/router.ts'
import { VolumeState } from '../volume-state.ts'
import { FlushLedger } from './flush-ledger.ts'
import { FrontAccess } from './front-access.ts'
import { ReserveKeeper } from './reserve-keeper.ts'
import { SanitizeKeeper } from './sanitize-keeper.ts'
import { VolumeSettings } from './volume-settings.ts'
import { VolumeUnit } from './volume-unit.ts'

/** Nobody gets it. */
const aborted: ScsiResult = { status: Status.TASK_ABORTED }

export interface FrontVolumeOptions {
  readonly client: string
  readonly map: VolumeMap
  readonly ports: PathPorts
  readonly random: Random
  readonly configuration: ConfigurationClient
  /** The manager can be asked now. */
  readonly managerConnected: () => boolean
  readonly liveness: Liveness
  readonly attendance: Attendance
  /** Of all volumes of this shim. */
  readonly tokens: TokenStore
  readonly holdMs: (map: VolumeMap) => number
  /** Asks the manager for a newer map of this volume. */
  readonly refresh: (map: VolumeMap, newerThan: number) => void
  /** The last initiator has left. */
  readonly detached: (volume: FrontVolume) => void
}

export class FrontVolume {
  readonly state: VolumeState
  readonly paths: PathSet
  readonly router: Router
  readonly target: ScsiTarget<PortalTask>
  readonly #device: DeviceServer<PortalTask>
  readonly #unit: VolumeUnit
  readonly #ledger: FlushLedger
  readonly #access: FrontAccess
  readonly #attendance: Attendance
  readonly #liveness: Liveness
  readonly #lingering = new Lingering()
  readonly #settings: VolumeSettings
  readonly #keeper: SanitizeKeeper
  readonly #reserves: ReserveKeeper
  readonly #detached: (volume: FrontVolume) => void
  readonly #attached = new Set<Nexus>()

  constructor(options: FrontVolumeOptions) {
    const { client, map, ports, liveness } = options
    const { clock, log } = ports
    this.state = new VolumeState(client, map, (newerThan) =>
      options.refresh(this.state.map, newerThan),
    )
    this.#attendance = options.attendance
    this.#liveness = liveness
    this.paths = new PathSet(ports)
    const { configuration, managerConnected, attendance } = options
    const { state } = this
    const take = (newer: VolumeMap): void => this.take(newer)
    const access = new FrontAccess({
      ...{ client, state, attendance, liveness, configuration, clock, log, take },
    })
    this.#access = access
    this.#ledger = new FlushLedger(clock)
    this.router = new Router({
      clock,
      log,
      liveness,
      state: this.state,
      paths: this.paths,
      identities: new RequestIdentities((count) => options.random.bytes(count)),
      holdMs: () => options.holdMs(this.state.map),
      provenSince: (task) => access.namedAtMs(task),
      keptFrom: (task) => access.keptFrom(task) ?? this.#device.keptFrom(task),
    })
    const { router } = this
    const { tokens } = options
    const asking = { client, configuration, managerConnected, clock, log }
    this.#settings = new VolumeSettings({ ...asking, state, take })
    const settings = this.#settings
    const unit = new VolumeUnit({ state, router, ledger: this.#ledger, settings, tokens, access })
    this.#unit = unit
    this.#device = new DeviceServer<PortalTask>(
      {
        luns: () => (this.state.gone ? [] : [0]),
        unit: (lun) => (lun === 0 && !this.state.gone ? unit : undefined),
      },
      clock,
    )
    this.#detached = options.detached
    this.#keeper = new SanitizeKeeper({
      client,
      state,
      settings,
      clock,
      log,
      attached: () => this.#attached.size > 0,
      resume: (task, owner) => this.#device.resumeSanitize(task, owner),
      ended: () => this.#restIfUnused(),
    })
    this.#reserves = new ReserveKeeper({ state, settings, clock })
    this.target = this.#attaching(this.#device)
    this.#keeper.look()
    this.#reserves.look()
  }

  /** Initiator sessions that are open, or not yet ended. */
  get sessions(): number {
    return this.#attached.size
  }

  /** It is some initiator's active front end. */
  get namesUs(): boolean {
    return this.#access.namesUs
  }

  isActiveFor(initiatorName: string): boolean {
    return this.#access.isActiveFor(initiatorName)
  }

  /** A map from the watch or from GetMap; older ones are passed over. */
  take(map: VolumeMap): void {
    const { state } = this
    const former = state.map
    const formerSettings = this.#settings.state
    if (!state.take(map)) return
    this.paths.update(map, former)
    this.router.mapChanged()
    if (hasNewEpoch(former, map)) {
      this.#ledger.newEpoch(this.#access.othersServed(former))
      this.#device.raise(POWER_ON_OR_RESET_OCCURRED)
    }
    if (map.blocks !== former.blocks) this.#device.raise(CAPACITY_DATA_HAS_CHANGED)
    for (const initiator of this.#access.gainedSince(former)) this.#ledger.inherits(initiator)
    const moved = this.#access.movedSince(former)
    if (moved.size > 0) {
      const to = ({ initiatorName }: Nexus): boolean => moved.has(initiatorName)
      this.#device.raise(ASYMMETRIC_ACCESS_STATE_CHANGED, { to })
    }
    this.#tellSettings(formerSettings)
    this.#keeper.look()
    this.#reserves.look()
    if (this.#attached.size > 0 && !state.gone) this.paths.connect(map)
    state.changed.notify()
  }

  /** The volume is deleted, or not ours to see any more. */
  leave(): void {
    this.state.leave()
    this.#unit.tokens.revokeOf(this.#unit.facts.naa)
    this.paths.close()
    this.state.changed.notify()
  }

  /** Resolves when what ended with its sessions has ended everywhere, or after a while. */
  settled(): Promise<void> {
    return this.#settings.settled()
  }

  close(): void {
    this.#settings.close()
    this.#keeper.close()
    this.#reserves.close()
    background(this.#device.stop([this.#unit]), () => undefined)
    // A piece that is held would open a path again.
    this.router.endKept()
    this.paths.close()
  }

  /** What another front end has set: ours tells its own initiators itself. */
  #tellSettings(former: SharedState): void {
    const { shared } = this.state.map
    const { state } = this.#settings
    if (state === former || shared === undefined || this.#settings.isOwn(shared)) return
    const modes =
      state.descriptorSense !== former.descriptorSense ||
      state.softwareWriteProtect !== former.softwareWriteProtect
    if (modes) this.#device.raise(MODE_PARAMETERS_CHANGED)
    if (state.mediumLoaded && !former.mediumLoaded) this.#device.raise(NOT_READY_TO_READY_CHANGE)
    if (state.sanitize && !former.sanitize) this.#unit.tokens.revokeOf(this.#unit.facts.naa)
    this.router.endTasksOf(abortedPorts(former.reservations, state.reservations))
  }

  /** The device, with an eye on who is attached. */
  #attaching(device: DeviceServer<PortalTask>): ScsiTarget<PortalTask> {
    return {
      arrive: (task) => device.arrive(task),
      execute: (task, dataOut) => this.#execute(task, dataOut),
      encodeSense: (task, result) => device.encodeSense(task, result),
      reset: (nexus, scope) => device.reset(nexus, scope),
      tasksCleared: (nexuses, lun) => device.tasksCleared(nexuses, lun),
      hasUnit: (lun) => device.hasUnit(lun),
      transfer: (cdb, lun) => device.transfer(cdb, lun),
      nexusGained: (nexus) => {
        this.#attached.add(nexus)
        this.#ledger.loggedIn(nexus.initiatorName)
        this.#attendance.hurry()
        if (!this.state.gone) this.paths.connect(this.state.map)
        device.nexusGained(nexus)
        this.#keeper.look()
      },
      nexusLost: (nexus) => {
        device.nexusLost(nexus)
        this.#ledger.loggedOut(nexus.initiatorName)
        this.#attendance.hurry()
        this.#attached.delete(nexus)
        this.#restIfUnused()
      },
    }
  }

  async #execute(task: PortalTask, dataOut: readonly Buffer[]): Promise<Outcome> {
    const usesMedium = this.#device.usesMedium(task)
    const entering = this.#access.enter(task, usesMedium)
    const refused = entering instanceof Promise ? await entering : entering
    if (refused !== undefined) return refused
    const writes = this.#device.writes(task)
    if (!writes && !usesMedium) return this.#carryOut(task, dataOut)
    for (let late = this.#lingering.before(task); late; late = this.#lingering.before(task)) {
      await late
      if (task.aborted) return aborted
    }
    const ended = this.#carryOut(task, dataOut)
    if (writes) this.#lingering.begins(task, ended)
    return ended
  }

  async #carryOut(task: PortalTask, dataOut: readonly Buffer[]): Promise<Outcome> {
    if (!this.#device.sets(task)) return this.#device.execute(task, dataOut)
    return (await this.#liveness.awaited(task)) ?? this.#device.execute(task, dataOut)
  }

  /** Its commands have ended. A volume counts as in use while a server has a session of ours. */
  #restIfUnused(): void {
    if (this.#attached.size > 0 || (this.#keeper.busy && !this.state.gone)) return
    this.paths.close()
    this.#detached(this)
  }
}

/** Whose commands a PREEMPT AND ABORT ended since the former table. */
function abortedPorts(former: ReservationTable, next: ReservationTable): ReadonlySet<string> {
  const aborting = newNotices(former, next).filter(({ abort }) => abort)
  return new Set(aborting.flatMap(({ initiatorPorts }) => initiatorPorts))
}

function hasNewEpoch(former: VolumeMap, map: VolumeMap): boolean {
  const epochs = new Map(former.segments.map(({ segmentId, epoch }) => [segmentId, epoch]))
  return map.segments.some(({ segmentId, epoch }) => {
    const known = epochs.get(segmentId)
    return known !== undefined && known !== epoch
  })
}

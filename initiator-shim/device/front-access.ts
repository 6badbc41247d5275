/**
 * Which initiators work on a volume through this front end: an initiator has one active front end,
 * named in the map, and the others are in standby for it (SPC-4 5.15.2.4.4). A gateway names itself
 * at the first access of an initiator that has none. A front end in standby asks to become the
 * active one for a command of the medium, or SET TARGET PORT GROUPS, and only for an initiator that
 * has answered something sent after that command came: what a dead connection left behind moves
 * nobody. Every command is stamped with the number of the entry under which it was let in; under
 * another one nothing of it is sent any more. And nothing is sent under an entry before its initiator
 * has answered something that was sent after the entry was known here: until then it may have left
 * this front end for the one that was active, and what it sent here be long answered there.
 * Design, section 2.
 */
import { StorageError } from '../../src/base/errors.ts'
import { frontEnds as limits } from '../../src/base/limits.ts'
import type { ConfigurationClient } from '../../src/control/services.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { Log } from '../../src/ports/log.ts'
import { relativePort, targetPortGroup } from '../../src/scsi/designators.ts'
import type { Nexus, PortGroup, PortGroups } from '../../src/scsi/logical-unit.ts'
import { checkCondition, good, type ScsiResult, type Sense, Status } from '../../src/scsi/result.ts'
import { TARGET_PORT_IN_STANDBY_STATE } from '../../src/scsi/sense.ts'
import type { ActiveFrontEnd, VolumeMap } from '../../src/volume/map.ts'
import type { Attendance } from '../front/attendance.ts'
import type { Liveness } from '../front/liveness.ts'
import type { VolumeState } from '../volume-state.ts'

export interface FrontAccessOptions {
  readonly client: string
  readonly state: VolumeState
  readonly attendance: Attendance
  readonly liveness: Liveness
  readonly configuration: ConfigurationClient
  readonly clock: Clock
  readonly log: Log
  /** Takes a map that came with an answer. */
  readonly take: (map: VolumeMap) => void
}

const standby = checkCondition(TARGET_PORT_IN_STANDBY_STATE)
const busy: ScsiResult = { status: Status.BUSY }
/** It was let in, and another front end has become the active one. */
const taken: ScsiResult = { status: Status.TASK_ABORTED }

type Place = 'none' | 'here' | 'elsewhere'

export class FrontAccess implements PortGroups<PortalTask> {
  readonly #options: FrontAccessOptions
  readonly #admittedUnder = new WeakMap<PortalTask, number>()
  /** One call at a time for each initiator. */
  readonly #asking = new Map<string, Promise<void>>()
  #entries: readonly ActiveFrontEnd[] = []
  #byInitiator: ReadonlyMap<string, ActiveFrontEnd> = new Map()
  /** When the entries that name this front end became known. */
  #namedAtMs: ReadonlyMap<string, number> = new Map()

  constructor(options: FrontAccessOptions) {
    this.#options = options
  }

  /** Undefined: the command may go on. Waits only where this front end is not the active one. */
  enter(
    task: PortalTask,
    usesMedium: boolean,
  ): ScsiResult | undefined | Promise<ScsiResult | undefined> {
    const { initiatorName } = task.nexus
    const place = this.#place(initiatorName)
    const claims = place === 'elsewhere' || (place === 'none' && this.settable)
    if (usesMedium && claims) return this.#claim(task, false)
    this.#admit(task)
    return undefined
  }

  /** Why a command that was let in must not be sent, or sent again, under the map of now. */
  keptFrom(task: PortalTask): ScsiResult | undefined {
    if (task.isDetached) return undefined
    const entry = this.#entry(task.nexus.initiatorName)
    const number = this.#admittedUnder.get(task)
    // An entry that was one too many is forgotten, and the initiator may be anywhere.
    if (entry === undefined) return number === undefined || number === 0 ? undefined : taken
    if (entry.client === this.#options.client && entry.number === number) return undefined
    return number === undefined && entry.client !== this.#options.client ? standby : taken
  }

  /** Since when the entry of now has named this front end for the task's initiator. */
  namedAtMs({ nexus, isDetached }: PortalTask): number {
    const { initiatorName } = nexus
    const entry = isDetached === true ? undefined : this.#entry(initiatorName)
    const atMs = entry && this.#namedAtMs.get(initiatorName)
    return atMs ?? Number.NEGATIVE_INFINITY
  }

  /** Whether the initiator still waits for the task, by its answer to something sent from now on. */
  async stillWaits(task: PortalTask): Promise<boolean> {
    return (await this.#proof(task)) === undefined
  }

  get namesUs(): boolean {
    const { client, state } = this.#options
    return state.map.activeFrontEnds.some((each) => each.client === client)
  }

  isActiveFor(initiatorName: string): boolean {
    return this.#place(initiatorName) === 'here'
  }

  /** What keeps it from being ready for this initiator. */
  standbySense({ initiatorName }: Nexus): Sense | undefined {
    return this.#place(initiatorName) === 'elsewhere' ? TARGET_PORT_IN_STANDBY_STATE : undefined
  }

  /** Initiators that work here now and did so through another front end before. */
  gainedSince(former: VolumeMap): readonly string[] {
    const { state } = this.#options
    if (former.activeFrontEnds === state.map.activeFrontEnds) return []
    return this.othersServed(former).filter((initiator) => this.isActiveFor(initiator))
  }

  /** Initiators that work through other front ends, by this map. */
  othersServed({ activeFrontEnds }: VolumeMap): readonly string[] {
    const others = activeFrontEnds.filter(({ client }) => client !== this.#options.client)
    return others.map(({ initiator }) => initiator)
  }

  /** Initiators for which the state of this port is another one than under `former`. */
  movedSince(former: VolumeMap): ReadonlySet<string> {
    const { client, state } = this.#options
    const moved = new Set<string>()
    if (former.activeFrontEnds === state.map.activeFrontEnds) return moved
    const before = new Map(former.activeFrontEnds.map((each) => [each.initiator, each.client]))
    for (const { initiator, client: now } of state.map.activeFrontEnds) {
      const was = before.get(initiator) ?? client
      // The one that asked for it here knows.
      if ((was === client) !== (now === client) && !this.#asking.has(initiator)) {
        moved.add(initiator)
      }
    }
    return moved
  }

  get settable(): boolean {
    return this.#options.attendance.isGateway
  }

  own(nexus: Nexus): number {
    return this.settable ? relativePort(nexus) : targetPortGroup
  }

  groups(nexus: Nexus): readonly PortGroup[] {
    const { attendance } = this.#options
    const entry = this.#entry(nexus.initiatorName)
    if (!this.settable) {
      const state = this.standbySense(nexus) === undefined ? 'optimized' : 'standby'
      return [{ group: targetPortGroup, ports: [relativePort(nexus)], state }]
    }
    return attendance.gateways.map(({ client, group }) => {
      const isActive = entry === undefined || entry.client === client
      return { group, ports: [group], state: isActive ? 'optimized' : 'standby' }
    })
  }

  async activate(task: PortalTask): Promise<ScsiResult> {
    if (this.#place(task.nexus.initiatorName) === 'here') return good()
    return (await this.#claim(task, true)) ?? good()
  }

  async #claim(task: PortalTask, explicit: boolean): Promise<ScsiResult | undefined> {
    const { initiatorName } = task.nexus
    if (this.#place(initiatorName) === 'elsewhere') {
      const dead = await this.#proof(task)
      if (dead !== undefined) return dead
    }
    await this.#ask(initiatorName, explicit)
    const place = this.#place(initiatorName)
    if (place === 'none') return busy
    if (place === 'elsewhere') return standby
    this.#admit(task)
    return undefined
  }

  /** Undefined once the initiator has answered something that is sent from now on. */
  #proof(task: PortalTask): Promise<ScsiResult | undefined> {
    const { liveness } = this.#options
    liveness.distrust(task.session)
    return liveness.awaited(task)
  }

  #admit(task: PortalTask): void {
    const entry = this.#entry(task.nexus.initiatorName)
    if (entry === undefined) this.#admittedUnder.set(task, 0)
    else if (entry.client === this.#options.client) this.#admittedUnder.set(task, entry.number)
  }

  async #ask(initiator: string, explicit: boolean): Promise<void> {
    const under = this.#asking.get(initiator)
    if (under !== undefined) {
      await under
      if (!explicit || this.#place(initiator) === 'here') return
    }
    const asked = this.#call(initiator, explicit)
    this.#asking.set(initiator, asked)
    await asked
    if (this.#asking.get(initiator) === asked) this.#asking.delete(initiator)
  }

  async #call(initiator: string, explicit: boolean): Promise<void> {
    const { client, configuration, state, take, log } = this.#options
    const { volumeId, name } = state.map
    const formerNumber = this.#entry(initiator)?.number ?? 0
    const request = { client, volumeId, initiator, formerNumber, explicit }
    try {
      const reply = await configuration.activateFrontEnd(request, limits.activateDeadlineMs)
      take(reply.map)
      if (reply.givenUp === '') return
      log.warn('not made the active front end', { volume: name, initiator, why: reply.givenUp })
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      const why = error.message
      log.info('no answer about the active front end', { volume: name, initiator, error: why })
    }
  }

  #place(initiator: string): Place {
    const entry = this.#entry(initiator)
    if (entry === undefined) return 'none'
    return entry.client === this.#options.client ? 'here' : 'elsewhere'
  }

  #entry(initiator: string): ActiveFrontEnd | undefined {
    const { activeFrontEnds } = this.#options.state.map
    if (activeFrontEnds !== this.#entries) this.#look(activeFrontEnds)
    return this.#byInitiator.get(initiator)
  }

  #look(activeFrontEnds: readonly ActiveFrontEnd[]): void {
    const { client, clock } = this.#options
    const former = this.#byInitiator
    const namedAtMs = new Map<string, number>()
    for (const entry of activeFrontEnds) {
      if (entry.client !== client) continue
      const { initiator, number } = entry
      const isKnown = former.get(initiator)?.number === number
      const atMs = isKnown ? this.#namedAtMs.get(initiator) : undefined
      namedAtMs.set(initiator, atMs ?? clock.nowMs())
    }
    this.#entries = activeFrontEnds
    this.#byInitiator = new Map(activeFrontEnds.map((each) => [each.initiator, each]))
    this.#namedAtMs = namedAtMs
  }
}

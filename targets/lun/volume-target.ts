/**
 * The iSCSI target of one volume on one server: its logical units are the segments held here, with
 * the numbers that the map gave them. Follows the map; counts the sessions.
 */
import type { PortalTask } from '../../src/portal/portal-host.ts'
import { DeviceServer } from '../../src/scsi/device-server.ts'
import type { Nexus } from '../../src/scsi/logical-unit.ts'
import type { ScsiTarget } from '../../src/scsi/scsi-target.ts'
import type { SegmentView } from '../replica/segment-views.ts'
import { FencedUnit, type FencedUnitContext } from './fenced-unit.ts'
import { UnitCounters } from './unit-counters.ts'

export class VolumeTarget {
  readonly volume: FencedUnitContext['volume']
  readonly counters = new UnitCounters()
  readonly target: ScsiTarget<PortalTask>
  readonly #context: FencedUnitContext
  readonly #units = new Map<string, FencedUnit>()
  readonly #sessions = new Set<Nexus>()
  #seen: ReadonlyMap<string, SegmentView> | undefined
  #byLun: ReadonlyMap<number, FencedUnit> = new Map()

  constructor(context: Omit<FencedUnitContext, 'counters'>) {
    const { counters } = this
    this.volume = context.volume
    this.#context = {
      volume: context.volume,
      counters,
      replica: (segmentId) => context.replica(segmentId),
      newerSeen: (volume) => context.newerSeen(volume),
    }
    const device = new DeviceServer<PortalTask>({
      luns: () => [...this.#current().keys()],
      unit: (lun) => this.#current().get(lun),
    })
    this.target = this.#counting(device)
  }

  /** Undefined while nothing of the volume is held here, or it is deleted. */
  get targetName(): string | undefined {
    for (const { replica } of this.volume.views.values()) return replica.iqn
    return undefined
  }

  /** Sessions that are open, or not yet ended. */
  get sessions(): number {
    return this.#sessions.size
  }

  #counting(device: DeviceServer<PortalTask>): ScsiTarget<PortalTask> {
    const sessions = this.#sessions
    return {
      arrive: (task) => device.arrive(task),
      execute: (task, dataOut) => device.execute(task, dataOut),
      encodeSense: (task, result) => device.encodeSense(task, result),
      reset: (nexus, scope) => device.reset(nexus, scope),
      tasksCleared: (nexuses, lun) => device.tasksCleared(nexuses, lun),
      hasUnit: (lun) => device.hasUnit(lun),
      transfer: (cdb, lun) => device.transfer(cdb, lun),
      nexusGained(nexus) {
        sessions.add(nexus)
        device.nexusGained(nexus)
      },
      nexusLost(nexus) {
        sessions.delete(nexus)
        device.nexusLost(nexus)
      },
    }
  }

  /** The units by number, ascending; made anew only when the volume's views were. */
  #current(): ReadonlyMap<number, FencedUnit> {
    const { views } = this.volume
    if (views === this.#seen) return this.#byLun
    this.#seen = views
    for (const segmentId of this.#units.keys()) {
      if (!views.has(segmentId)) this.#units.delete(segmentId)
    }
    const numbered = [...views.values()].map(
      ({ replica, segment }) => [replica.lun, this.#unit(segment.segmentId)] as const,
    )
    this.#byLun = new Map(numbered.sort(([left], [right]) => left - right))
    return this.#byLun
  }

  #unit(segmentId: string): FencedUnit {
    const known = this.#units.get(segmentId)
    if (known !== undefined) return known
    const unit = new FencedUnit(this.#context, segmentId)
    this.#units.set(segmentId, unit)
    return unit
  }
}

/**
 * The iSCSI target under which a server takes what primaries send to its replicas, of all volumes:
 * LUN = number of the replica (design: legs between servers). It has the few commands that a primary
 * needs, and the vendor-specific ones. It answers heartbeats: that is how this server confirms, and
 * how it knows that a primary lives. It follows the volumes and owns their numbers.
 */
import type { StorageError } from '../../src/base/errors.ts'
import { mirror as limits } from '../../src/base/limits.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import { reservedBitInUse } from '../../src/scsi/cdb-layout.ts'
import { allocated, invalidCdbField } from '../../src/scsi/command.ts'
import { DeviceServer } from '../../src/scsi/device-server.ts'
import type { Silence } from '../../src/scsi/logical-unit.ts'
import { checkCondition, type ScsiResult } from '../../src/scsi/result.ts'
import type { ScsiTarget, Transfer } from '../../src/scsi/scsi-target.ts'
import { INVALID_COMMAND_OPERATION_CODE, LOGICAL_UNIT_NOT_SUPPORTED } from '../../src/scsi/sense.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { HeldVolume } from '../replica/held-volume.ts'
import type { SegmentView } from '../replica/segment-views.ts'
import { ReplicaUnit, type ReplicaUnitContext } from './replica-unit.ts'
import { heartbeat } from './replication-cdb.ts'
import { findReplicationCommand, isVendorSpecific } from './replication-commands.ts'
import { type ConfirmedReplica, encodeHeartbeat, heartbeatBytes } from './replication-data.ts'
import type { RunningTime } from './running-time.ts'
import type { SegmentMasks } from './segment-masks.ts'

type Volume = Pick<HeldVolume, 'volumeId' | 'map' | 'views' | 'begun' | 'outcomes'>

export interface ReplicationTargetContext
  extends Pick<ReplicaUnitContext, 'confirmer' | 'digests' | 'replica'> {
  readonly running: RunningTime
  /** Of the store; undefined while it is not open. */
  incarnation(): string | undefined
  masks(volumeId: string, segmentId: string): SegmentMasks | undefined
  inSyncGeneration(volumeId: string, segmentId: string): Generation
  newerSeen(volumeId: string): void
  diskFailed?(volumeId: string, segmentId: string, error: StorageError): void
  resynced?(volumeId: string, bytes: number): void
}

interface Entry {
  readonly volume: Volume
  readonly segmentId: string
  readonly number: number
  readonly unit: ReplicaUnit
  /** InitiatorName of the primary, and since when it is that by the map here. */
  readonly primary: string
  readonly sinceMs: number
}

/** Beside the vendor-specific ones: what a primary sends, and what anybody may ask of a target. */
const operationCodes: ReadonlySet<number> = new Set([
  ...[0x00, 0x03, 0x12, 0xa0], // TEST UNIT READY, REQUEST SENSE, INQUIRY, REPORT LUNS
  ...[0x88, 0x8a, 0x9c], // READ (16), WRITE (16), WRITE ATOMIC (16)
  ...[0x42, 0x91], // UNMAP, SYNCHRONIZE CACHE (16)
])
const noSuchCommand = checkCondition(INVALID_COMMAND_OPERATION_CODE)
const noSuchUnit = checkCondition(LOGICAL_UNIT_NOT_SUPPORTED)

export class ReplicationTarget implements ScsiTarget<PortalTask> {
  readonly #context: ReplicationTargetContext
  readonly #device: DeviceServer<PortalTask>
  /** By segmentId. */
  readonly #entries = new Map<string, Entry>()
  /** By number, in ascending order. */
  #byNumber: ReadonlyMap<number, Entry> = new Map()
  /** When the primaries of replicas here were last heard, by InitiatorName; in running time. */
  #heardAtMs = new Map<string, number>()

  constructor(context: ReplicationTargetContext) {
    this.#context = context
    this.#device = new DeviceServer<PortalTask>({
      luns: () => [...this.#byNumber.keys()],
      unit: (lun) => this.#byNumber.get(lun)?.unit,
    })
  }

  /** To be called in the turn in which anything changed that a volume says of itself. */
  follow(volume: Volume): void {
    let changed = false
    for (const [segmentId, { volume: known }] of this.#entries) {
      if (known.volumeId !== volume.volumeId || volume.views.has(segmentId)) continue
      this.#entries.delete(segmentId)
      changed = true
    }
    for (const [segmentId, view] of volume.views) {
      changed = this.#enter(volume, segmentId, view) || changed
    }
    if (changed) this.#number()
  }

  /** The primary of a replica here was not heard for too long. False where this is the primary. */
  primarySilent(segmentId: string): boolean {
    const entry = this.#entries.get(segmentId)
    const view = entry?.volume.views.get(segmentId)
    if (entry === undefined || view === undefined || view.primary) return false
    const heardAtMs = this.#heardAtMs.get(entry.primary) ?? Number.NEGATIVE_INFINITY
    const silentMs = this.#context.running.nowMs() - Math.max(heardAtMs, entry.sinceMs)
    return silentMs >= limits.primarySuspectedMs
  }

  arrive(task: PortalTask): ScsiResult | Silence | undefined {
    const { cdb } = task
    if (isHeartbeat(cdb)) return reservedBits(cdb)
    if (!isVendorSpecific(cdb)) {
      return operationCodes.has(cdb[0]!) ? this.#device.arrive(task) : noSuchCommand
    }
    const command = findReplicationCommand(cdb)
    if (command === undefined) return invalidCdbField(1, 4)
    const unit = this.#unit(task.lun)
    if (unit === undefined) return noSuchUnit
    return unit.arrive(task) ?? command.check(cdb, unit.facts.blockBytes)
  }

  execute(task: PortalTask, dataOut: readonly Buffer[]): Promise<ScsiResult | Silence> {
    if (isHeartbeat(task.cdb)) return Promise.resolve(this.#beat(task))
    if (!isVendorSpecific(task.cdb)) return this.#device.execute(task, dataOut)
    const unit = this.#unit(task.lun)
    const command = findReplicationCommand(task.cdb)
    if (unit === undefined || command === undefined) return Promise.resolve(noSuchUnit)
    return command.run(unit, task, dataOut)
  }

  transfer(cdb: Buffer, lun: number): Transfer {
    if (isHeartbeat(cdb)) return { direction: 'in', bytes: heartbeat.decode(cdb).allocationLength }
    if (!isVendorSpecific(cdb)) return this.#device.transfer(cdb, lun)
    const blockBytes = this.#unit(lun)?.facts.blockBytes ?? 1
    const none: Transfer = { direction: 'none', bytes: 0 }
    return findReplicationCommand(cdb)?.transfer(cdb, blockBytes) ?? none
  }

  encodeSense(task: PortalTask, result: ScsiResult): Buffer | undefined {
    return this.#device.encodeSense(task, result)
  }

  hasUnit(lun: number): boolean {
    return this.#device.hasUnit(lun)
  }

  nexusGained(nexus: PortalTask['nexus']): void {
    this.#device.nexusGained(nexus)
  }

  nexusLost(nexus: PortalTask['nexus']): void {
    this.#device.nexusLost(nexus)
  }

  reset(): void {
    // Nothing can be set here that a reset would undo, and no primary is to hear of another's.
  }

  tasksCleared(): void {
    // The same: what is not answered was aborted by its own sender.
  }

  #unit(lun: number): ReplicaUnit | undefined {
    return this.#byNumber.get(lun)?.unit
  }

  /** True when the numbers have to be looked at. */
  #enter(volume: Volume, segmentId: string, { replica, fence }: SegmentView): boolean {
    const known = this.#entries.get(segmentId)
    const { number } = replica
    const primary = fence.primaryInitiator
    if (known?.number === number && known.primary === primary) return false
    this.#entries.set(segmentId, {
      ...{ volume, segmentId, number, primary },
      unit: known?.unit ?? new ReplicaUnit(this.#contextOf(volume), segmentId),
      sinceMs: this.#context.running.nowMs(),
    })
    return true
  }

  #contextOf(volume: Volume): ReplicaUnitContext {
    const { volumeId } = volume
    const { confirmer, digests } = this.#context
    return {
      ...{ volume, confirmer, digests },
      replica: (segmentId) => this.#context.replica(segmentId),
      masks: (segmentId) => this.#context.masks(volumeId, segmentId),
      inSyncGeneration: (segmentId) => this.#context.inSyncGeneration(volumeId, segmentId),
      newerSeen: () => this.#context.newerSeen(volumeId),
      resynced: (bytes) => this.#context.resynced?.(volumeId, bytes),
      diskFailed: (segmentId, error) => this.#context.diskFailed?.(volumeId, segmentId, error),
    }
  }

  #number(): void {
    // Maps from before there were numbers have 0, and one replica of everything.
    const entries = [...this.#entries.values()]
      .filter(({ number }) => number > 0)
      .sort((left, right) => left.number - right.number)
    this.#byNumber = new Map(entries.map((entry) => [entry.number, entry]))
    const heard = (primary: string) => this.#heardAtMs.get(primary) ?? Number.NEGATIVE_INFINITY
    this.#heardAtMs = new Map(entries.map(({ primary }) => [primary, heard(primary)]))
  }

  #beat(task: PortalTask): ScsiResult {
    const { startingNumber, allocationLength } = heartbeat.decode(task.cdb)
    const { initiatorName } = task.session.nexus
    const { running, incarnation } = this.#context
    if (this.#heardAtMs.has(initiatorName)) this.#heardAtMs.set(initiatorName, running.nowMs())
    const said = this.#confirmedTo(initiatorName, startingNumber)
    const answer = encodeHeartbeat({ incarnation: incarnation() ?? '', ...said })
    return allocated(answer, Math.min(allocationLength, heartbeatBytes))
  }

  /**
   * What goes along with this primary: open under the map's generation, in sync, on the store that
   * the map believes in. What is closed is left out, and so the primary stops.
   */
  #confirmedTo(primary: string, startingNumber: number) {
    const { confirmer } = this.#context
    const confirmed: ConfirmedReplica[] = []
    const nowMs = confirmer.nowMs()
    for (const { number, volume, segmentId, primary: named } of this.#byNumber.values()) {
      if (number < startingNumber || named !== primary) continue
      const view = volume.views.get(segmentId)
      if (view === undefined || !confirms(view)) continue
      if (confirmed.length === limits.heartbeatEntries) return { confirmed, more: true }
      confirmer.confirmed(segmentId, volume.map.leaseMs, nowMs)
      confirmed.push({ number, generation: view.fence.generation })
    }
    return { confirmed, more: false }
  }
}

function confirms({ primary, replica, fence }: SegmentView): boolean {
  return !primary && replica.state === 'in-sync' && fence.state === 'open'
}

function isHeartbeat(cdb: Buffer): boolean {
  return cdb[0] === heartbeat.operationCode && (cdb[1]! & 0x1f) === heartbeat.serviceAction
}

function reservedBits(cdb: Buffer): ScsiResult | undefined {
  const wrong = reservedBitInUse(heartbeat, cdb)
  return wrong === undefined ? undefined : invalidCdbField(wrong.byte, wrong.bit)
}

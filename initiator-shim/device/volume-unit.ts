/**
 * The volume as a logical unit for the front portal: requests become pieces for the router, and
 * answers are put together again. What the map says of size and identity is what initiators see.
 */
import { assert } from '../../src/base/assert.ts'
import { scsi, shim } from '../../src/base/limits.ts'
import { totalBytes } from '../../src/iscsi/data-slices.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import type { TokenStore } from '../../src/scsi/copy/token-store.ts'
import type {
  AllocationRun,
  BlockExtent,
  LogicalUnit,
  UnitFacts,
  WriteOptions,
} from '../../src/scsi/logical-unit.ts'
import { checkCondition, good, type ScsiResult, type Sense, Status } from '../../src/scsi/result.ts'
import {
  INTERNAL_TARGET_FAILURE,
  INVALID_FIELD_IN_CDB,
  LOGICAL_UNIT_NOT_READY,
  WRITE_ERROR,
} from '../../src/scsi/sense.ts'
import type { UnitSettings } from '../../src/scsi/unit-settings.ts'
import { isCompared } from '../../src/volume/comparator.ts'
import type { VolumeMap } from '../../src/volume/map.ts'
import type { Piece } from '../../src/volume/routing.ts'
import { unitFacts } from '../../src/volume/unit-facts.ts'
import type { PieceRequest } from '../router/piece-request.ts'
import type { Router } from '../router/router.ts'
import type { VolumeState } from '../volume-state.ts'
import { atomicFacts } from './atomic-facts.ts'
import type { FlushLedger } from './flush-ledger.ts'
import type { FrontAccess } from './front-access.ts'
import { gatherMapping } from './gather-mapping.ts'
import {
  compareAndWriteRequest,
  flushRequest,
  gatherRead,
  mappingRequest,
  orWriteRequest,
  type PieceWriteOptions,
  readRequest,
  unmapRequests,
  writeAtomicRequest,
  writeRequest,
} from './piece-commands.ts'
import { TaskSettings } from './task-settings.ts'
import type { VolumeSettings } from './volume-settings.ts'

const conflict: ScsiResult = { status: Status.RESERVATION_CONFLICT }
const writeError = checkCondition(WRITE_ERROR)
const invalidField = checkCondition(INVALID_FIELD_IN_CDB)
const brokenAnswer = checkCondition(INTERNAL_TARGET_FAILURE)

/** A write that is cut along the pieces of its range. */
interface PiecesWrite {
  readonly lba: number
  readonly data: readonly Buffer[]
  readonly options: WriteOptions
  readonly requestOf: (
    piece: Piece,
    data: readonly Buffer[],
    options: PieceWriteOptions,
  ) => PieceRequest
}

export interface VolumeParts {
  readonly state: VolumeState
  readonly router: Router
  readonly ledger: FlushLedger
  readonly settings: VolumeSettings
  readonly tokens: TokenStore
  readonly access: FrontAccess
}

export class VolumeUnit implements LogicalUnit<PortalTask> {
  readonly #state: VolumeState
  readonly #router: Router
  readonly #ledger: FlushLedger
  readonly #access: FrontAccess
  readonly settings: VolumeSettings
  readonly tokens: TokenStore
  #facts: UnitFacts

  constructor(parts: VolumeParts) {
    const { state, router, ledger, settings, tokens, access } = parts
    this.#access = access
    this.#state = state
    this.#router = router
    this.#ledger = ledger
    this.settings = settings
    this.tokens = tokens
    this.#facts = factsOf(state.map)
  }

  /** Asked several times for each command; only the size ever changes. */
  get facts(): UnitFacts {
    const { map } = this.#state
    if (map.blocks !== this.#facts.blocks) this.#facts = factsOf(map)
    return this.#facts
  }

  /** A client that is shut out hears so before any of its data is asked for. */
  arrive(task: PortalTask): ScsiResult | undefined {
    return this.#state.admission.fenced && isCompared(task.cdb) ? conflict : undefined
  }

  notReady(task: PortalTask): Sense | undefined {
    const standby = this.#access.standbySense(task.nexus)
    return standby ?? (this.#router.notReady ? LOGICAL_UNIT_NOT_READY : undefined)
  }

  /** A shim that is nobody's other path is a target of one port, like any disk. */
  get portGroups(): FrontAccess | undefined {
    const isOneOfSeveral = this.#access.settable || this.#state.map.activeFrontEnds.length > 0
    return isOneOfSeveral ? this.#access : undefined
  }

  settingsFor(task: PortalTask): UnitSettings {
    if (this.portGroups === undefined) return this.settings
    return new TaskSettings(this.settings, () => this.#access.stillWaits(task))
  }

  async read(task: PortalTask, lba: number, blocks: number): Promise<ScsiResult> {
    const { routing, map } = this.#state
    const pieces = routing.route(lba, blocks)
    const requests = pieces.map((piece) => readRequest(piece, map.blockBytes))
    const outcome = await this.#router.run(task, requests)
    if (outcome.kind === 'failed') return outcome.result
    return good(gatherRead(pieces, outcome.dataIn, map.blockBytes))
  }

  write(
    task: PortalTask,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult> {
    const { routing, map } = this.#state
    const how = { forceUnitAccess: options.forceUnitAccess, blockBytes: map.blockBytes }
    const pieces = routing.route(lba, totalBytes(data) / map.blockBytes)
    return this.#write(
      task,
      pieces.map((piece) => writeRequest(piece, data, how)),
    )
  }

  /** Block by block it is one step; a stripe set's servers each do their share. */
  orWrite(
    task: PortalTask,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult> {
    return this.#writePieces(task, { lba, data, options, requestOf: orWriteRequest })
  }

  writeAtomic(
    task: PortalTask,
    lba: number,
    data: readonly Buffer[],
    options: WriteOptions,
  ): Promise<ScsiResult> {
    const { routing, map } = this.#state
    // Its bounds were checked against the volume of that moment; a store may have come between.
    const pieces = routing.route(lba, totalBytes(data) / map.blockBytes)
    if (pieces.length > 1) return Promise.resolve(invalidField)
    return this.#writePieces(task, { lba, data, options, requestOf: writeAtomicRequest })
  }

  compareAndWrite(
    task: PortalTask,
    lba: number,
    data: { readonly compare: readonly Buffer[]; readonly write: readonly Buffer[] },
    options: WriteOptions,
  ): Promise<ScsiResult> {
    const { routing, map } = this.#state
    const pieces = routing.route(lba, totalBytes(data.write) / map.blockBytes)
    assert(pieces.length === 1, 'a block lies on one server')
    return this.#write(
      task,
      pieces.map((piece) => compareAndWriteRequest(piece, data, options)),
    )
  }

  /** A bounded stretch of the volume at a time: each of its servers is asked once. */
  async mapping(
    task: PortalTask,
    { lba, blocks }: BlockExtent,
    runs: number,
  ): Promise<readonly AllocationRun[] | ScsiResult> {
    const pieces = this.#state.routing.route(lba, Math.min(blocks, shim.mappingBlocks))
    const requests = pieces.map((piece) => mappingRequest(piece, scsi.allocationRuns))
    const outcome = await this.#router.run(task, requests)
    if (outcome.kind === 'failed') return outcome.result
    const found = gatherMapping(pieces, outcome.dataIn, runs)
    return found.length > 0 ? found : brokenAnswer
  }

  #writePieces(task: PortalTask, write: PiecesWrite): Promise<ScsiResult> {
    const { routing, map } = this.#state
    const { lba, data, options, requestOf } = write
    const how = { forceUnitAccess: options.forceUnitAccess, blockBytes: map.blockBytes }
    const pieces = routing.route(lba, totalBytes(data) / map.blockBytes)
    return this.#write(
      task,
      pieces.map((piece) => requestOf(piece, data, how)),
    )
  }

  unmap(task: PortalTask, extents: readonly BlockExtent[]): Promise<ScsiResult> {
    return this.#write(task, unmapRequests(this.#state.routing, extents))
  }

  /** Goes to every segment: a flush of a part would cover nothing in the ledger. */
  async flush(task: PortalTask): Promise<ScsiResult> {
    const ticket = this.#ledger.flushBegins()
    const outcome = await this.#router.run(task, this.#state.map.segments.map(flushRequest))
    if (outcome.kind === 'failed') return outcome.result
    return this.#ledger.flushEnds(ticket, task.nexus.initiatorName) ? good() : writeError
  }

  async #write(task: PortalTask, requests: readonly PieceRequest[]): Promise<ScsiResult> {
    const ended = this.#ledger.writeBegins(task.nexus.initiatorName)
    try {
      const outcome = await this.#router.run(task, requests)
      return outcome.kind === 'failed' ? outcome.result : good()
    } finally {
      ended()
    }
  }
}

function factsOf(map: VolumeMap): UnitFacts {
  const { volumeId, blocks, blockBytes, removable, readOnly } = map
  const kind = { blocks, blockBytes, removable, readOnly, thin: true }
  return unitFacts(volumeId, { ...kind, ...atomicFacts(map) })
}

/**
 * What the vendor-specific commands of a replica ask of its unit: lengths first, checked when they
 * arrive and again when they run, for they come from a peer. The heartbeat is of no unit and not here.
 */
import { largestCommandBytes, mirror as limits, pageBytes } from '../../src/base/limits.ts'
import type { PortalTask } from '../../src/portal/portal-host.ts'
import { type CdbLayout, lba64, reservedBitInUse } from '../../src/scsi/cdb-layout.ts'
import { invalidCdbField } from '../../src/scsi/command.ts'
import { prefix } from '../../src/scsi/data-out.ts'
import { checkCondition, type ScsiResult } from '../../src/scsi/result.ts'
import type { Transfer } from '../../src/scsi/scsi-target.ts'
import { PARAMETER_LIST_LENGTH_ERROR } from '../../src/scsi/sense.ts'
import type { Fields, Value } from '../../src/wire/layout.ts'
import type { ReplicaUnit } from './replica-unit.ts'
import {
  clearRegions,
  digests,
  palisadeIn,
  palisadeOut,
  readMasks,
  takeMasks,
} from './replication-cdb.ts'
import { clearBytes, digestBytes } from './replication-data.ts'

export interface ReplicationCommand {
  readonly operationCode: number
  readonly serviceAction: number | undefined
  transfer(cdb: Buffer, blockBytes: number): Transfer
  check(cdb: Buffer, blockBytes: number): ScsiResult | undefined
  run(unit: ReplicaUnit, task: PortalTask, dataOut: readonly Buffer[]): Promise<ScsiResult>
}

const lengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)
/** The field that all of these CDBs have their length in. */
const lengthByte = 10

interface Spec<F extends Fields> {
  bytes(fields: Value<CdbLayout<F>>, blockBytes: number): number
  readonly most: number
  run(
    unit: ReplicaUnit,
    task: PortalTask,
    given: { readonly fields: Value<CdbLayout<F>>; readonly dataOut: readonly Buffer[] },
  ): Promise<ScsiResult>
}

function row<F extends Fields>(cdb: CdbLayout<F>, spec: Spec<F>): ReplicationCommand {
  const { operationCode, serviceAction } = cdb
  const direction = operationCode === palisadeIn ? 'in' : 'out'
  const fieldsOf = (block: Buffer) => cdb.decode(block) as Value<CdbLayout<F>>
  return {
    operationCode,
    serviceAction,
    transfer: (block, blockBytes) => ({
      direction,
      bytes: spec.bytes(fieldsOf(block), blockBytes),
    }),
    check(block, blockBytes) {
      const wrong = reservedBitInUse(cdb, block)
      if (wrong !== undefined) return invalidCdbField(wrong.byte, wrong.bit)
      const bytes = spec.bytes(fieldsOf(block), blockBytes)
      return bytes > spec.most ? invalidCdbField(lengthByte) : undefined
    },
    run: (unit, task, dataOut) => spec.run(unit, task, { fields: fieldsOf(task.cdb), dataOut }),
  }
}

/** The whole parameter list, or none where the initiator did not send it all. */
function list(
  { parameterListLength }: { readonly parameterListLength: number },
  dataOut: readonly Buffer[],
): Buffer | undefined {
  return prefix(dataOut, parameterListLength)
}

const digestCommand = row(digests, {
  bytes: ({ blocks }, blockBytes) => Math.ceil((blocks * blockBytes) / pageBytes) * digestBytes,
  most: (limits.regionBytes / pageBytes) * digestBytes,
  run: (unit, task, { fields }) =>
    unit.pageDigests(task, { lba: lba64(fields), blocks: fields.blocks }),
})

const readMasksCommand = row(readMasks, {
  bytes: ({ allocationLength }) => allocationLength,
  most: largestCommandBytes,
  run: (unit, task, { fields }) => unit.readMasks(task, fields.allocationLength),
})

const clearCommand = row(clearRegions, {
  bytes: ({ parameterListLength }) => parameterListLength,
  most: clearBytes,
  async run(unit, task, { fields, dataOut }) {
    const given = list(fields, dataOut)
    return given === undefined ? lengthError : unit.clearRegions(task, given)
  },
})

const takeMasksCommand = row(takeMasks, {
  bytes: ({ parameterListLength }) => parameterListLength,
  most: largestCommandBytes,
  async run(unit, task, { fields, dataOut }) {
    const given = list(fields, dataOut)
    return given === undefined ? lengthError : unit.takeMasks(task, given)
  },
})

const rows: readonly ReplicationCommand[] = [
  digestCommand,
  readMasksCommand,
  clearCommand,
  takeMasksCommand,
]

export function isVendorSpecific(cdb: Buffer): boolean {
  return cdb[0] === palisadeIn || cdb[0] === palisadeOut
}

/** Undefined: there is no such service action of a unit. */
export function findReplicationCommand(cdb: Buffer): ReplicationCommand | undefined {
  const serviceAction = cdb[1]! & 0x1f
  return rows.find((one) => one.operationCode === cdb[0] && one.serviceAction === serviceAction)
}

/**
 * RECEIVE ROD TOKEN INFORMATION: what became of a POPULATE TOKEN or WRITE USING TOKEN, and the token
 * that was made. SPC-4 6.26, SBC-3 5.23.
 */
import { layout, reserved, u8, u16, u32, u64 } from '../../wire/layout.ts'
import type { Call } from '../call.ts'
import { allocated, type Command, command, dataIn, invalidCdbField } from '../command.ts'
import { encodeSense } from '../sense-format.ts'
import { receiveRodTokenInformation } from './cdb-copy.ts'
import { whereTokens } from './copy-by-token.ts'
import type { CopyRecord } from './copy-records.ts'

/** COPY OPERATION STATUS. SPC-4 6.24.2. */
const OperationStatus = { DONE: 0x01, FAILED: 0x02, IN_FOREGROUND: 0x11 } as const
/** TRANSFER COUNT UNITS: logical blocks. SPC-4 6.24.2. */
const logicalBlocks = 0xf1
/** ESTIMATED STATUS UPDATE DELAY in ms, while it is under way. */
const askAgainMs = 100

const head = layout({
  name: 'RECEIVE ROD TOKEN INFORMATION parameter data',
  cite: 'SPC-4 6.26.2',
  sizeBytes: 32,
  fields: {
    availableData: u32(0, 'bytes that follow this field'),
    responseTo: u8(4, 'the service action of the command that is reported on'),
    operationStatus: u8(5),
    operationCounter: u16(6),
    updateDelayMs: u32(8),
    completionStatus: u8(12),
    senseFieldBytes: u8(13),
    senseBytes: u8(14),
    transferCountUnits: u8(15),
    transferCount: u64(16),
    segments: u16(24),
  },
  reserved: [reserved(26, 6)],
})

function operationStatus({ ended }: CopyRecord): number {
  if (ended === undefined) return OperationStatus.IN_FOREGROUND
  return ended.status === 0 ? OperationStatus.DONE : OperationStatus.FAILED
}

function information(record: CopyRecord, descriptorSense: boolean): Buffer {
  const { ended } = record
  const sense = ended?.sense ? encodeSense(ended.sense, descriptorSense) : Buffer.alloc(0)
  const tokens = tokenDescriptors(record.token)
  const fixed = head.build({
    availableData: head.sizeBytes + sense.length + tokens.length - 4,
    responseTo: record.serviceAction,
    operationStatus: operationStatus(record),
    operationCounter: 1,
    updateDelayMs: ended === undefined ? askAgainMs : 0,
    completionStatus: ended?.status ?? 0,
    senseFieldBytes: sense.length,
    senseBytes: sense.length,
    transferCountUnits: logicalBlocks,
    transferCount: BigInt(record.bytes / record.blockBytes),
    segments: record.segments,
  })
  return Buffer.concat([fixed, sense, tokens])
}

/** Their length, and one descriptor: two bytes that name no CSCD, and the token. */
function tokenDescriptors(token: Buffer | undefined): Buffer {
  const descriptors = token ? Buffer.concat([Buffer.alloc(2), token]) : Buffer.alloc(0)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(descriptors.length)
  return Buffer.concat([length, descriptors])
}

function recordOf(call: Call, listIdentifier: number): CopyRecord | undefined {
  return call.conditions.copies.find(call.nexus, listIdentifier)
}

export const receiveRodTokenCommands: readonly Command[] = [
  command(receiveRodTokenInformation, {
    medium: 'none',
    reservation: 'read',
    when: whereTokens,
    transfer: dataIn,
    check: (call, { listIdentifier }) =>
      recordOf(call, listIdentifier) === undefined ? invalidCdbField(2) : undefined,
    run(call, { listIdentifier, allocationLength }) {
      const record = recordOf(call, listIdentifier)!
      const { descriptorSense } = call.settings.state
      return allocated(information(record, descriptorSense), allocationLength)
    },
  }),
]

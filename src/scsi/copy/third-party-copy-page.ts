/**
 * The Third-party Copy VPD page, 8Fh: which copy commands there are and how much they take. SPC-4
 * 7.8.17, SBC-3 6.6.5. Made from the command table and the limits that are enforced.
 */
import { copy as limits } from '../../base/limits.ts'
import type { CommandFacts } from '../call.ts'
import { populateToken } from './cdb-copy.ts'
import { thisUnit } from './cscd.ts'
import { implementedDescriptors, segmentGranularity } from './receive-copy-results.ts'
import { RodType } from './rod-token.ts'

const copyOperationCodes = [0x83, 0x84]

/** THIRD-PARTY COPY DESCRIPTOR TYPE. SPC-4 7.8.17.3. */
const DescriptorType = {
  BLOCK_DEVICE_ROD_TOKEN_LIMITS: 0x0000,
  SUPPORTED_COMMANDS: 0x0001,
  PARAMETER_DATA: 0x0004,
  SUPPORTED_DESCRIPTORS: 0x0008,
  SUPPORTED_CSCD_IDS: 0x000c,
  ROD_TOKEN_FEATURES: 0x0106,
  SUPPORTED_ROD_TYPES: 0x0108,
  GENERAL_COPY_OPERATIONS: 0x8001,
} as const

export function hasThirdPartyCopy(commands: readonly CommandFacts[]): boolean {
  return commands.some(({ operationCode }) => operationCode === copyOperationCodes[0])
}

export function thirdPartyCopyPage(commands: readonly CommandFacts[], blockBytes: number): Buffer {
  const { operationCode, serviceAction } = populateToken
  const tokens = commands.some(
    (row) => row.operationCode === operationCode && row.serviceAction === serviceAction,
  )
  return Buffer.concat([
    ...(tokens ? [tokenLimits(blockBytes)] : []),
    supportedCommands(commands),
    parameterData(),
    listed(DescriptorType.SUPPORTED_DESCRIPTORS, Buffer.from(implementedDescriptors)),
    supportedCscdIds(),
    ...(tokens ? [tokenFeatures(), rodTypes()] : []),
    generalCopyOperations(),
  ])
}

/** The length is a multiple of four, whatever the contents. */
function descriptor(type: number, contents: Buffer): Buffer {
  const whole = Buffer.alloc(4 + Math.ceil(contents.length / 4) * 4)
  whole.writeUInt16BE(type, 0)
  whole.writeUInt16BE(whole.length - 4, 2)
  contents.copy(whole, 4)
  return whole
}

/** Contents that are one byte of length and a list. */
function listed(type: number, list: Buffer): Buffer {
  return descriptor(type, Buffer.concat([Buffer.from([list.length]), list]))
}

function tokenLimits(blockBytes: number): Buffer {
  const contents = Buffer.alloc(32)
  contents.writeUInt16BE(limits.rangeDescriptors, 6)
  contents.writeUInt32BE(limits.tokenInactivityMostSeconds, 8)
  contents.writeUInt32BE(limits.tokenInactivitySeconds, 12)
  const blocks = BigInt(limits.tokenBytes / blockBytes)
  contents.writeBigUInt64BE(blocks, 16)
  contents.writeBigUInt64BE(blocks, 24)
  return descriptor(DescriptorType.BLOCK_DEVICE_ROD_TOKEN_LIMITS, contents)
}

function supportedCommands(commands: readonly CommandFacts[]): Buffer {
  const rows = copyOperationCodes.map((operationCode) => {
    const actions = commands
      .filter((row) => row.operationCode === operationCode)
      .map(({ serviceAction }) => serviceAction ?? 0)
      .sort((one, other) => one - other)
    return Buffer.from([operationCode, actions.length, ...actions])
  })
  return listed(DescriptorType.SUPPORTED_COMMANDS, Buffer.concat(rows))
}

function parameterData(): Buffer {
  const contents = Buffer.alloc(28)
  contents.writeUInt16BE(limits.cscds, 4)
  contents.writeUInt16BE(limits.segments, 6)
  contents.writeUInt32BE(limits.descriptorListBytes, 8)
  return descriptor(DescriptorType.PARAMETER_DATA, contents)
}

function supportedCscdIds(): Buffer {
  const contents = Buffer.alloc(4)
  contents.writeUInt16BE(2, 0)
  contents.writeUInt16BE(thisUnit, 2)
  return descriptor(DescriptorType.SUPPORTED_CSCD_IDS, contents)
}

/** REMOTE TOKENS is 0: tokens are of use where they were made. */
function tokenFeatures(): Buffer {
  const contents = Buffer.alloc(44)
  contents.writeUInt32BE(limits.tokenInactivitySeconds, 12)
  contents.writeUInt32BE(limits.tokenInactivityMostSeconds, 16)
  contents.writeUInt32BE(limits.tokenInactivityMostSeconds, 20)
  return descriptor(DescriptorType.ROD_TOKEN_FEATURES, contents)
}

/** TOKEN_IN and TOKEN_OUT; a token of zeros is not made here, every initiator has it. */
function rodTypes(): Buffer {
  const types = [
    { type: RodType.POINT_IN_TIME_COPY_DEFAULT, flags: 0x03 },
    { type: RodType.BLOCK_DEVICE_ZERO, flags: 0x02 },
  ]
  const contents = Buffer.alloc(4 + 64 * types.length)
  contents.writeUInt16BE(64 * types.length, 2)
  for (const [index, { type, flags }] of types.entries()) {
    contents.writeUInt32BE(type, 4 + 64 * index)
    contents[8 + 64 * index] = flags
  }
  return descriptor(DescriptorType.SUPPORTED_ROD_TYPES, contents)
}

function generalCopyOperations(): Buffer {
  const contents = Buffer.alloc(32)
  contents.writeUInt32BE(limits.concurrentCopies, 0)
  contents.writeUInt32BE(limits.concurrentCopies, 4)
  contents.writeUInt32BE(limits.segmentBytes, 8)
  contents[12] = segmentGranularity
  return descriptor(DescriptorType.GENERAL_COPY_OPERATIONS, contents)
}

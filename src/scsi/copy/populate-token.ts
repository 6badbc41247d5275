/**
 * POPULATE TOKEN: takes a copy of blocks into memory and makes a token that stands for it; the token
 * is fetched with RECEIVE ROD TOKEN INFORMATION. SBC-3 5.7. With IMMED the status could come before
 * the copy is taken; here it comes after it in any case.
 */
import { copy as limits } from '../../base/limits.ts'
import { bit, layout, reserved, reservedBits, u16, u32 } from '../../wire/layout.ts'
import type { Call, Outcome } from '../call.ts'
import { type Command, invalidParameterField } from '../command.ts'
import type { BlockExtent } from '../logical-unit.ts'
import { checkCondition, good, isGood, type ScsiResult, Status } from '../result.ts'
import {
  INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN,
  PARAMETER_LIST_LENGTH_ERROR,
} from '../sense.ts'
import { parseRanges, totalBlocks } from './block-ranges.ts'
import { populateToken } from './cdb-copy.ts'
import { copyByToken } from './copy-by-token.ts'
import type { CopyRecord } from './copy-records.ts'
import { cscdOf } from './cscd.ts'
import { RodType } from './rod-token.ts'
import type { TokenFacts } from './token-store.ts'

const header = layout({
  name: 'POPULATE TOKEN parameter list',
  cite: 'SBC-3 5.7.2',
  sizeBytes: 16,
  fields: {
    dataLength: u16(0, 'bytes that follow this field'),
    rodTypeValid: bit(2, 1, 'RTV'),
    immediate: bit(2, 0, 'IMMED'),
    inactivitySeconds: u32(4, '0: the default'),
    rodType: u32(8),
    rangeDescriptorsLength: u16(14),
  },
  reserved: [reservedBits(2, 7, 2), reserved(3), reserved(12, 2)],
})

interface Wanted {
  readonly ranges: readonly BlockExtent[]
  readonly inactivityMs: number
}

const lengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)

function parse(call: Call, list: Buffer): Wanted | ScsiResult {
  if (list.length < header.sizeBytes) return lengthError
  const { dataLength, rodTypeValid, rodType, inactivitySeconds } = header.decode(list)
  if (dataLength + 2 > list.length) return lengthError
  const known: readonly number[] = [
    RodType.COPY_MANAGER_INTERNAL,
    RodType.POINT_IN_TIME_COPY_DEFAULT,
  ]
  if (rodTypeValid && !known.includes(rodType)) return invalidParameterField(8)
  if (inactivitySeconds > limits.tokenInactivityMostSeconds) return invalidParameterField(4)
  const ranges = parseRanges(call, list.subarray(0, dataLength + 2), header.sizeBytes)
  if ('status' in ranges) return ranges
  const seconds = inactivitySeconds === 0 ? limits.tokenInactivitySeconds : inactivitySeconds
  return { ranges, inactivityMs: seconds * 1000 }
}

/** Room is taken before anything is read, so that copies under way count as well. */
async function populate(call: Call, wanted: Wanted, record: CopyRecord): Promise<Outcome> {
  const { facts, nexus, tokens } = call
  const bytes = totalBlocks(wanted.ranges) * facts.blockBytes
  const room = tokens.room(nexus.initiatorPort, bytes)
  if (room === undefined) return checkCondition(INSUFFICIENT_RESOURCES_TO_CREATE_ROD_TOKEN)
  let token: Buffer | undefined
  try {
    const outcome = await readInto(call, wanted.ranges, { data: room.data, record })
    if (!isGood(outcome)) return outcome
    token = room.fill(factsOf(call, wanted)).token
  } finally {
    if (token === undefined) room.giveBack()
  }
  record.token = token
  return good()
}

function factsOf({ nexus, facts }: Call, { inactivityMs }: Wanted): TokenFacts {
  return {
    targetName: nexus.targetName,
    initiatorPort: nexus.initiatorPort,
    unit: facts.naa,
    blockBytes: facts.blockBytes,
    creator: cscdOf(facts),
    inactivityMs,
  }
}

async function readInto(
  call: Call,
  ranges: readonly BlockExtent[],
  { data, record }: { readonly data: Buffer; readonly record: CopyRecord },
): Promise<Outcome> {
  const { blockBytes } = call.facts
  const pieceBlocks = limits.pieceBytes / blockBytes
  for (const { lba, blocks } of ranges) {
    for (let done = 0; done < blocks; done += pieceBlocks) {
      if (call.aborted) return { status: Status.TASK_ABORTED }
      const outcome = await call.read(lba + done, Math.min(pieceBlocks, blocks - done))
      if (!isGood(outcome)) return outcome
      for (const part of outcome.dataIn) record.bytes += part.copy(data, record.bytes)
      outcome.release?.()
    }
    record.segments += 1
  }
  return good()
}

export const populateTokenCommands: readonly Command[] = [
  copyByToken(populateToken, { use: 'read', parse, work: populate }),
]

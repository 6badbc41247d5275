/**
 * Every number that somebody chose, in one place, with the relations that must hold between them.
 * What a standard fixed lives with the protocol that it belongs to.
 */
import { assert } from './assert.ts'

export const KIB = 1024
export const MIB = 1024 * KIB

/** Logical and physical block of every volume. */
export const blockBytes = 512
export const physicalBlockBytes = 4096

/** Unit of allocation inside a storage server. */
export const pageBytes = 64 * KIB

/** Largest single READ, WRITE or VERIFY; MAXIMUM TRANSFER LENGTH in VPD page B0h. */
export const largestCommandBytes = 8 * MIB

/** Sessions between our own programs (legs). */
export const leg = {
  windowCommands: 128,
  firstBurstBytes: 64 * KIB,
  maxBurstBytes: 8 * MIB,
  maxRecvDataSegmentBytes: 256 * KIB,
  loginDeadlineMs: 2_000,
  nopIntervalMs: 500,
  nopDeadlineMs: 1_000,
  commandDeadlineMs: 5_000,
} as const

/** Byte streams between hosts. */
export const network = {
  /** More than this queued in a stream asks its writer to wait. */
  highWaterBytes: 1 * MIB,
  /** How long a closed stream may take to send its rest and see the peer's end. */
  lingerMs: 2_000,
} as const

/** Reads of files: on the event loop while they are quick, in the thread pool after slow ones. */
export const fileIo = {
  largestLoopReadBytes: 64 * KIB,
  /** Cached reads take 1 to 10 us; an access to a fast disk takes 60 us or more. */
  slowReadMs: 0.06,
  poolFirstMs: 10,
  poolLongestMs: 1_000,
  quickReadsToForget: 1_000,
} as const

/** Default width of one column's run of blocks in a striped volume. */
export const stripeUnitBytes = 64 * KIB

/** What one SCSI command may ask of a logical unit; all but the last two are in VPD page B0h. */
export const scsi = {
  maxUnmapBlocks: 1024 * 1024,
  maxUnmapDescriptors: 256,
  /** WRITE SAME is written out, so it is kept to what a disk does within a command's deadline. */
  maxWriteSameBlocks: 64 * 1024,
  /** WRITE SAME and VERIFY go to the unit in pieces of this size. */
  pieceBytes: MIB,
  /** The pattern of WRITE SAME is laid out once in a buffer of this size. */
  patternBytes: 64 * KIB,
} as const

/** Key=value text in login and text exchanges (RFC 7143 6.1 fixes the first three). */
export const textLimits = {
  keyBytes: 63,
  valueBytes: 255,
  longValueBytes: 8192,
  /** Pairs in one exchange of one side; the standard knows about thirty keys. */
  pairs: 128,
  exchangeBytes: 16 * KIB,
  /** PDUs over which one side may spread an exchange with the C bit. */
  pieces: 64,
} as const

/** Rounds of a login, continuations not counted. */
export const loginRounds = 16

/** AHS of one PDU: our own headers need 12 and 32 bytes, an extended CDB at most 248. */
export const maxAhsBytes = 512

assert(pageBytes % physicalBlockBytes === 0, 'a page holds whole physical blocks')
assert(stripeUnitBytes % pageBytes === 0, 'a stripe unit holds whole pages')
assert(leg.maxBurstBytes >= largestCommandBytes, 'the largest command fits one burst')
assert(leg.nopDeadlineMs >= leg.nopIntervalMs, 'a ping is not overtaken by the next')
assert(fileIo.poolFirstMs <= fileIo.poolLongestMs, 'the time in the pool can grow')
assert(scsi.pieceBytes <= largestCommandBytes, 'a piece is no larger than a command')
assert(scsi.pieceBytes % scsi.patternBytes === 0, 'a piece is whole patterns')
assert(scsi.patternBytes % blockBytes === 0, 'a pattern is whole blocks')

/**
 * A request of the volume as commands to its servers: CDBs for the replica of each piece, and the
 * data of a request cut along the parts of its pieces, or put together from them. Views only.
 */
import { BufferCursor } from '../../src/base/buffer-cursor.ts'
import { sliceData } from '../../src/iscsi/data-slices.ts'
import {
  getLbaStatus,
  read16,
  synchronizeCache10,
  unmap,
  write16,
} from '../../src/scsi/cdb-block.ts'
import { compareAndWrite, orWrite, writeAtomic } from '../../src/scsi/cdb-update.ts'
import { lbaStatusBytes } from '../../src/scsi/lba-status.ts'
import type { BlockExtent, WriteOptions } from '../../src/scsi/logical-unit.ts'
import { unmapParameterList } from '../../src/scsi/unmap.ts'
import type { Segment } from '../../src/volume/map.ts'
import type { Piece, Routing } from '../../src/volume/routing.ts'
import type { PieceRequest } from '../router/piece-request.ts'

/** Fields of READ (16) and WRITE (16). One literal: spreading objects costs more than the command. */
function access(lba: number, blocks: number, forceUnitAccess: boolean) {
  return {
    protect: 0,
    disablePageOut: false,
    forceUnitAccess,
    forceUnitAccessNonVolatile: false,
    lbaHigh: Math.floor(lba / 0x1_0000_0000),
    lbaLow: lba >>> 0,
    transferLengthBlocks: blocks,
    group: 0,
  }
}

export function readRequest({ segment, lba, blocks }: Piece, blockBytes: number): PieceRequest {
  return {
    segmentId: segment.segmentId,
    cdb: (startBlock) => read16.build(access(startBlock + lba, blocks, false)),
    dataOut: undefined,
    dataInBytes: blocks * blockBytes,
  }
}

export interface PieceWriteOptions extends WriteOptions {
  readonly blockBytes: number
}

type WriteCdb = (lba: number, blocks: number, forceUnitAccess: boolean) => Buffer

/** A request that brings each piece its share of the data. */
function writing(build: WriteCdb) {
  return (piece: Piece, data: readonly Buffer[], options: PieceWriteOptions): PieceRequest => {
    const { segment, lba, blocks } = piece
    const { forceUnitAccess } = options
    const own = shareOf(piece, data, options.blockBytes)
    return {
      segmentId: segment.segmentId,
      cdb: (startBlock) => build(startBlock + lba, blocks, forceUnitAccess),
      dataOut: () => own,
      dataInBytes: undefined,
    }
  }
}

export const writeRequest = writing((lba, blocks, forceUnitAccess) =>
  write16.build(access(lba, blocks, forceUnitAccess)),
)

/** The same bytes whenever it is sent, so it may be sent again like any write. */
export const writeAtomicRequest = writing((lba, transferLengthBlocks, forceUnitAccess) =>
  writeAtomic.build({ ...update(lba, forceUnitAccess), atomicBoundary: 0, transferLengthBlocks }),
)

const orWriting = writing((lba, blocks, forceUnitAccess) =>
  orWrite.build(access(lba, blocks, forceUnitAccess)),
)

export function orWriteRequest(
  piece: Piece,
  data: readonly Buffer[],
  options: PieceWriteOptions,
): PieceRequest {
  return { ...orWriting(piece, data, options), once: true }
}

export function compareAndWriteRequest(
  { segment, lba, blocks }: Piece,
  data: { readonly compare: readonly Buffer[]; readonly write: readonly Buffer[] },
  { forceUnitAccess }: WriteOptions,
): PieceRequest {
  const both = [...data.compare, ...data.write]
  return {
    segmentId: segment.segmentId,
    cdb: (startBlock) =>
      compareAndWrite.build({
        ...update(startBlock + lba, forceUnitAccess),
        forceUnitAccessNonVolatile: false,
        blocks,
      }),
    dataOut: () => both,
    dataInBytes: undefined,
    once: true,
  }
}

/** Fields that COMPARE AND WRITE and WRITE ATOMIC have in common. */
function update(lba: number, forceUnitAccess: boolean) {
  const halves = { lbaHigh: Math.floor(lba / 0x1_0000_0000), lbaLow: lba >>> 0 }
  return { ...halves, protect: 0, disablePageOut: false, forceUnitAccess, group: 0 }
}

/** The part of the data of a request that goes to one piece. */
function shareOf({ parts }: Piece, data: readonly Buffer[], blockBytes: number): readonly Buffer[] {
  const [first] = parts
  return first !== undefined && parts.length === 1
    ? sliceData(data, first.offset * blockBytes, first.blocks * blockBytes)
    : parts.flatMap(({ offset, blocks }) =>
        sliceData(data, offset * blockBytes, blocks * blockBytes),
      )
}

/** GET LBA STATUS from the piece's first block on; what comes may go beyond the piece. */
export function mappingRequest({ segment, lba }: Piece, runs: number): PieceRequest {
  const allocationLength = lbaStatusBytes(runs)
  return {
    segmentId: segment.segmentId,
    cdb: (startBlock) => {
      const { lbaHigh, lbaLow } = update(startBlock + lba, false)
      return getLbaStatus.build({ lbaHigh, lbaLow, allocationLength })
    },
    dataOut: undefined,
    dataInBytes: allocationLength,
    mayBeShort: true,
  }
}

/** One UNMAP for each segment that has any of the extents. */
export function unmapRequests(routing: Routing, extents: readonly BlockExtent[]): PieceRequest[] {
  const bySegment = new Map<string, BlockExtent[]>()
  for (const extent of extents) {
    for (const { segment, lba, blocks } of routing.route(extent.lba, extent.blocks)) {
      const own = bySegment.get(segment.segmentId)
      if (own === undefined) bySegment.set(segment.segmentId, [{ lba, blocks }])
      else own.push({ lba, blocks })
    }
  }
  return [...bySegment].map(([segmentId, own]) => unmapRequest(segmentId, own))
}

function unmapRequest(segmentId: string, extents: readonly BlockExtent[]): PieceRequest {
  const parameterListLength = unmapParameterList(extents).length
  return {
    segmentId,
    cdb: () => unmap.build({ anchor: false, group: 0, parameterListLength }),
    dataOut: (startBlock) => {
      const there = extents.map(({ lba, blocks }) => ({ lba: startBlock + lba, blocks }))
      return [unmapParameterList(there)]
    },
    dataInBytes: undefined,
  }
}

/** SYNCHRONIZE CACHE of the whole logical unit: 0 blocks from 0 are all. SBC-3 5.26. */
export function flushRequest({ segmentId }: Segment): PieceRequest {
  const all = { lba: 0, blocks: 0, group: 0 }
  const cdb = synchronizeCache10.build({ nonVolatileOnly: false, immediate: false, ...all })
  return { segmentId, cdb: () => cdb, dataOut: undefined, dataInBytes: undefined }
}

/** The data of a read in the order of the request, from the data of its pieces. */
export function gatherRead(
  pieces: readonly Piece[],
  dataIn: readonly (readonly Buffer[])[],
  blockBytes: number,
): readonly Buffer[] {
  if (pieces.length === 1) return dataIn[0]!
  const runs: { readonly offset: number; readonly data: readonly Buffer[] }[] = []
  pieces.forEach(({ parts }, i) => {
    const cursor = new BufferCursor(dataIn[i]!)
    for (const { offset, blocks } of parts)
      runs.push({ offset, data: cursor.take(blocks * blockBytes) })
  })
  return runs.sort((left, right) => left.offset - right.offset).flatMap((run) => run.data)
}

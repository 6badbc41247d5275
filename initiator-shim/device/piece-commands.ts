/**
 * A request of the volume as commands to its servers: CDBs for the replica of each piece, and the
 * data of a request cut along the parts of its pieces, or put together from them. Views only.
 */
import { BufferCursor } from '../../src/base/buffer-cursor.ts'
import { sliceData } from '../../src/iscsi/data-slices.ts'
import { read16, synchronizeCache10, unmap, write16 } from '../../src/scsi/cdb-block.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
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

export function writeRequest(
  { segment, lba, blocks, parts }: Piece,
  data: readonly Buffer[],
  options: { readonly forceUnitAccess: boolean; readonly blockBytes: number },
): PieceRequest {
  const { forceUnitAccess, blockBytes } = options
  const [first] = parts
  const own =
    first !== undefined && parts.length === 1
      ? sliceData(data, first.offset * blockBytes, first.blocks * blockBytes)
      : parts.flatMap(({ offset, blocks: run }) =>
          sliceData(data, offset * blockBytes, run * blockBytes),
        )
  return {
    segmentId: segment.segmentId,
    cdb: (startBlock) => write16.build(access(startBlock + lba, blocks, forceUnitAccess)),
    dataOut: () => own,
    dataInBytes: undefined,
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

/**
 * What a primary asks of a replica elsewhere, as SCSI commands: what is larger than a command may be
 * is cut into several. Pure: who sends them, and stamps them, is link-partner.ts.
 */
import { assert } from '../../src/base/assert.ts'
import { BufferCursor } from '../../src/base/buffer-cursor.ts'
import { largestCommandBytes, mirror as limits, pageBytes, scsi } from '../../src/base/limits.ts'
import { read16, synchronizeCache16, unmap, write16 } from '../../src/scsi/cdb-block.ts'
import { writeAtomic } from '../../src/scsi/cdb-update.ts'
import { totalBytes } from '../../src/scsi/data-out.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import { unmapParameterList } from '../../src/scsi/unmap.ts'
import type { MaskSet } from './mask-set.ts'
import type { ClearWhat, PartnerWrite } from './partner.ts'
import { clearRegions, digests, readMasks, takeMasks } from './replication-cdb.ts'
import { digestBytes, encodeClearing, encodeMasks } from './replication-data.ts'

export interface PartnerCommand {
  readonly cdb: Buffer
  readonly dataOut?: readonly Buffer[]
  readonly dataInBytes?: number
}

export function writeCommands(
  { atomic = false, forceUnitAccess = false }: PartnerWrite,
  { lba, blockBytes }: { readonly lba: number; readonly blockBytes: number },
  data: readonly Buffer[],
): PartnerCommand[] {
  const cursor = new BufferCursor(data)
  const parts = cut(
    { lba, blocks: totalBytes(data) / blockBytes },
    largestCommandBytes / blockBytes,
  )
  assert(!atomic || parts.length === 1, 'an atomic write is one command')
  return parts.map((part) => {
    const access = accessOf(part, forceUnitAccess)
    const cdb = atomic ? writeAtomic.build({ ...access, atomicBoundary: 0 }) : write16.build(access)
    return { cdb, dataOut: cursor.take(part.blocks * blockBytes) }
  })
}

export function readCommands(extent: BlockExtent, blockBytes: number): PartnerCommand[] {
  return cut(extent, largestCommandBytes / blockBytes).map((part) => ({
    cdb: read16.build(accessOf(part, false)),
    dataInBytes: part.blocks * blockBytes,
  }))
}

export function unmapCommands(extents: readonly BlockExtent[]): PartnerCommand[] {
  return unmapLists(extents).map((list) => {
    const parameters = unmapParameterList(list)
    const cdb = unmap.build({ anchor: false, group: 0, parameterListLength: parameters.length })
    return { cdb, dataOut: [parameters] }
  })
}

export function flushCommand(): PartnerCommand {
  const whole = { lbaHigh: 0, lbaLow: 0, blocks: 0, group: 0 }
  return { cdb: synchronizeCache16.build({ ...whole, nonVolatileOnly: false, immediate: false }) }
}

export function digestCommands(extent: BlockExtent, blockBytes: number): PartnerCommand[] {
  assert((extent.lba * blockBytes) % pageBytes === 0, 'digests begin at a page boundary')
  return cut(extent, limits.regionBytes / blockBytes).map((part) => ({
    cdb: digests.build({ ...halves(part.lba), blocks: part.blocks }),
    dataInBytes: Math.ceil((part.blocks * blockBytes) / pageBytes) * digestBytes,
  }))
}

export function readMasksCommand(mostBytes: number): PartnerCommand & { dataInBytes: number } {
  const allocationLength = Math.min(mostBytes, largestCommandBytes)
  return { cdb: readMasks.build({ allocationLength }), dataInBytes: allocationLength }
}

export function takeMasksCommand(masks: MaskSet): PartnerCommand {
  const list = encodeMasks(masks)
  return { cdb: takeMasks.build({ parameterListLength: list.length }), dataOut: [list] }
}

/** Each is small enough for its data to go with it. */
export function clearCommands(regions: readonly number[], of: ClearWhat): PartnerCommand[] {
  const commands: PartnerCommand[] = []
  for (let at = 0; at < regions.length; at += limits.clearedRegions) {
    const list = encodeClearing({ regions: regions.slice(at, at + limits.clearedRegions), of })
    const cdb = clearRegions.build({ parameterListLength: list.length })
    commands.push({ cdb, dataOut: [list] })
  }
  return commands
}

function accessOf({ lba, blocks }: BlockExtent, forceUnitAccess: boolean) {
  return {
    ...halves(lba),
    transferLengthBlocks: blocks,
    forceUnitAccess,
    forceUnitAccessNonVolatile: false,
    disablePageOut: false,
    protect: 0,
    group: 0,
  }
}

function halves(lba: number): { readonly lbaHigh: number; readonly lbaLow: number } {
  return { lbaHigh: Math.floor(lba / 0x1_0000_0000), lbaLow: lba >>> 0 }
}

/** What one UNMAP takes at most: so many descriptors, so many blocks in all. SBC-3 6.6.3. */
function unmapLists(extents: readonly BlockExtent[]): BlockExtent[][] {
  const lists: BlockExtent[][] = []
  let room = 0
  for (const part of extents.flatMap((extent) => cut(extent, scsi.maxUnmapBlocks))) {
    const last = lists.at(-1)
    if (last !== undefined && last.length < scsi.maxUnmapDescriptors && part.blocks <= room) {
      last.push(part)
    } else {
      lists.push([part])
      room = scsi.maxUnmapBlocks
    }
    room -= part.blocks
  }
  return lists
}

/** In pieces of at most so many blocks. */
function cut({ lba, blocks }: BlockExtent, mostBlocks: number): BlockExtent[] {
  return Array.from({ length: Math.ceil(blocks / mostBlocks) }, (_, index) => {
    const from = index * mostBlocks
    return { lba: lba + from, blocks: Math.min(mostBlocks, blocks - from) }
  })
}

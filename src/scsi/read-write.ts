/**
 * READ and WRITE (6), (10), (12), (16). SBC-3 5.11 to 5.13 and 5.33 to 5.35, SBC-2 5.5 and 5.24.
 * The one path on which speed matters: payloads pass through untouched.
 */
import { type BlockAccess, checkAccess } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { read6, read10, read12, read16, write6, write10, write12, write16 } from './cdb-block.ts'
import { lba64 } from './cdb-layout.ts'
import { type Command, command } from './command.ts'
import { firstBytes, totalBytes, wrongAmount } from './data-out.ts'
import { good, isGood } from './result.ts'
import type { Transfer } from './scsi-target.ts'

export interface Access extends BlockAccess {
  readonly forceUnitAccess: boolean
}

interface Short {
  readonly lbaHigh: number
  readonly lbaLow: number
  readonly transferLengthBlocks: number
}
interface Medium {
  readonly protect: number
  readonly forceUnitAccess: boolean
  readonly lba: number
  readonly transferLengthBlocks: number
}
export interface Long {
  readonly protect: number
  readonly forceUnitAccess: boolean
  readonly lbaHigh: number
  readonly lbaLow: number
  readonly transferLengthBlocks: number
}

const access6 = (fields: Short): Access => ({
  lba: fields.lbaHigh * 0x1_0000 + fields.lbaLow,
  blocks: fields.transferLengthBlocks === 0 ? 256 : fields.transferLengthBlocks,
  protect: 0,
  forceUnitAccess: false,
})
const access10 = (fields: Medium): Access => ({
  lba: fields.lba,
  blocks: fields.transferLengthBlocks,
  protect: fields.protect,
  forceUnitAccess: fields.forceUnitAccess,
})
export const access16 = (fields: Long): Access => ({
  lba: lba64(fields),
  blocks: fields.transferLengthBlocks,
  protect: fields.protect,
  forceUnitAccess: fields.forceUnitAccess,
})

function reading<V>(accessOf: (fields: V) => Access) {
  return {
    medium: 'read' as const,
    reservation: 'read' as const,
    transfer: (fields: V, blockBytes: number): Transfer => ({
      direction: 'in',
      bytes: accessOf(fields).blocks * blockBytes,
    }),
    check: (call: Call, fields: V) => checkAccess(call, accessOf(fields)),
    run: (call: Call, fields: V) => read(call, accessOf(fields)),
  }
}

function writing<V>(accessOf: (fields: V) => Access) {
  return {
    medium: 'write' as const,
    reservation: 'write' as const,
    transfer: (fields: V, blockBytes: number): Transfer => ({
      direction: 'out',
      bytes: accessOf(fields).blocks * blockBytes,
    }),
    check: (call: Call, fields: V) => checkAccess(call, accessOf(fields)),
    run: (call: Call, fields: V) => write(call, accessOf(fields)),
  }
}

async function read(call: Call, { lba, blocks, forceUnitAccess }: Access): Promise<Outcome> {
  if (blocks === 0) return good()
  // FUA on a read promises that what is returned is on the medium. SBC-3 4.15.
  if (forceUnitAccess && call.facts.writeCache) {
    const flushed = await call.flush()
    if (!isGood(flushed)) return flushed
  }
  return call.read(lba, blocks)
}

/**
 * An initiator may announce less data than its CDB asks for (RFC 7143 11.4.5.2): the whole blocks
 * that came are written and the driver reports the rest as residual. Never a part of a block.
 */
async function write(call: Call, { lba, blocks, forceUnitAccess }: Access): Promise<Outcome> {
  const data = wholeBlocks(call, blocks)
  if (data === undefined) return wrongAmount
  return data.length === 0 ? good() : call.write(lba, data, { forceUnitAccess })
}

/** The data for at most so many blocks, none where none came; undefined: a block is incomplete. */
export function wholeBlocks(call: Call, blocks: number): readonly Buffer[] | undefined {
  const { blockBytes } = call.facts
  const bytes = totalBytes(call.dataOut)
  if (bytes % blockBytes !== 0 && bytes < blocks * blockBytes) return undefined
  const whole = Math.min(blocks, Math.floor(bytes / blockBytes))
  return whole === 0 ? [] : firstBytes(call.dataOut, whole * blockBytes)
}

export const readWriteCommands: readonly Command[] = [
  command(read6, reading(access6)),
  command(read10, reading(access10)),
  command(read12, reading(access10)),
  command(read16, reading(access16)),
  command(write6, writing(access6)),
  command(write10, writing(access10)),
  command(write12, writing(access10)),
  command(write16, writing(access16)),
]

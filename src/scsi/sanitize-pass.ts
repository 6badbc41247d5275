/**
 * One pass of a sanitize operation over a whole unit, in pieces, so that it can be stopped and its
 * progress told. SBC-3 4.11. Every pass ends with a flush: what it wrote is on the medium.
 */
import { scsi } from '../base/limits.ts'
import type { Call, Outcome } from './call.ts'
import type { BlockExtent } from './logical-unit.ts'
import type { Pacer } from './pacer.ts'
import { good, isGood, Status } from './result.ts'

export interface PassRun {
  readonly pacer: Pacer
  /** From 0 to 1. */
  progress(share: number): void
  stopped(): boolean
}

export type Pass = (call: Call, run: PassRun) => Promise<Outcome>

const notYetDurable = { forceUnitAccess: false }
const aborted: Outcome = { status: Status.TASK_ABORTED }

/** The pattern begins anew at each block, and is cut at its end. */
export function patternPass(pattern: Buffer): Pass {
  return async (call, run) => {
    const { blocks, blockBytes } = call.facts
    const block = Buffer.alloc(blockBytes, pattern)
    const filled = await fill(call, run, { from: 0, to: blocks, block })
    return isGood(filled) ? call.flush() : filled
  }
}

interface Filling {
  readonly from: number
  readonly to: number
  readonly block: Buffer
}

async function fill(call: Call, run: PassRun, { from, to, block }: Filling): Promise<Outcome> {
  const { blocks, blockBytes } = call.facts
  const pieceBlocks = Math.min(to - from, scsi.pieceBytes / blockBytes)
  const piece = Buffer.alloc(pieceBlocks * blockBytes, block)
  for (let lba = from; lba < to; ) {
    if (run.stopped()) return aborted
    const count = Math.min(to - lba, pieceBlocks)
    const outcome = await call.write(lba, [piece.subarray(0, count * blockBytes)], notYetDurable)
    if (!isGood(outcome)) return outcome
    lba += count
    run.progress(lba / blocks)
    await run.pacer.moved(count * blockBytes)
  }
  return good()
}

/** Zeros over what is allocated, on the medium; then the space is given back. */
export const erasePass: Pass = async (call, run) => {
  const { blocks, blockBytes } = call.facts
  const zeros = Buffer.alloc(blockBytes)
  for (let lba = 0; lba < blocks; ) {
    const range = { lba, blocks: Math.min(blocks - lba, scsi.maxUnmapBlocks) }
    const first = await firstRun(call, range)
    if ('status' in first) return first
    const end = lba + first.blocks
    const written = first.mapped
      ? await fill(call, run, { from: lba, to: end, block: zeros })
      : good()
    if (!isGood(written)) return written
    if (run.stopped()) return aborted
    lba = end
    run.progress(lba / blocks)
  }
  const flushed = await call.flush()
  if (!isGood(flushed) || !call.facts.thin) return flushed
  return giveBack(call, run)
}

async function firstRun(call: Call, range: BlockExtent) {
  const runs = await call.mapping(range, 1)
  if (runs === 'drop') return aborted as Exclude<Outcome, 'drop'>
  if ('status' in runs) return isGood(runs) ? { mapped: true, blocks: range.blocks } : runs
  const [first] = runs
  if (first === undefined) return { mapped: true, blocks: range.blocks }
  return { mapped: first.mapped, blocks: Math.min(first.blocks, range.blocks) }
}

async function giveBack(call: Call, run: PassRun): Promise<Outcome> {
  const { blocks } = call.facts
  for (let lba = 0; lba < blocks; lba += scsi.maxUnmapBlocks) {
    if (run.stopped()) return aborted
    const extent = { lba, blocks: Math.min(blocks - lba, scsi.maxUnmapBlocks) }
    const outcome = await call.unmap([extent])
    if (!isGood(outcome)) return outcome
  }
  const flushed = await call.flush()
  return isGood(flushed) ? good() : flushed
}

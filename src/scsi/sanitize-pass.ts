/**
 * One pass of a sanitize operation over a whole unit, in pieces, so that it can be stopped and its
 * progress told. SBC-3 4.11. Every pass ends with a flush: what it wrote is on the medium. While the
 * unit cannot serve, a pass waits for it, for as long as the program runs.
 */
import { scsi, unitState } from '../base/limits.ts'
import type { Call, Outcome } from './call.ts'
import type { AllocationRun, BlockExtent } from './logical-unit.ts'
import type { Pacer } from './pacer.ts'
import { good, isGood, Status } from './result.ts'
import { SenseKey } from './sense.ts'

export interface PassRun {
  readonly pacer: Pacer
  /** Where to go on: what is before this block was written by the same pass. */
  readonly from: number
  /** Everything before this block is written. Not GOOD: the pass has failed. */
  reached(lba: number): Promise<Outcome>
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
    const filled = await fill(call, run, { from: run.from, to: blocks, block })
    return isGood(filled) ? patiently(call, run, () => call.flush()) : filled
  }
}

interface Filling {
  readonly from: number
  readonly to: number
  readonly block: Buffer
}

async function fill(call: Call, run: PassRun, { from, to, block }: Filling): Promise<Outcome> {
  const { blockBytes } = call.facts
  const pieceBlocks = Math.min(to - from, scsi.pieceBytes / blockBytes)
  const piece = Buffer.alloc(pieceBlocks * blockBytes, block)
  for (let lba = from; lba < to; ) {
    if (run.stopped()) return aborted
    const count = Math.min(to - lba, pieceBlocks)
    const data = [piece.subarray(0, count * blockBytes)]
    const outcome = await patiently(call, run, () => call.write(lba, data, notYetDurable))
    if (!isGood(outcome)) return outcome
    lba += count
    const reached = await run.reached(lba)
    if (!isGood(reached)) return reached
    await run.pacer.moved(count * blockBytes)
  }
  return good()
}

/** Zeros over what is allocated, on the medium; then the space is given back. */
export const erasePass: Pass = async (call, run) => {
  const { blocks, blockBytes } = call.facts
  const zeros = Buffer.alloc(blockBytes)
  for (let lba = run.from; lba < blocks; ) {
    const range = { lba, blocks: Math.min(blocks - lba, scsi.maxUnmapBlocks) }
    let first = whole(range)
    const found = await patiently(call, run, async () => {
      const runs = await call.mapping(range, 1)
      if (isOutcome(runs)) return runs
      first = runs[0] ?? first
      return good()
    })
    if (!isGood(found)) return found
    const end = lba + Math.min(first.blocks, range.blocks)
    const written = first.mapped
      ? await fill(call, run, { from: lba, to: end, block: zeros })
      : good()
    if (!isGood(written)) return written
    if (run.stopped()) return aborted
    lba = end
    const reached = await run.reached(lba)
    if (!isGood(reached)) return reached
  }
  const flushed = await patiently(call, run, () => call.flush())
  if (!isGood(flushed) || !call.facts.thin) return flushed
  return giveBack(call, run)
}

/** A unit that cannot say what is allocated is taken as if all of it were. */
function whole({ blocks }: BlockExtent): AllocationRun {
  return { mapped: true, blocks }
}

function isOutcome(runs: readonly AllocationRun[] | Outcome): runs is Outcome {
  return runs === 'drop' || 'status' in runs
}

/** Again after a while where the unit said that it could not do it now. */
async function patiently(
  { clock }: Call,
  run: PassRun,
  attempt: () => Promise<Outcome>,
): Promise<Outcome> {
  for (;;) {
    const outcome = await attempt()
    if (!isPassing(outcome) || clock === undefined || run.stopped()) return outcome
    await new Promise<void>((resolve) => {
      clock.after(unitState.sanitizeRetryMs, resolve)
    })
  }
}

/** The unit says that it could not do it now. */
export function isPassing(outcome: Outcome): boolean {
  if (outcome === 'drop') return false
  if (outcome.status === Status.CHECK_CONDITION) return outcome.sense.key === SenseKey.NOT_READY
  return outcome.status === Status.BUSY || outcome.status === Status.TASK_SET_FULL
}

async function giveBack(call: Call, run: PassRun): Promise<Outcome> {
  const { blocks } = call.facts
  for (let lba = 0; lba < blocks; lba += scsi.maxUnmapBlocks) {
    if (run.stopped()) return aborted
    const extent = { lba, blocks: Math.min(blocks - lba, scsi.maxUnmapBlocks) }
    const outcome = await patiently(call, run, () => call.unmap([extent]))
    if (!isGood(outcome)) return outcome
  }
  return patiently(call, run, () => call.flush())
}

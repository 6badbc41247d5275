/**
 * What is allocated of a range of a volume, from what its servers said of their shares. The answer
 * ends where a server's did: runs of a stripe set lie across each other. Pure.
 */
import { decodeLbaStatus } from '../../src/scsi/lba-status.ts'
import type { AllocationRun } from '../../src/scsi/logical-unit.ts'
import type { Piece } from '../../src/volume/routing.ts'

/** A stretch of the range that is all of one kind. */
interface Stretch extends AllocationRun {
  /** From the first block of the range. */
  readonly offset: number
}

export function gatherMapping(
  pieces: readonly Piece[],
  dataIn: readonly (readonly Buffer[])[],
  most: number,
): readonly AllocationRun[] {
  const stretches = pieces.flatMap((piece, i) => stretchesOf(piece, runsIn(dataIn[i]!)))
  stretches.sort((left, right) => left.offset - right.offset)
  const runs: { mapped: boolean; blocks: number }[] = []
  let next = 0
  for (const { offset, mapped, blocks } of stretches) {
    if (offset !== next) break
    const last = runs.at(-1)
    if (last?.mapped === mapped) last.blocks += blocks
    else if (runs.length === most) break
    else runs.push({ mapped, blocks })
    next += blocks
  }
  return runs
}

function runsIn(data: readonly Buffer[]): AllocationRun[] {
  return decodeLbaStatus(Buffer.concat(data))
}

/** The runs of one server, laid over the parts of its piece. */
function stretchesOf({ parts }: Piece, runs: readonly AllocationRun[]): Stretch[] {
  const stretches: Stretch[] = []
  let index = 0
  let left = runs[0]?.blocks ?? 0
  for (const part of parts) {
    for (let at = 0; at < part.blocks; ) {
      const run = runs[index]
      if (run === undefined) return stretches
      const blocks = Math.min(left, part.blocks - at)
      stretches.push({ offset: part.offset + at, mapped: run.mapped, blocks })
      at += blocks
      left -= blocks
      if (left === 0) left = runs[++index]?.blocks ?? 0
    }
  }
  return stretches
}

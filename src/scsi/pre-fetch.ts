/**
 * PRE-FETCH (10), (16): reads blocks for nobody, so that they are in the caches below. SBC-3 5.8,
 * 5.9. GOOD and not CONDITION MET: that all of them stay there is not promised. IMMED only allows an
 * earlier answer.
 */
import { scsi } from '../base/limits.ts'
import { checkRange } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { prefetch10, prefetch16 } from './cdb-block.ts'
import { lba64 } from './cdb-layout.ts'
import { type Command, command } from './command.ts'
import { verifyBlocks } from './verify.ts'

/** 0 blocks are all to the end; what is more than the limit is left out. */
function prefetch(call: Call, lba: number, blocks: number): Promise<Outcome> | Outcome {
  const asked = blocks === 0 ? call.facts.blocks - lba : blocks
  const most = scsi.prefetchBytes / call.facts.blockBytes
  return verifyBlocks(call, { lba, blocks: Math.min(asked, most) })
}

export const prefetchCommands: readonly Command[] = [
  command(prefetch10, {
    medium: 'read',
    reservation: 'read',
    check: (call, { lba, blocks }) => checkRange(call, lba, blocks),
    run: (call, { lba, blocks }) => prefetch(call, lba, blocks),
  }),
  command(prefetch16, {
    medium: 'read',
    reservation: 'read',
    check: (call, fields) => checkRange(call, lba64(fields), fields.blocks),
    run: (call, fields) => prefetch(call, lba64(fields), fields.blocks),
  }),
]

/** ORWRITE (16): the blocks become the bitwise OR of what they hold and the data. SBC-3 5.5. */
import { checkAccess } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { orWrite } from './cdb-update.ts'
import { type Command, command } from './command.ts'
import { wrongAmount } from './data-out.ts'
import { type Access, access16, wholeBlocks } from './read-write.ts'
import { good } from './result.ts'

function run(call: Call, { lba, blocks, forceUnitAccess }: Access): Promise<Outcome> | Outcome {
  const data = wholeBlocks(call, blocks)
  if (data === undefined) return wrongAmount
  return data.length === 0 ? good() : call.orWrite(lba, data, { forceUnitAccess })
}

export const orWriteCommands: readonly Command[] = [
  command(orWrite, {
    medium: 'write',
    reservation: 'write',
    transfer: ({ transferLengthBlocks }, blockBytes) => ({
      direction: 'out',
      bytes: transferLengthBlocks * blockBytes,
    }),
    check: (call, fields) => checkAccess(call, access16(fields)),
    run: (call, fields) => run(call, access16(fields)),
  }),
]

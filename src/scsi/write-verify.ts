/**
 * WRITE AND VERIFY (10), (12), (16): the blocks are written through to the medium and read again;
 * with BYTCHK 01b they are also compared with the data that came. SBC-3 5.37 to 5.39.
 */
import { checkAccess } from './block-range.ts'
import type { Call, Outcome } from './call.ts'
import { lba64 } from './cdb-layout.ts'
import { writeAndVerify10, writeAndVerify12, writeAndVerify16 } from './cdb-update.ts'
import { type Command, command, invalidCdbField } from './command.ts'
import { DataReader, totalBytes, wrongAmount } from './data-out.ts'
import { wholeBlocks } from './read-write.ts'
import { good, isGood, type ScsiResult } from './result.ts'
import type { Transfer } from './scsi-target.ts'
import { ByteCheck, verifyBlocks } from './verify.ts'

interface WriteFields {
  readonly protect: number
  readonly byteCheck: number
  readonly transferLengthBlocks: number
}

function writingAndVerifying<V extends WriteFields>(lbaOf: (fields: V) => number) {
  return {
    medium: 'write' as const,
    reservation: 'write' as const,
    transfer: ({ transferLengthBlocks }: V, blockBytes: number): Transfer => ({
      direction: 'out',
      bytes: transferLengthBlocks * blockBytes,
    }),
    check(call: Call, fields: V): ScsiResult | undefined {
      const { protect, byteCheck, transferLengthBlocks: blocks } = fields
      if (byteCheck > ByteCheck.ALL) return invalidCdbField(1, 2)
      return checkAccess(call, { lba: lbaOf(fields), blocks, protect })
    },
    run: (call: Call, fields: V) => writeAndVerify(call, lbaOf(fields), fields),
  }
}

async function writeAndVerify(call: Call, lba: number, fields: WriteFields): Promise<Outcome> {
  const data = wholeBlocks(call, fields.transferLengthBlocks)
  if (data === undefined) return wrongAmount
  if (data.length === 0) return good()
  const written = await call.write(lba, data, { forceUnitAccess: true })
  if (!isGood(written)) return written
  const blocks = totalBytes(data) / call.facts.blockBytes
  if (fields.byteCheck === ByteCheck.NONE) return verifyBlocks(call, { lba, blocks })
  return verifyBlocks(call, { lba, blocks, expected: new DataReader(data) })
}

export const writeVerifyCommands: readonly Command[] = [
  command(
    writeAndVerify10,
    writingAndVerifying(({ lba }) => lba),
  ),
  command(
    writeAndVerify12,
    writingAndVerifying(({ lba }) => lba),
  ),
  command(
    writeAndVerify16,
    writingAndVerifying((fields) => lba64(fields)),
  ),
]

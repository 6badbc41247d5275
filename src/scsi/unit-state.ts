/**
 * Commands about the state of a unit rather than its blocks: TEST UNIT READY (SPC-4 6.47), REQUEST
 * SENSE (SPC-4 6.39), SYNCHRONIZE CACHE (10), (16) (SBC-3 5.26, 5.27).
 */
import { checkRange } from './block-range.ts'
import type { Call } from './call.ts'
import { synchronizeCache10, synchronizeCache16 } from './cdb-block.ts'
import { lba64 } from './cdb-layout.ts'
import { requestSense, testUnitReady } from './cdb-primary.ts'
import { allocated, type Command, command, dataIn } from './command.ts'
import { checkCondition, good, type ScsiResult, type Sense } from './result.ts'
import { LOGICAL_UNIT_NOT_SUPPORTED, NO_SENSE } from './sense.ts'
import { encodeDescriptors, encodeSense } from './sense-format.ts'

function ready(call: Call): ScsiResult {
  const reason = call.notReady()
  return reason ? checkCondition(reason) : good()
}

/** What REQUEST SENSE finds: an attention first, then what keeps the unit from being ready. */
function pendingSense(call: Call): Sense {
  if (!call.hasUnit) return LOGICAL_UNIT_NOT_SUPPORTED
  return call.takeAttention() ?? call.stateSense() ?? call.notReady() ?? NO_SENSE
}

export const unitStateCommands: readonly Command[] = [
  command(testUnitReady, { medium: 'read', reservation: 'reserve', run: ready }),
  command(requestSense, {
    anyLun: true,
    inAnyState: true,
    medium: 'none',
    reservation: 'never',
    transfer: dataIn,
    run(call, { descriptorFormat, allocationLength }) {
      const sense = pendingSense(call)
      const data = descriptorFormat ? encodeDescriptors(sense) : encodeSense(sense)
      return allocated(data, allocationLength)
    },
  }),
  // IMMED only allows an earlier answer; the whole unit is flushed whatever the range.
  command(synchronizeCache10, {
    medium: 'read',
    reservation: 'write',
    check: (call, { lba, blocks }) => checkRange(call, lba, blocks),
    run: (call) => call.flush(),
  }),
  command(synchronizeCache16, {
    medium: 'read',
    reservation: 'write',
    check: (call, fields) => checkRange(call, lba64(fields), fields.blocks),
    run: (call) => call.flush(),
  }),
]

/** What an initiator gets to hear when the store behind its logical unit could not do it. */
import { StorageError } from '../../src/base/errors.ts'
import { checkCondition, type ScsiResult } from '../../src/scsi/result.ts'
import {
  LBA_OUT_OF_RANGE,
  SPACE_ALLOCATION_FAILED,
  UNRECOVERED_READ_ERROR,
  WRITE_ERROR,
} from '../../src/scsi/sense.ts'

/** Never GOOD; what is not an operating failure is our own bug and is thrown on. */
export function storeFailure(error: unknown, doing: 'read' | 'write'): ScsiResult {
  if (!(error instanceof StorageError)) throw error
  if (error.code === 'invalid') return checkCondition(LBA_OUT_OF_RANGE)
  if (error.code === 'no-space') return checkCondition(SPACE_ALLOCATION_FAILED)
  return checkCondition(doing === 'read' ? UNRECOVERED_READ_ERROR : WRITE_ERROR)
}

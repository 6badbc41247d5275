/** Parameter lists of the third-party copy commands, whose length has 32 bits in the CDB. */
import { copy as limits } from '../../base/limits.ts'
import type { Call } from '../call.ts'
import { prefix, totalBytes } from '../data-out.ts'
import { checkCondition, type ScsiResult } from '../result.ts'
import { PARAMETER_LIST_LENGTH_ERROR } from '../sense.ts'

const lengthError = checkCondition(PARAMETER_LIST_LENGTH_ERROR)

/** A list longer than any can be is refused before any of it is asked for. */
export function checkListLength(parameterListLength: number): ScsiResult | undefined {
  return parameterListLength > limits.parameterListBytes ? lengthError : undefined
}

/** What came of the list, in one piece. */
export function parameterList(call: Call, parameterListLength: number): Buffer {
  const bytes = Math.min(parameterListLength, totalBytes(call.dataOut))
  return prefix(call.dataOut, bytes) ?? Buffer.alloc(0)
}

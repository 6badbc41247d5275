/**
 * What a script can rely on: the exit status of every verb. The README lists the same numbers.
 */
import { StorageError, type StorageErrorCode } from '../base/errors.ts'

export const exitCode = {
  ok: 0,
  /** Tried and failed; the message says why. */
  failed: 1,
  /** The command line, the configuration file or a value in them is wrong; nothing was tried. */
  usage: 2,
  /** No answer: nothing was done, or it is not known whether it was. */
  unreachable: 3,
  notFound: 4,
  /** The directory or the address belongs to another program. */
  inUse: 5,
} as const

const byError: { readonly [code in StorageErrorCode]?: number } = {
  invalid: exitCode.usage,
  unreachable: exitCode.unreachable,
  deadline: exitCode.unreachable,
  'not-found': exitCode.notFound,
  'in-use': exitCode.inUse,
  'address-in-use': exitCode.inUse,
}

export function exitCodeOf(error: unknown): number {
  return (error instanceof StorageError ? byError[error.code] : undefined) ?? exitCode.failed
}

/**
 * Operating failures: disk, network, peer, bad configuration. Broken invariants are
 * `InvariantError`; outcomes of a protocol (sense, login status, reject) are values, not errors.
 * A code is added only when some caller acts on it.
 */
export const storageErrorCodes = [
  'io-error', // a disk read, write or sync failed
  'no-space', // no free pages, or the file system is full
  'not-a-store', // a file or directory that should be one of ours is not, or is damaged
  'wrong-version', // of another format version
  'in-use', // another process owns this directory
  'address-in-use',
  'unreachable', // no answer: nothing was done, or it is unknown whether it was
  'deadline', // gave up waiting: the outcome is unknown
  'refused', // the peer answered and said no
  'invalid', // bad input; the message names the field and the accepted range
  'not-found',
  'conflict', // the state does not allow it now
] as const
export type StorageErrorCode = (typeof storageErrorCodes)[number]

export class StorageError extends Error {
  override readonly name = 'StorageError'
  readonly code: StorageErrorCode

  constructor(code: StorageErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** Whatever was thrown, as an Error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown))
}

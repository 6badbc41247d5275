/** Errors of Node's file system calls, as StorageErrors that a caller can act on. */
import { StorageError, toError } from '../base/errors.ts'

export function errorCode(thrown: unknown): string | undefined {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  return typeof code === 'string' ? code : undefined
}

export function fileError(action: string, path: string, thrown: unknown): StorageError {
  if (thrown instanceof StorageError) return thrown
  const why = `${action} ${path}: ${toError(thrown).message}`
  switch (errorCode(thrown)) {
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return new StorageError('no-space', why, thrown)
    case 'ENOENT':
    case 'ENOTDIR':
      return new StorageError('not-found', why, thrown)
    default:
      return new StorageError('io-error', why, thrown)
  }
}

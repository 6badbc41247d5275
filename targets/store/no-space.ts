/** Refused for lack of room, and undone: nothing of it is there, and nothing else was touched. */
import { StorageError } from '../../src/base/errors.ts'

export function isNoSpace(error: unknown): error is StorageError {
  return error instanceof StorageError && error.code === 'no-space'
}

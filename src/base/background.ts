/**
 * For promises that nobody awaits: an operating failure is reported. Anything else is our own bug
 * and stays an unhandled rejection, which ends the process.
 */
import { StorageError } from './errors.ts'

export function background(promise: Promise<unknown>, report: (error: StorageError) => void): void {
  promise.catch((thrown: unknown) => {
    if (!(thrown instanceof StorageError)) throw thrown
    report(thrown)
  })
}

/**
 * Invariants: a failure here is our own bug, never bad input. Stays on in production, because a
 * process that goes on after a broken invariant may write wrong data.
 */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

export function assert(condition: unknown, why: string): asserts condition {
  if (!condition) throw new InvariantError(why)
}

/** Ends a switch over a closed union: a compile error where a case is missing. */
export function assertNever(value: never, why = 'unexpected variant'): never {
  throw new InvariantError(`${why}: ${JSON.stringify(value)}`)
}

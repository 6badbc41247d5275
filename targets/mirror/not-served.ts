/**
 * Thrown instead of an outcome of the store: the segment may not, or could not, do it now, and the
 * fence has words for that. Only the unit that called turns it into an answer.
 */
import { Reason } from '../../src/volume/refusal.ts'

export class NotServed extends Error {
  override readonly name = 'NotServed'
  readonly reason: Reason

  constructor(reason: Reason, message: string) {
    super(message)
    this.reason = reason
  }
}

export function interrupted(): NotServed {
  return new NotServed(Reason.INTERRUPTED, 'not done on every replica')
}

/** Of a part of something other parts of which were done: it cannot be called untouched. */
export async function afterOthers(part: Promise<void>): Promise<void> {
  try {
    await part
  } catch (error) {
    throw error instanceof NotServed ? interrupted() : error
  }
}

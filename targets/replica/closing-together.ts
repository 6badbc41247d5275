/**
 * Servers that are primaries for each other are closed at about the same time, and each needs the
 * other to end what its own clients have begun. So a server that is closed to clients goes on
 * taking what other primaries send for a moment: until its own operations have ended and nothing
 * came for a little while. Nobody relies on a close before it is answered, and that is later.
 */
import { storageServer as limits } from '../../src/base/limits.ts'
import type { Clock } from '../../src/ports/clock.ts'
import type { BegunOperations } from './begun-operations.ts'
import type { SegmentView } from './segment-views.ts'

/** Whether a server is the primary of some mirrored segment and has a replica of another's. */
export function leadsAndFollows(views: ReadonlyMap<string, SegmentView>): boolean {
  let leads = false
  let follows = false
  for (const { primary, segment } of views.values()) {
    if (!primary) follows = true
    else if (segment.replicas.length > 1) leads = true
  }
  return leads && follows
}

export interface Ending {
  readonly clock: Clock
  readonly clients: BegunOperations
  readonly primaries: BegunOperations
}

/** Resolves when those of clients have ended, and primaries sent nothing for a while, or too long. */
export async function untilQuiet({ clock, clients, primaries }: Ending): Promise<void> {
  await clients.drained()
  const untilMs = clock.nowMs() + limits.lingerMs
  for (let seen = -1; seen !== primaries.ever && clock.nowMs() < untilMs; ) {
    seen = primaries.ever
    await new Promise<void>((resolve) => {
      clock.after(limits.lingerQuietMs, resolve)
    })
  }
}

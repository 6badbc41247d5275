/** Guards of leases and roles: who may answer for a volume with copies. */
import type { Mutation } from './mutation.ts'

export const leaseMutations: readonly Mutation[] = [
  {
    guard: 'lease: it ends',
    theme: 'oldView',
    file: 'targets/mirror/leases.js',
    before: 'nowMs - known.sentAtMs < leaseMs',
    after: 'true',
    mirrors: true,
  },
  {
    guard: 'lease counted from sending',
    theme: 'pausedPrimary',
    file: 'targets/mirror/leases.js',
    before: 'beaten(serverId, named, sentAtMs) {',
    after: 'beaten(serverId, named, sentAtMs) { sentAtMs = this.#watch.look();',
    mirrors: true,
  },
  {
    guard: 'lease: void when the clocks parted',
    theme: 'pausedPrimary',
    file: 'targets/mirror/leases.js',
    before: 'known.sentAtMs >= this.#watch.voidBeforeMs',
    after: 'true',
    mirrors: true,
  },
  {
    guard: 'clock read at the answer',
    theme: 'pausedPrimary',
    file: 'targets/mirror/mirrored-store.js',
    before: `            data = await this.#readHere(held, extent);
        }
        finally {
            held.release();
        }
        data ??= await this.#repaired(extent);
        mustHoldLease(held.primary);`,
    after: `            mustHoldLease(held.primary);
            data = await this.#readHere(held, extent);
        }
        finally {
            held.release();
        }
        data ??= await this.#repaired(extent);`,
    mirrors: true,
  },
  {
    guard: 'closed sets: the lease of a silent primary is waited for',
    theme: 'oldView',
    file: 'src/management/closed-sets.js',
    before: 'const untilMs = Math.min(...ends);',
    after: 'const untilMs = state.nowMs;',
    mirrors: true,
  },
  {
    guard: 'hold-off after a restart: it may have confirmed everything',
    theme: 'restartedConfirmer',
    file: 'targets/mirror/confirmer.js',
    before: 'const assumedAtMs = Math.max(this.#startedAtMs, this.#watch.voidBeforeMs);',
    after: 'const assumedAtMs = -Infinity;',
    mirrors: true,
  },
  {
    guard: 'heartbeat that does not confirm the closed',
    theme: 'oldViewThatBeats',
    file: 'targets/mirror/replication-target.js',
    before: "replica.state === 'in-sync' && fence.state === 'open'",
    after: "replica.state === 'in-sync'",
    mirrors: true,
  },
  {
    guard: 'unflagged requests refused by a secondary',
    file: 'src/volume/comparator.js',
    before: 'return view.primary;',
    after: 'return true;',
    mirrors: true,
  },
  {
    guard: 'replication from the primary of the map alone',
    theme: 'pausedPrimary',
    file: 'src/volume/comparator.js',
    before: 'return !view.primary && initiatorName === view.primaryInitiator;',
    after: 'return !view.primary;',
    mirrors: true,
  },
]

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
    theme: 'stoppedClock',
    file: 'targets/mirror/leases.js',
    before: 'known.sentAtMs > this.#watch.voidBeforeMs',
    after: 'true',
    mirrors: true,
  },
  {
    // By the clock as the last heartbeat or write saw it, as a timer's flag would say.
    guard: 'clock read at the answer',
    theme: 'oldView',
    file: 'targets/mirror/leases.js',
    before: 'const nowMs = this.#watch.look();',
    after: 'const nowMs = this.lookedAtMs ?? this.#watch.look();',
    more: [
      {
        file: 'targets/mirror/leases.js',
        before: 'return this.#watch.look();',
        after: 'return (this.lookedAtMs = this.#watch.look());',
      },
    ],
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
    guard: 'a primary that neither a client nor its partner reaches is replaced',
    theme: 'unheardPrimary',
    file: 'src/management/replica-changes.js',
    before: '|| isCutOff(segment, sight)',
    after: '',
    mirrors: true,
  },
  {
    guard: 'a partner that does not hear its primary is kept until clients had their say',
    theme: 'unheardPrimary',
    file: 'src/management/replica-changes.js',
    before: '&& !sight.isDisputed(serverId)',
    after: '',
    mirrors: true,
  },
  {
    // Without it a server would serve its own copy.
    guard: 'unflagged requests refused by a secondary',
    theme: 'mistakenReader',
    file: 'src/volume/comparator.js',
    before: 'return view.primary;',
    after: 'return true;',
    more: [
      {
        file: 'targets/mirror/server-mirrors.js',
        before: 'if (replicas <= 1)',
        after: 'if (replicas <= 1 || !volume.views.get(segmentId).primary)',
      },
    ],
    mirrors: true,
  },
  {
    guard: 'replication from the primary of the map alone',
    theme: 'mistakenPrimary',
    file: 'src/volume/comparator.js',
    before: 'return !view.primary && initiatorName === view.primaryInitiator;',
    after: 'return !view.primary;',
    mirrors: true,
  },
]

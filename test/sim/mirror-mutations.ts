/** Guards that only a cluster with several copies has. See mutations.ts. */
import type { Mutation } from './mutations.ts'

export const mirrorMutations: readonly Mutation[] = [
  {
    guard: 'lease: it ends',
    theme: 'oldView',
    file: 'targets/mirror/leases.js',
    before: 'nowMs - known.sentAtMs < leaseMs',
    after: 'true',
  },
  {
    guard: 'lease counted from sending',
    theme: 'pausedPrimary',
    file: 'targets/mirror/leases.js',
    before: 'beaten(serverId, named, sentAtMs) {',
    after: 'beaten(serverId, named, sentAtMs) { sentAtMs = this.#watch.look();',
  },
  {
    guard: 'lease: void when the clocks parted',
    theme: 'pausedPrimary',
    file: 'targets/mirror/leases.js',
    before: 'known.sentAtMs >= this.#watch.voidBeforeMs',
    after: 'true',
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
  },
  {
    guard: 'closed sets: the lease of a silent primary is waited for',
    theme: 'oldView',
    file: 'src/management/closed-sets.js',
    before: 'const untilMs = Math.min(...ends);',
    after: 'const untilMs = state.nowMs;',
  },
  {
    guard: 'hold-off after a restart: it may have confirmed everything',
    theme: 'restartedConfirmer',
    file: 'targets/mirror/confirmer.js',
    before: 'const assumedAtMs = Math.max(this.#startedAtMs, this.#watch.voidBeforeMs);',
    after: 'const assumedAtMs = -Infinity;',
  },
  {
    guard: 'heartbeat that does not confirm the closed',
    theme: 'oldViewThatBeats',
    file: 'targets/mirror/replication-target.js',
    before: "replica.state === 'in-sync' && fence.state === 'open'",
    after: "replica.state === 'in-sync'",
  },
  {
    guard: 'read under the range lock',
    theme: 'halfWritten',
    file: 'targets/mirror/mirrored-store.js',
    before: "const lock = how === 'shared' ? locks.read(lba, blocks) : locks.write(lba, blocks);",
    after: "const lock = how === 'shared' ? () => undefined : locks.write(lba, blocks);",
  },
  {
    guard: 'writes under the range lock',
    theme: 'halfWritten',
    file: 'targets/mirror/mirrored-store.js',
    before: "const lock = how === 'shared' ? locks.read(lba, blocks) : locks.write(lba, blocks);",
    after: 'const lock = locks.read(lba, blocks);',
  },
  {
    guard: 'mark before write',
    theme: 'firstWrites',
    file: 'targets/mirror/segment-masks.js',
    before: 'return durable ? undefined : this.#marked({ firstRegion, endRegion });',
    after: 'return undefined;',
  },
  {
    guard: 'comparison at promotion',
    theme: 'halfWritten',
    file: 'targets/mirror/mirrored-segment.js',
    before: `        if (this.#doubt)
            this.#compare(primary);
        else
            this.#bringUp(primary);`,
    after: `        this.#doubt = false;
        this.#bringUp(primary);`,
  },
  {
    guard: 'clear only after flush',
    theme: 'quiet',
    file: 'targets/mirror/clearing.js',
    before: 'if (any && (await this.#flushAll()))',
    after: 'if (any)',
  },
  {
    guard: 'clear only what nobody touched since',
    theme: 'quiet',
    file: 'targets/mirror/clearing.js',
    before: 'const quiet = (region) => activity.quietSince(region, beganMs);',
    after: 'const quiet = () => true;',
  },
  {
    guard: 'clear in session order',
    theme: 'quiet',
    file: 'targets/mirror/clearing.js',
    before: 'await partner.clear(regions, what);',
    after: `await new Promise((resolve) => this.#options.clock.after(40, resolve));
            await partner.clear(regions, what);`,
  },
  {
    guard: 'label of the lacks mask',
    theme: 'rotation',
    file: 'targets/mirror/bring-up-run.js',
    before: 'if (label > 0 && label === theirs.inSyncGeneration) {',
    after: 'if (true) {',
  },
  {
    guard: 'label forgotten when its keeper was away',
    theme: 'rotation',
    file: 'targets/mirror/mirrored-volume.js',
    before: 'steps.push(masks.forgetAll());',
    after: '',
  },
  {
    guard: 'what may differ becomes what it lacks',
    theme: 'rotation',
    file: 'targets/mirror/mirrored-volume.js',
    before: 'steps.push(masks.leave(other.serverId, generation));',
    after: ';',
  },
  {
    guard: 'new incarnation is not in sync (several copies)',
    theme: 'halfWritten',
    file: 'targets/replica/segment-views.js',
    before: 'const known = incarnation !== undefined && incarnation === held.replica.incarnation;',
    after: 'const known = incarnation !== undefined;',
  },
  {
    guard: 'unflagged requests refused by a secondary',
    file: 'src/volume/comparator.js',
    before: 'return view.primary;',
    after: 'return true;',
  },
  {
    guard: 'replication from the primary of the map alone',
    theme: 'pausedPrimary',
    file: 'src/volume/comparator.js',
    before: 'return !view.primary && initiatorName === view.primaryInitiator;',
    after: 'return !view.primary;',
  },
  {
    guard: 'flush on every in-sync replica',
    theme: 'halfWritten',
    file: 'targets/mirror/mirrored-store.js',
    before: 'remote: (partner, call) => partner.flush(call),',
    after: 'remote: async () => undefined,',
  },
  {
    guard: 'writes wait for every in-sync replica',
    theme: 'rotation',
    file: 'targets/mirror/mirrored-store.js',
    before: 'if (failure === undefined && missing.length === 0)',
    after: 'if (failure === undefined)',
  },
]

/** Guards of copies: masks, labels, range locks, comparison. */
import type { Mutation } from './mutation.ts'

export const copyMutations: readonly Mutation[] = [
  {
    guard: 'read under the range lock',
    theme: 'halfWritten',
    file: 'targets/mirror/mirrored-store.js',
    before: "const lock = how === 'shared' ? locks.read(lba, blocks) : locks.write(lba, blocks);",
    after: "const lock = how === 'shared' ? () => undefined : locks.write(lba, blocks);",
    mirrors: true,
  },
  {
    guard: 'writes under the range lock',
    theme: 'halfWritten',
    file: 'targets/mirror/mirrored-store.js',
    before: "const lock = how === 'shared' ? locks.read(lba, blocks) : locks.write(lba, blocks);",
    after: 'const lock = locks.read(lba, blocks);',
    mirrors: true,
  },
  {
    guard: 'mark before write',
    theme: 'firstWrites',
    file: 'targets/mirror/segment-masks.js',
    before: 'return durable ? undefined : this.#marked({ firstRegion, endRegion });',
    after: 'return undefined;',
    mirrors: true,
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
    mirrors: true,
  },
  {
    guard: 'clear only after flush',
    theme: 'quiet',
    file: 'targets/mirror/clearing.js',
    before: 'if (any && (await this.#flushAll()))',
    after: 'if (any)',
    mirrors: true,
  },
  {
    guard: 'clear only what nobody touched since',
    theme: 'quiet',
    file: 'targets/mirror/clearing.js',
    before: 'const quiet = (region) => activity.quietSince(region, beganMs);',
    after: 'const quiet = () => true;',
    mirrors: true,
  },
  {
    guard: 'clear in session order',
    theme: 'quiet',
    file: 'targets/mirror/clearing.js',
    before: 'await partner.clear(regions, what);',
    after: `await new Promise((resolve) => this.#options.clock.after(40, resolve));
            await partner.clear(regions, what);`,
    mirrors: true,
  },
  {
    guard: 'label of the lacks mask',
    theme: 'rotation',
    file: 'targets/mirror/bring-up-run.js',
    before: 'if (label > 0 && label === theirs.inSyncGeneration) {',
    after: 'if (true) {',
    mirrors: true,
  },
  {
    guard: 'label forgotten when its keeper was away',
    theme: 'rotation',
    file: 'targets/mirror/mirrored-volume.js',
    before: 'steps.push(masks.forgetAll());',
    after: '',
    mirrors: true,
  },
  {
    guard: 'what may differ becomes what it lacks',
    theme: 'rotation',
    file: 'targets/mirror/mirrored-volume.js',
    before: 'steps.push(masks.leave(other.serverId, generation));',
    after: ';',
    mirrors: true,
  },
  {
    guard: 'new incarnation is not in sync (several copies)',
    theme: 'halfWritten',
    file: 'targets/replica/segment-views.js',
    before: 'const known = incarnation !== undefined && incarnation === held.replica.incarnation;',
    after: 'const known = incarnation !== undefined;',
    mirrors: true,
  },
  {
    guard: 'flush on every in-sync replica',
    theme: 'halfWritten',
    file: 'targets/mirror/mirrored-store.js',
    before: 'remote: (partner, call) => partner.flush(call),',
    after: 'remote: async () => undefined,',
    mirrors: true,
  },
  {
    guard: 'writes wait for every in-sync replica',
    theme: 'rotation',
    file: 'targets/mirror/mirrored-store.js',
    before: 'if (failure === undefined && missing.length === 0)',
    after: 'if (failure === undefined)',
    mirrors: true,
  },
]

/** Guards of copies: masks, labels, range locks, comparison. */
import type { Mutation } from './mutation.ts'

export const copyMutations: readonly Mutation[] = [
  {
    guard: 'read under the range lock',
    theme: 'seenTooEarly',
    file: 'targets/mirror/mirrored-store.js',
    before: "const lock = how === 'shared' ? locks.read(lba, blocks) : locks.write(lba, blocks);",
    after: "const lock = how === 'shared' ? () => undefined : locks.write(lba, blocks);",
    mirrors: true,
  },
  {
    guard: 'writes under the range lock',
    theme: 'atOnce',
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
    theme: 'takenBack',
    file: 'targets/mirror/clearing.js',
    before: 'if (any && (await this.#flushAll()))',
    after: 'if (any)',
    mirrors: true,
  },
  {
    guard: 'clear only what nobody touched since',
    theme: 'writtenMeanwhile',
    file: 'targets/mirror/clearing.js',
    before: 'const quiet = (region) => activity.quietSince(region, beganMs);',
    after: 'const quiet = () => true;',
    mirrors: true,
  },
  {
    guard: 'clear in session order',
    theme: 'overtaken',
    file: 'targets/mirror/clearing.js',
    before: 'await partner.clear(regions, what);',
    after: `await new Promise((resolve) => this.#options.clock.after(150, resolve));
            await partner.clear(regions, what);`,
    mirrors: true,
  },
  {
    guard: 'label of the lacks mask',
    theme: 'olderStore',
    file: 'targets/mirror/bring-up-run.js',
    before: 'if (label > 0 && label === theirs.inSyncGeneration) {',
    after: 'if (true) {',
    mirrors: true,
  },
  // It forgets, takes over what others know, and marks what it is brought up with: each of the three
  // is enough by itself.
  {
    guard: 'label forgotten when its keeper was away',
    theme: 'keeperAway',
    file: 'targets/mirror/mirrored-volume.js',
    before: 'steps.push(masks.forgetAll());',
    after: '',
    more: [
      {
        file: 'targets/mirror/segment-masks.js',
        before: "if (labels === 'theirs')",
        after: 'if (false)',
      },
      {
        file: 'targets/mirror/bring-up-run.js',
        before: 'await partner.takeMasks(this.#call, { ...known, lacks: others });',
        after: 'await partner.takeMasks(this.#call, { ...known, lacks: [] });',
      },
      {
        file: 'targets/mirror/replica-unit.js',
        before: "state !== 'in-sync' && serverId !== view.replica.serverId)",
        after: "state !== 'in-sync' && serverId !== view.replica.serverId && !isBehind)",
      },
    ],
    mirrors: true,
  },
  // What is dropped with unfinished writes is left, and compared, in the same change.
  {
    guard: 'what may differ becomes what it lacks',
    theme: 'unsent',
    file: 'targets/mirror/segment-masks.js',
    before: `lacks.mask.add(this.inSync);
        lacks.label = label;`,
    after: 'lacks.label = label;',
    more: [
      {
        file: 'targets/mirror/comparison.js',
        before: 'await masks.mergeIntoLacks(behind);',
        after: '',
      },
    ],
    mirrors: true,
  },
  {
    guard: 'set again: by the primary, what it sends to a copy that is brought up',
    theme: 'notSetAgain',
    file: 'targets/mirror/mirrored-store.js',
    before: 'const marked = masks.mark(firstRegion, endRegion, primary.behind, hasPartners);',
    after: `const unsent = primary.partners.filter(({ sentWrites }) => !sentWrites);
        const unsentIds = unsent.map(({ serverId }) => serverId);
        const marked = masks.mark(firstRegion, endRegion, unsentIds, hasPartners);`,
    mirrors: true,
  },
  {
    guard: 'set again: on every in-sync replica',
    theme: 'primaryKnew',
    file: 'targets/mirror/replica-unit.js',
    before: 'return masks.mark(firstRegion, endRegion, lacking, inSync) ?? [];',
    after: 'return masks.mark(firstRegion, endRegion, [], inSync) ?? [];',
    mirrors: true,
  },
  {
    guard: 'sample outside the masks',
    theme: 'oldStore',
    file: 'targets/mirror/bring-up-run.js',
    before: `if (this.#kind === 'partial')
            await this.#compareSample();`,
    after: '',
    mirrors: true,
  },
  {
    guard: 'new incarnation is not in sync (several copies)',
    theme: 'newStore',
    file: 'targets/replica/segment-views.js',
    before: 'const known = incarnation !== undefined && incarnation === held.replica.incarnation;',
    after: 'const known = incarnation !== undefined;',
    mirrors: true,
  },
  {
    guard: 'flush on every in-sync replica',
    theme: 'flushedOnOne',
    file: 'targets/mirror/mirrored-store.js',
    before: 'remote: (partner, call) => partner.flush(call),',
    after: 'remote: async () => undefined,',
    mirrors: true,
  },
  {
    guard: 'writes wait for every in-sync replica',
    theme: 'answeredTooEarly',
    file: 'targets/mirror/replicated-change.js',
    before: `const [failure, reached] = await Promise.all([locally(context.store, change, marked), remote]);
    return { failure, missing: partners.filter((_, i) => !reached[i]) };`,
    after: `void remote;
    return { failure: await locally(context.store, change, marked), missing: [] };`,
    mirrors: true,
  },
  {
    guard: 'what a close gave up on leaves its regions in doubt',
    theme: 'givenUp',
    file: 'targets/mirror/mirrored-store.js',
    before: 'if (failure === undefined && missing.length === 0)',
    after: 'if (failure === undefined)',
    mirrors: true,
  },
]

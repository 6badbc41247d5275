/** Guards of configuration changes: comparator, admission, close, term. */
import type { Mutation } from './mutation.ts'

export const configurationMutations: readonly Mutation[] = [
  {
    guard: 'comparator: an older generation is refused',
    theme: 'fenced',
    file: 'src/volume/comparator.js',
    before: 'if (fence.generation < view.wideGeneration)',
    after: 'if (false)',
  },
  {
    guard: 'comparator: a closed volume is refused',
    theme: 'closedForLong',
    file: 'src/volume/comparator.js',
    before: "if (view.state !== 'open')",
    after: 'if (false)',
  },
  {
    guard: 'comparator: asked again when the store is touched',
    theme: 'dataUnderWay',
    file: 'targets/lun/fenced-unit.js',
    before: `        const refusal = this.#refuse(task);
        if (refusal !== undefined)
            return refusal;
        const store`,
    after: `        const store`,
  },
  {
    guard: 'admission: a fenced client is refused by servers',
    theme: 'mistakenClient',
    file: 'src/volume/comparator.js',
    before: 'if (view.fencedClients.has(request.initiatorName))',
    after: 'if (false)',
  },
  {
    guard: 'admission: what was accepted before is never sent again',
    theme: 'letInAgain',
    file: 'initiator-shim/router/router.js',
    before: 'if (admission === this.#admission) {',
    after: 'if (true) {',
  },
  {
    guard: 'durable close',
    theme: 'closedAndGone',
    file: 'targets/replica/held-volume.js',
    before: `const durable = this.#context.records.save(this.#record);
        await Promise.all([durable, this.#drained()]);`,
    after: 'await this.#drained();',
  },
  {
    // An activate waits for it, too: either wait alone lets nobody in before the end.
    guard: 'close waits for what has begun',
    theme: 'fencedWhileSlow',
    file: 'targets/replica/held-volume.js',
    before: 'await Promise.all([this.begun.drained(), this.replicated.drained()]);',
    after: '',
  },
  {
    guard: 'term',
    theme: 'lateManager',
    file: 'src/management/configuration-store.js',
    before: `{ key: termKey, value: encodeNumber(this.term) },
            ...(transaction.require ?? []),`,
    after: '',
  },
  {
    guard: '(term, number)',
    theme: 'lateActivate',
    file: 'targets/replica/held-volume.js',
    before: 'if (compareOrders(order, this.#record.order) > 0)',
    after: 'if (true)',
  },
  {
    guard: 'hold-off after a restart: a manager is asked first',
    theme: 'declaredDead',
    file: 'targets/replica/held-volume.js',
    before: `    /** A manager has said, since this process began, that the map kept here is the current one. */
    #confirmed = false;`,
    after: '    #confirmed = true;',
  },
  {
    guard: 'an old copy of the configuration store is not used',
    theme: 'restoredManager',
    mirrors: true,
    file: 'src/management/succession.js',
    before: 'return map !== undefined && generation > map.generation;',
    after: 'return false;',
  },
  {
    guard: 'a started manager hears the servers before it changes a map',
    theme: 'restoredUnheard',
    mirrors: true,
    file: 'src/management/managed-volume.js',
    before: 'await rollCall.taken(serversOf(this.#map));',
    after: '',
  },
]

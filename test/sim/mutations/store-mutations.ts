/** Guards of the page store and of what a flush promises. */
import type { Mutation } from './mutation.ts'

export const storeMutations: readonly Mutation[] = [
  {
    guard: 'new incarnation is not in sync',
    theme: 'failedFlush',
    file: 'targets/replica/segment-views.js',
    before: 'const known = incarnation !== undefined && incarnation === held.replica.incarnation;',
    after: 'const known = incarnation !== undefined;',
  },
  {
    guard: 'page reuse after durable',
    theme: 'reusedAfterLoss',
    file: 'targets/store/store-core.js',
    before: 'this.#waitingPages += pages.length;',
    after: 'this.#waitingPages += pages.length; this.#release(sequence);',
  },
  {
    guard: 'page reuse: not while somebody reads it',
    theme: 'reusedWhileInUse',
    file: 'targets/store/store-core.js',
    before: 'this.#released = this.eras.drained().then(() => {',
    after: 'this.#released = Promise.resolve().then(() => {',
  },
  {
    guard: 'flush: data before the record that covers them',
    theme: 'lostWrites',
    file: 'targets/store/store-core.js',
    before: 'await this.pages.flush();',
    after: '',
  },
  {
    guard: 'flush of a front end fails after a loss',
    theme: 'lostWrites',
    file: 'initiator-shim/device/flush-ledger.js',
    before: 'account.owed = true;',
    after: ';',
  },
]

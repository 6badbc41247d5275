/**
 * What the simulator must notice. Each mutation takes one guard out of a copy of the compiled
 * program: the text before must be there exactly once, or the mutation itself has become wrong.
 * The shipped program has no switches for any of this.
 */
import type { ThemeName } from './themes.ts'

export interface Mutation {
  /** As the design calls what is taken away. */
  readonly guard: string
  /** Under the directory of the compiled program. */
  readonly file: string
  readonly before: string
  readonly after: string
  /** Only a cluster with several copies can show it. */
  readonly mirrors?: boolean
  /** The schedule that aims at it, tried first. */
  readonly theme?: ThemeName
}

export const mutations: readonly Mutation[] = [
  {
    guard: 'comparator: an older generation is refused',
    theme: 'fenced',
    file: 'src/volume/comparator.js',
    before: 'if (fence.generation < view.wideGeneration)',
    after: 'if (false)',
  },
  {
    guard: 'comparator: a closed volume is refused',
    theme: 'fenced',
    file: 'src/volume/comparator.js',
    before: "if (view.state !== 'open')",
    after: 'if (false)',
  },
  {
    guard: 'comparator: asked again when the store is touched',
    theme: 'fenced',
    file: 'targets/lun/fenced-unit.js',
    before: `        const refusal = this.#refuse(task);
        if (refusal !== undefined)
            return refusal;
        const store`,
    after: `        const store`,
  },
  {
    guard: 'reinstatement before re-send: what has begun is waited for',
    theme: 'slowResets',
    file: 'src/portal/login-driver.js',
    before: 'await Promise.race([Promise.all(former.map(({ ended }) => ended)), this.#abandoned]);',
    after: 'return !this.#over;',
  },
  {
    guard: 'reinstatement before re-send: the former session ends',
    theme: 'stuck',
    file: 'src/portal/login-driver.js',
    before: 'if (former.length === 0)',
    after: 'if (true)',
  },
  {
    guard: 'reinstatement before re-send: the sender waits for a login',
    theme: 'stuck',
    file: 'initiator-shim/router/piece-runner.js',
    before: 'return path.logins <= doubt.login;',
    after: 'return false;',
  },
  {
    guard: 'admission: a fenced client is refused by servers',
    theme: 'fenced',
    file: 'src/volume/comparator.js',
    before: 'if (view.fencedClients.has(request.initiatorName))',
    after: 'if (false)',
  },
  {
    guard: 'admission: what was accepted before is never sent again',
    theme: 'fenced',
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
    guard: 'close waits for what has begun',
    theme: 'fenced',
    file: 'targets/replica/held-volume.js',
    before: 'await Promise.all([durable, this.#drained()]);',
    after: 'await durable;',
  },
  {
    guard: 'term',
    theme: 'twoManagers',
    file: 'src/management/configuration-store.js',
    before: `{ key: termKey, value: encodeNumber(this.term) },
            ...(transaction.require ?? []),`,
    after: '',
  },
  {
    guard: '(term, number)',
    theme: 'twoManagers',
    file: 'targets/replica/held-volume.js',
    before: 'if (compareOrders(order, this.#record.order) > 0)',
    after: 'if (true)',
  },
  {
    guard: 'hold-off after a restart: a manager is asked first',
    theme: 'closedAndGone',
    file: 'targets/replica/held-volume.js',
    before: `    /** A manager has said, since this process began, that the map kept here is the current one. */
    #confirmed = false;`,
    after: '    #confirmed = true;',
  },
  {
    guard: 'new incarnation is not in sync',
    file: 'targets/replica/segment-views.js',
    before: 'const known = incarnation !== undefined && incarnation === held.replica.incarnation;',
    after: 'const known = incarnation !== undefined;',
  },
  {
    guard: 'page reuse after durable',
    file: 'targets/store/store-core.js',
    before: 'this.#waitingPages += pages.length;',
    after: 'this.#waitingPages += pages.length; this.#release(sequence);',
  },
  {
    guard: 'page reuse: not while somebody reads it',
    file: 'targets/store/store-core.js',
    before: 'this.#released = this.eras.drained().then(() => {',
    after: 'this.#released = Promise.resolve().then(() => {',
  },
  {
    guard: 'flush: data before the record that covers them',
    file: 'targets/store/store-core.js',
    before: 'await this.pages.flush();',
    after: '',
  },
  {
    guard: 'flush of a front end fails after a loss',
    file: 'initiator-shim/device/flush-ledger.js',
    before: 'account.owed = true;',
    after: '',
  },
  {
    guard: 'abort only when ended',
    file: 'src/portal/task-management.js',
    before: 'task.whenEnded(() => this.#one());',
    after: 'this.#one();',
  },
  {
    guard: 'no blind re-send of COMPARE AND WRITE',
    theme: 'slowResets',
    file: 'initiator-shim/router/piece-runner.js',
    before: 'return identities.of(this.#sending, this.#mayHaveHappened);',
    after: 'return identities.of(identities.begin(generation), false);',
  },
  {
    guard: 'front connection alive',
    theme: 'stuckFront',
    file: 'initiator-shim/front/liveness.js',
    before: 'return ageMs <= shim.proofMs;',
    after: 'return true;',
  },
  {
    guard: 'front connection alive: older sessions answer or end before a login',
    theme: 'stuckFront',
    file: 'initiator-shim/front/front-host.js',
    before:
      'await Promise.all(older.map((session) => this.#harmless(session, facts.portalAddress)));',
    after: '',
  },
  {
    guard: 'login number',
    theme: 'stuck',
    file: 'targets/replica/login-numbers.js',
    before: 'if (known !== undefined && number < known)',
    after: 'if (false)',
  },
]

/** Guards of sessions: what was sent before never lands after what was sent again. */
import type { Mutation } from './mutation.ts'

export const sessionMutations: readonly Mutation[] = [
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
    guard: 'reinstatement before re-send: the sender comes back as the same initiator port',
    theme: 'stuck',
    file: 'initiator-shim/paths/server-path.js',
    before: `initiatorName,
                isid,
                targetName`,
    after: `initiatorName,
                isid: Buffer.from([...isid.subarray(0, 5), this.#logins]),
                targetName`,
  },
  {
    guard: 'abort only when ended',
    theme: 'earlyAborts',
    file: 'src/portal/task-management.js',
    before: 'task.whenEnded(() => this.#one());',
    after: 'this.#one();',
  },
  {
    guard: 'no blind re-send of COMPARE AND WRITE',
    theme: 'lostCompares',
    file: 'initiator-shim/router/piece-runner.js',
    before: 'return identities.of(this.#sending, this.#mayHaveHappened);',
    after: 'return identities.of(identities.begin(generation), false);',
  },
  {
    guard: 'front connection alive',
    theme: 'stuckFront',
    file: 'initiator-shim/front/liveness.js',
    before: 'ageMs <= shim.proofMs;',
    after: 'true;',
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
    theme: 'lateLogins',
    file: 'targets/replica/login-numbers.js',
    before: 'if (known !== undefined && number < known)',
    after: 'if (false)',
  },
]

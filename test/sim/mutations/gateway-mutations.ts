/** One active front end: what an initiator sent through another one before never comes after. */
import type { Mutation } from './mutation.ts'

const aliveAfterNamed = {
  file: 'initiator-shim/front/liveness.js',
  before: 'const counts = provenAtMs >= sinceMs;',
  after: 'const counts = true;',
}

export const gatewayMutations: readonly Mutation[] = [
  {
    guard: 'one active front end: what was let in before is not sent under another entry',
    theme: 'stoppedGateway',
    file: 'initiator-shim/device/front-volume.js',
    before: 'access.keptFrom(task) ?? this.#device.keptFrom(task)',
    after: 'this.#device.keptFrom(task)',
  },
  {
    guard: 'one active front end: the manager names one at a time',
    theme: 'stoppedGateway',
    file: 'src/management/front-ends.js',
    before: 'if (free && entry?.client !== client) {',
    after: 'if (free && entry === undefined) {',
    more: [
      {
        file: 'src/management/front-ends.js',
        before: 'return { map: this.#context.handOut(volume.map), givenUp };',
        after:
          'return { map: this.#context.handOut(withActiveFrontEnd(volume.map, { initiator, client })), givenUp };',
      },
    ],
  },
  {
    guard: 'one active front end: what a dead connection left behind moves nobody',
    theme: 'lateClaim',
    file: 'initiator-shim/device/front-access.js',
    before: 'const dead = await this.#proof(task);',
    after: 'const dead = undefined;',
    // Alone it would only move an initiator to where it is not.
    more: [aliveAfterNamed],
  },
  {
    guard: 'one active front end: its initiator is alive after it was named',
    theme: 'slowClaim',
    ...aliveAfterNamed,
  },
  {
    guard: 'two paths to one front end: what was aborted on one has ended',
    theme: 'twoPortals',
    file: 'initiator-shim/front/lingering.js',
    before: 'if (each.task.aborted && each.task.session !== task.session)',
    after: 'if (false)',
  },
]

/** One active front end: what an initiator sent through another one before never comes after. */
import type { Mutation } from './mutation.ts'

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
    guard: 'one active front end: nobody is moved by what a dead connection left behind',
    theme: 'lateClaim',
    file: 'initiator-shim/device/front-access.js',
    before: 'liveness.distrust(task.session);',
    after: '',
    more: [
      {
        file: 'initiator-shim/device/front-access.js',
        before: 'const dead = await liveness.awaited(task);',
        after: 'const dead = undefined;',
      },
    ],
  },
]

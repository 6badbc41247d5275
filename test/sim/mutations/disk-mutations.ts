/** Guards against disks and stores that hold other than they should. */
import type { Mutation } from './mutation.ts'

export const diskMutations: readonly Mutation[] = [
  {
    guard: 'an old copy of the configuration store is not used',
    file: 'src/management/succession.js',
    before: 'return map !== undefined && generation > map.generation;',
    after: 'return false;',
    mirrors: true,
    theme: 'restoredManager',
  },
]

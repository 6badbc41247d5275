/** All guards that can be taken out, by what they guard. */
import { configurationMutations } from './mutations/configuration-mutations.ts'
import { copyMutations } from './mutations/copy-mutations.ts'
import { gatewayMutations } from './mutations/gateway-mutations.ts'
import { leaseMutations } from './mutations/lease-mutations.ts'
import type { Mutation } from './mutations/mutation.ts'
import { sessionMutations } from './mutations/session-mutations.ts'
import { storeMutations } from './mutations/store-mutations.ts'

export const mutations: readonly Mutation[] = [
  ...configurationMutations,
  ...sessionMutations,
  ...gatewayMutations,
  ...storeMutations,
  ...leaseMutations,
  ...copyMutations,
]

/** A partner of a primary as clearing sees it: under one generation, its calls judged like all. */
import type { Generation } from '../../src/volume/generation.ts'
import type { ClearingPartner } from './clearing.ts'
import type { Partner } from './partner.ts'

export interface KnownPartner {
  readonly serverId: string
  readonly inSync: boolean
  readonly sentWrites: boolean
  readonly bringUp:
    | { readonly attempt: object | undefined; pending(region: number): boolean }
    | undefined
  call<R>(run: (partner: Partner) => Promise<R>): Promise<R>
}

export function clearingPartner(known: KnownPartner, generation: Generation): ClearingPartner {
  return {
    serverId: known.serverId,
    inSync: known.inSync,
    get sentWrites() {
      return known.sentWrites
    },
    get attempt() {
      return known.bringUp?.attempt
    },
    pending: (region) => known.bringUp?.pending(region) !== false,
    flush: () => known.call((partner) => partner.flush({ generation })),
    clear: (regions, what) => known.call((partner) => partner.clear({ generation }, regions, what)),
  }
}

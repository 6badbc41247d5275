/**
 * One change of the content of a segment, on the primary's replica and on every replica that is
 * sent writes. Whoever calls holds the range lock, and keeps it until this has ended everywhere: so
 * overlapping changes have one order on every replica. SBC's commands and the fence are unknown here.
 */
import { StorageError } from '../../src/base/errors.ts'
import type { BlockExtent } from '../../src/scsi/logical-unit.ts'
import type { Generation } from '../../src/volume/generation.ts'
import type { ReplicaStore } from '../store/replica-store.ts'
import { type Partner, type PartnerCall, PartnerFailure } from './partner.ts'
import type { PartnerState } from './partner-state.ts'

export interface Effect {
  local(store: ReplicaStore): Promise<void>
  remote(partner: Partner, call: PartnerCall): Promise<void>
}

export interface Change extends BlockExtent, Effect {}

export interface ChangeContext {
  readonly generation: Generation
  readonly store: ReplicaStore
  /** True from the turn in which nothing is waited for any more that does not answer. */
  givingUp(): boolean
}

export interface ChangeOutcome {
  /** What kept it from being done here. */
  readonly failure: StorageError | undefined
  /** In-sync replicas of which it is not known whether they have it. */
  readonly missing: readonly PartnerState[]
}

/**
 * Resolves when nobody can touch anything for it any more. `marked` is what must be durable here
 * before; the others mark for themselves, so that all of it goes on side by side.
 */
export async function replicate(
  context: ChangeContext,
  change: Effect,
  partners: readonly PartnerState[],
  marked: Promise<void> | undefined,
): Promise<ChangeOutcome> {
  const remote = Promise.all(partners.map((partner) => remotely(context, change, partner)))
  const [failure, reached] = await Promise.all([locally(context.store, change, marked), remote])
  return { failure, missing: partners.filter((_, i) => !reached[i]) }
}

async function locally(
  store: ReplicaStore,
  change: Effect,
  marked: Promise<void> | undefined,
): Promise<StorageError | undefined> {
  try {
    if (marked !== undefined) await marked
    await change.local(store)
    return undefined
  } catch (error) {
    if (error instanceof StorageError) return error
    throw error
  }
}

/** False: given up. A replica that is only being brought up is not waited for; it starts anew. */
async function remotely(
  { generation, givingUp }: ChangeContext,
  change: Effect,
  state: PartnerState,
): Promise<boolean> {
  for (;;) {
    try {
      await state.call((partner) => change.remote(partner, { generation }))
      return true
    } catch (error) {
      if (!(error instanceof PartnerFailure)) throw error
      if (!state.inSync) {
        state.bringUp?.failed()
        return true
      }
      if (givingUp()) return false
      await state.again(error.kind)
      if (givingUp() && !state.partner.up) return false
    }
  }
}

/** The sanitize operation in what is shared of a unit: whose it is, and how it is replaced. Pure. */
import type { RunningSanitize, SanitizeRecord } from './sanitize-record.ts'
import type { SharedState, UnitSettings } from './unit-settings.ts'

/** The operation that this side has to carry out, as it stands. */
export function ownSanitize({ state, owner }: UnitSettings): RunningSanitize | undefined {
  const { sanitize } = state
  return sanitize?.kind === 'running' && sanitize.owner === owner ? sanitize : undefined
}

export function withSanitize(
  state: SharedState,
  sanitize: SanitizeRecord | undefined,
): SharedState {
  return { ...state, sanitize }
}

/** What a server has left, counted by plan: every page that a map could come to need is taken. */
import { pageBytes } from '../base/limits.ts'
import type { ServerFacts } from '../control/messages/server.ts'
import type { Volumes } from './volumes.ts'

export function freePagesOf(facts: ServerFacts, volumes: Volumes): number {
  const capacity = Math.floor(facts.capacityBytes / pageBytes)
  return Math.max(0, capacity - volumes.plannedPages(facts.serverId))
}

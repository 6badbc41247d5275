/** A server that can take data, as placement sees it, and what is to be placed. Pure. */
import { byDomain } from './spread.ts'

export interface Candidate {
  readonly serverId: string
  readonly name: string
  /** Failure domain; empty: the server is one of its own. */
  readonly domain: string
  readonly freePages: number
  /** Pages of the segments whose primary it is. */
  readonly ledPages: number
}

export interface PlacementRequest {
  /** First block of the volume that is new, and how many are. */
  readonly start: number
  readonly blocks: number
  readonly blockBytes: number
  readonly copies: number
  readonly candidates: readonly Candidate[]
}

/** What two servers have in common that must not hold two copies of the same data. */
export function domainKey({ domain, serverId }: Pick<Candidate, 'domain' | 'serverId'>): string {
  return domain === '' ? `server ${serverId}` : `domain ${domain}`
}

/** Most free space first; equal ones by name, so that the same state gives the same placement. */
export function byFreeSpace(candidates: readonly Candidate[]): Candidate[] {
  return [...candidates].sort(
    (a, b) => b.freePages - a.freePages || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
  )
}

/** By failure domain, in the order of their first server. */
export function domainsOf(candidates: readonly Candidate[]): Candidate[][] {
  return byDomain(candidates.map((each) => ({ domain: domainKey(each), each }))).map((group) => {
    return group.map(({ each }) => each)
  })
}

/** Why servers do not suffice for a placement, in words that name what is missing. */
import { StorageError } from '../base/errors.ts'
import { pageBytes } from '../base/limits.ts'
import { byFreeSpace, type Candidate, domainsOf, type PlacementRequest } from './candidate.ts'

export function namedCandidate(server: string, candidates: readonly Candidate[]): Candidate {
  const found = candidates.find(({ name }) => name === server)
  if (found !== undefined) return found
  const names = candidates.map(({ name }) => name).join(', ') || 'none'
  throw new StorageError(
    'not-found',
    `partition: server "${server}" cannot take data; servers that can: ${names}`,
  )
}

export function checkNamed(named: readonly Candidate[], copies: number): void {
  const names = named.map(({ name }) => name).join('+')
  if (named.length > copies) {
    const why = `${named.length} servers for ${copies === 1 ? 'one copy' : `${copies} copies`}`
    throw new StorageError('invalid', `partition ${names}: ${why}`)
  }
  const [shared] = domainsOf(named).filter((group) => group.length > 1)
  if (shared === undefined) return
  const [{ name, domain }, other] = shared as [Candidate, Candidate]
  const why =
    name === other.name
      ? `${name} twice: copies need different servers`
      : `${name} and ${other.name} are both in domain ${domain}: copies need different ones`
  throw new StorageError('invalid', `partition ${names}: ${why}`)
}

/** Copies need as many domains as there are copies. */
export function checkDomains({ copies, candidates }: PlacementRequest): void {
  const groups = domainsOf(byFreeSpace(candidates))
  if (copies === 1 || groups.length >= copies) return
  const names = groups.map(describeDomain).join(', ')
  const there = groups.length === 1 ? 'is 1' : `are ${groups.length}`
  const have = groups.length === 0 ? 'no server can take data' : `there ${there}: ${names}`
  const why = `mirror: ${copies} copies need ${copies} failure domains, ${have}`
  throw new StorageError('no-space', why)
}

/** `rack-1 (s1, s2)`, or only the server. */
function describeDomain(group: readonly Candidate[]): string {
  const [{ domain, name }] = group as [Candidate]
  return domain === '' ? name : `${domain} (${group.map((each) => each.name).join(', ')})`
}

/** `each` blocks are what one server, or one domain, has to take in one piece where it can. */
export function noSpace(request: PlacementRequest, each: number): StorageError {
  const { blocks, blockBytes, copies, candidates } = request
  const bytes = blocks * blockBytes
  if (copies > 1) return noSpaceForCopies(request, each)
  const free = byFreeSpace(candidates).map(
    ({ name, freePages }) => `${name} ${freePages * pageBytes}`,
  )
  const asked = `size: ${bytes} bytes do not fit`
  const have = free.length === 0 ? 'no server can take data' : `free bytes: ${free.join(', ')}`
  return new StorageError('no-space', `${asked}; ${have}`)
}

function noSpaceForCopies(request: PlacementRequest, each: number): StorageError {
  const { blocks, blockBytes, copies, candidates } = request
  const needed = each * blockBytes
  const groups = domainsOf(byFreeSpace(candidates)).map((group) => {
    const pages = group.reduce((sum, { freePages }) => sum + freePages, 0)
    return { name: describeDomain(group), bytes: pages * pageBytes }
  })
  const enough = groups.filter(({ bytes }) => bytes >= needed).length
  const there = enough === 1 ? 'is 1' : `are ${enough}`
  const free = groups.map(({ name, bytes }) => `${name} ${bytes}`).join(', ')
  if (enough >= copies) {
    const why = `${copies} copies of ${blocks * blockBytes} bytes do not fit`
    return new StorageError('no-space', `mirror: ${why}; free bytes: ${free}`)
  }
  const need = `${copies} copies need ${copies} failure domains with ${needed} bytes free`
  return new StorageError('no-space', `mirror: ${need}, there ${there}; free bytes: ${free}`)
}

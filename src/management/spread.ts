/**
 * Lays copies of a row of equal units over servers so that no two copies of a unit share a failure
 * domain: the rows are laid end to end and the domains fill that line one after the other, none
 * with more than a row is long, so that what wraps into the next row never meets itself
 * (McNaughton's rule). It finds a layout whenever there is one. With one copy it is plain filling.
 * Pure; knows neither pages nor columns, only units.
 */

/** A server, and how many units it can take. */
export interface Bin {
  readonly serverId: string
  /** Bins with the same one never hold two copies of a unit. */
  readonly domain: string
  readonly room: number
}

/** A run of units with the servers of its copies, each in another domain. */
export interface Slice {
  readonly from: number
  readonly to: number
  readonly serverIds: readonly string[]
}

export interface SpreadRequest {
  readonly units: number
  readonly copies: number
  /** Those that are wanted most come first. */
  readonly bins: readonly Bin[]
}

/** A run on the line of all rows. */
interface Run {
  readonly serverId: string
  readonly end: number
}

/** Undefined where the copies do not fit. */
export function spread(request: SpreadRequest): Slice[] | undefined {
  const { units, copies } = request
  const runs = fill(request)
  if ((runs.at(-1)?.end ?? 0) < units * copies) return undefined
  const rows = Array.from({ length: copies }, (_, row) => {
    return runsWithin(runs, row * units, (row + 1) * units)
  })
  const ends = new Set(rows.flatMap((row) => row.map(({ end }) => end)))
  let from = 0
  return [...ends]
    .sort((a, b) => a - b)
    .map((to) => {
      const serverIds = rows.map((row) => {
        while (row[0]!.end <= from) row.shift()
        return row[0]!.serverId
      })
      const slice = { from, to, serverIds }
      from = to
      return slice
    })
}

function fill({ units, copies, bins }: SpreadRequest): Run[] {
  const runs: Run[] = []
  let end = 0
  for (const group of byDomain(bins)) {
    let left = Math.min(units, units * copies - end)
    for (const { serverId, room } of group) {
      const here = Math.min(room, left)
      if (here <= 0) continue
      end += here
      left -= here
      runs.push({ serverId, end })
    }
  }
  return runs
}

/** The part of the line in one row, counted from the row's start. */
function runsWithin(runs: readonly Run[], start: number, end: number): Run[] {
  const first = runs.findIndex((run) => run.end > start)
  const last = runs.findIndex((run) => run.end >= end)
  return runs.slice(first, last + 1).map(({ serverId, end: runEnd }) => {
    return { serverId, end: Math.min(runEnd, end) - start }
  })
}

/** Domains in the order of their first bin. */
export function byDomain<T extends { readonly domain: string }>(bins: readonly T[]): T[][] {
  const groups = new Map<string, T[]>()
  for (const bin of bins) {
    const group = groups.get(bin.domain)
    if (group === undefined) groups.set(bin.domain, [bin])
    else group.push(bin)
  }
  return [...groups.values()]
}

/**
 * One server out of each set, all different: for each set in turn its first free server, others
 * moving over where they can. Undefined where it cannot be done.
 */
export function oneOfEach(sets: readonly (readonly string[])[]): string[] | undefined {
  const owners = new Map<string, number>()
  const settle = (index: number, tried: Set<string>): boolean => {
    for (const serverId of sets[index]!) {
      if (tried.has(serverId)) continue
      tried.add(serverId)
      const owner = owners.get(serverId)
      if (owner === undefined || settle(owner, tried)) {
        owners.set(serverId, index)
        return true
      }
    }
    return false
  }
  for (const index of sets.keys()) if (!settle(index, new Set())) return undefined
  const chosen = new Array<string>(sets.length)
  for (const [serverId, index] of owners) chosen[index] = serverId
  return chosen
}

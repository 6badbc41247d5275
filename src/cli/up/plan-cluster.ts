/**
 * What a start of `palisade up` makes of what stands in its directory and what was asked for: the
 * same is kept, more servers are added, anything else is an error. Pure but for drawing addresses.
 */
import { StorageError } from '../../base/errors.ts'
import type { Cluster, ClusterGateway, ClusterServer, ClusterShim } from './cluster-file.ts'

export interface AskedCluster {
  /** Absent: as many as there are, or the default on a first start. */
  readonly servers?: number
  /** Gateways in place of the shim. Absent: as many as there are, or the shim. */
  readonly gateways?: number
  /** The front portals of the shim. */
  readonly portal?: string
  readonly secondPortal?: string
  /** File with CHAP users; null: everybody may attach from now on. */
  readonly chap?: string | null
  /** Of each new server. */
  readonly capacityBytes: number
}

/** Answers an address on which nothing listens, another one each time. */
export type DrawAddress = () => Promise<string>

const defaultServers = 3

export async function planCluster(
  known: Cluster | undefined,
  asked: AskedCluster,
  draw: DrawAddress,
): Promise<Cluster> {
  if (known === undefined) {
    const count = asked.servers ?? defaultServers
    return {
      manager: { control: await draw(), portal: await draw() },
      servers: await drawServers(1, count, asked.capacityBytes, draw),
      shim: {
        portal: asked.portal ?? (await draw()),
        ...(asked.secondPortal !== undefined && { secondPortal: asked.secondPortal }),
        status: await draw(),
        ...(typeof asked.chap === 'string' && { chap: asked.chap }),
      },
      ...(await planGateways(undefined, asked.gateways, draw)),
    }
  }
  checkAgainst(known, asked)
  const more = (asked.servers ?? known.servers.length) - known.servers.length
  const first = known.servers.length + 1
  const added = await drawServers(first, more, asked.capacityBytes, draw)
  return {
    ...known,
    servers: [...known.servers, ...added],
    shim: planShim(known.shim, asked),
    ...(await planGateways(known.moreGateways, asked.gateways, draw)),
  }
}

/** More may be added, and a shim may become the first of several. */
async function planGateways(
  known: readonly ClusterGateway[] | undefined,
  asked: number | undefined,
  draw: DrawAddress,
): Promise<Pick<Cluster, 'moreGateways'>> {
  if (asked === undefined) return {}
  const moreGateways = [...(known ?? [])]
  if (asked < moreGateways.length + 1) {
    throw new StorageError(
      'conflict',
      `--gateways ${asked}: this directory has ${moreGateways.length + 1}, to which initiators are ` +
        'attached; give at least that number or none',
    )
  }
  while (moreGateways.length + 1 < asked) {
    moreGateways.push({ portal: await draw(), status: await draw() })
  }
  return { moreGateways }
}

/** A second portal may be added, and who may attach may change; the rest stays. */
function planShim(known: ClusterShim, { secondPortal, chap }: AskedCluster): ClusterShim {
  const { chap: knownChap, ...rest } = known
  const users = chap === undefined ? knownChap : (chap ?? undefined)
  return {
    ...rest,
    ...(secondPortal !== undefined && { secondPortal }),
    ...(users !== undefined && { chap: users }),
  }
}

function checkAgainst(known: Cluster, asked: AskedCluster): void {
  const there = known.servers.length
  if (asked.servers !== undefined && asked.servers < there) {
    const advice = 'servers are never taken away by a start; give at least that number or none'
    throw new StorageError(
      'conflict',
      `--servers ${asked.servers}: this directory has ${there} servers; ${advice}`,
    )
  }
  checkPortal(asked.portal, known.shim.portal)
  if (known.shim.secondPortal !== undefined) {
    checkPortal(asked.secondPortal, known.shim.secondPortal)
  }
}

function checkPortal(asked: string | undefined, known: string): void {
  if (asked === undefined || asked === known) return
  throw new StorageError(
    'conflict',
    `--portal ${asked}: this directory has its portal at ${known}, to which ` +
      'initiators are attached; give that one or none',
  )
}

async function drawServers(
  first: number,
  count: number,
  capacityBytes: number,
  draw: DrawAddress,
): Promise<ClusterServer[]> {
  const servers: ClusterServer[] = []
  for (let i = 0; i < count; i++) {
    const control = await draw()
    const portals = [await draw(), await draw()]
    servers.push({ name: `server-${first + i}`, control, portals, capacityBytes })
  }
  return servers
}

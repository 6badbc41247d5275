/**
 * What `palisade up` keeps in its directory: which processes there are and the addresses drawn for
 * them, in `cluster.json`. Volumes and data are not here: the manager and the servers own those.
 */
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { StorageError, toError } from '../../base/errors.ts'

export interface Cluster {
  readonly manager: { readonly control: string; readonly portal: string }
  readonly servers: readonly ClusterServer[]
  /** What the front end is, or the first of several gateways. */
  readonly shim: ClusterShim
  /** The gateways beside that one, if it is one; absent: it is a plain shim. */
  readonly moreGateways?: readonly ClusterGateway[]
}

export interface ClusterGateway {
  readonly portal: string
  readonly status: string
}

export interface ClusterShim {
  /** Where initiators attach. */
  readonly portal: string
  /** A second portal, for another network. */
  readonly secondPortal?: string
  readonly status: string
  /** File with the users who may attach; absent: everybody may. */
  readonly chap?: string
}

export interface ClusterServer {
  readonly name: string
  readonly control: string
  /** One a data path. */
  readonly portals: readonly string[]
  readonly capacityBytes: number
}

/** Written beside the cluster, checked by the directory's lock. */
export const clusterDirectoryFormat = { program: 'up', version: 1 } as const

export const defaultDirectory = './palisade-data'
export const clusterFileName = 'cluster.json'

/** The cluster in `directory`, or undefined where none was made yet. */
export async function readCluster(directory: string): Promise<Cluster | undefined> {
  const file = join(directory, clusterFileName)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new StorageError('io-error', `read ${file}: ${toError(thrown).message}`, thrown)
  }
  const cluster = parseCluster(text)
  if (cluster === undefined) {
    throw new StorageError('not-a-store', `${file} is damaged: restore it, or give another --dir`)
  }
  return cluster
}

function parseCluster(text: string): Cluster | undefined {
  try {
    const { manager, servers, shim, moreGateways } = JSON.parse(text)
    const servesAll = (servers as ClusterServer[]).every(
      (one) =>
        isText(one.name) &&
        isText(one.control) &&
        one.portals.every(isText) &&
        Number.isSafeInteger(one.capacityBytes),
    )
    const addresses = [manager.control, manager.portal, shim.portal, shim.status]
    const optional = [shim.secondPortal, shim.chap]
    const gateways = (moreGateways ?? []) as ClusterGateway[]
    const rest =
      optional.every((one) => one === undefined || isText(one)) &&
      gateways.every(({ portal, status }) => isText(portal) && isText(status))
    if (!servesAll || !rest || !addresses.every(isText)) return undefined
    return { manager, servers, shim, ...(moreGateways !== undefined && { moreGateways: gateways }) }
  } catch (thrown) {
    if (thrown instanceof SyntaxError || thrown instanceof TypeError) return undefined
    throw thrown
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string'
}

/** Replaces the file as a whole, so that a kill leaves the old or the new one. */
export async function writeCluster(directory: string, cluster: Cluster): Promise<void> {
  const file = join(directory, clusterFileName)
  await writeFile(`${file}.new`, `${JSON.stringify(cluster, undefined, 2)}\n`, { flush: true })
  await rename(`${file}.new`, file)
}

/** Every address that a process of the cluster listens on, with its owner. */
export function clusterAddresses(cluster: Cluster): { owner: string; address: string }[] {
  return [
    { owner: 'manager', address: cluster.manager.control },
    { owner: 'manager', address: cluster.manager.portal },
    ...cluster.servers.flatMap((server) =>
      [server.control, ...server.portals].map((address) => ({ owner: server.name, address })),
    ),
    ...frontEnds(cluster).flatMap(({ name, portals, status }) =>
      [...portals, status].map((address) => ({ owner: name, address })),
    ),
  ]
}

export interface ClusterFrontEnd {
  readonly role: 'shim' | 'gateway'
  readonly name: string
  readonly portals: readonly string[]
  readonly status: string
  /** Of a gateway. */
  readonly group?: number
}

/** The one shim, or the gateways in its place. */
export function frontEnds({ shim, moreGateways }: Cluster): readonly ClusterFrontEnd[] {
  const portals = frontPortals(shim)
  const { status } = shim
  if (moreGateways === undefined) return [{ role: 'shim', name: 'shim', portals, status }]
  const all = [
    { portals, status },
    ...moreGateways.map((one) => ({ ...one, portals: [one.portal] })),
  ]
  return all.map((one, i) => ({
    ...{ role: 'gateway', name: `gateway-${i + 1}`, portals: one.portals, status: one.status },
    // Portal group 1 is that of programs that are no gateways.
    group: i + 2,
  }))
}

function frontPortals({ portal, secondPortal }: ClusterShim): readonly string[] {
  return secondPortal === undefined ? [portal] : [portal, secondPortal]
}

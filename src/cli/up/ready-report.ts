/** What `palisade up` prints when everything serves: the one JSON line of the contract, or how to attach. */
import { resolve } from 'node:path'
import { parseAddress } from '../../base/address.ts'
import type { VolumeMap } from '../../volume/map.ts'
import { table } from '../output.ts'
import { approximateSize } from '../size.ts'
import { type Cluster, frontEnds } from './cluster-file.ts'
import type { SupervisedProgram } from './supervised-program.ts'

export interface ReadyState {
  readonly directory: string
  readonly cluster: Cluster
  readonly volumes: readonly VolumeMap[]
  readonly programs: readonly SupervisedProgram[]
}

/** Scripts depend on the shape: keys may be added, never changed. */
export function readyJson({ cluster, volumes, programs }: ReadyState) {
  return {
    ready: true,
    portal: cluster.shim.portal,
    manager: cluster.manager.control,
    volumes: volumes.map((map) => ({
      name: map.name,
      iqn: map.iqn,
      lun: 0,
      url: volumeUrl(cluster.shim.portal, map),
      generation: map.generation,
    })),
    processes: programs.map((program) => ({
      role: program.role,
      name: program.name,
      pid: program.ready?.pid ?? 0,
      portals: (program.ready?.portals ?? []).map(({ kind, address }) => ({ kind, address })),
    })),
  }
}

function volumeUrl(portal: string, map: VolumeMap): string {
  return `iscsi://${portal}/${map.iqn}/0`
}

export function readyLines(state: ReadyState): string[] {
  const { cluster, volumes, directory } = state
  const servers = cluster.servers.length
  const fronts = frontEnds(cluster)
  const portals = fronts.length === 1 ? [cluster.shim.portal] : fronts.flatMap((one) => one.portals)
  const head = [
    `Palisade serves ${count(volumes.length, 'volume')} at ${portals.join(', ')}`,
    `(${count(servers, 'storage server')}; state in ${resolve(directory)}; Ctrl-C stops)`,
    '',
  ]
  const [first] = volumes
  if (first === undefined) {
    const dir = directory === './palisade-data' ? '' : ` --dir ${directory}`
    return [...head, `Make a volume: palisade volume create NAME --size 10GiB${dir}`]
  }
  const rows = volumes.map((map) => [
    map.name,
    approximateSize(map.blocks * map.blockBytes),
    map.generation,
    volumeUrl(cluster.shim.portal, map),
  ])
  const list = table(['volume', 'size', 'generation', 'url'], rows)
  return [...head, ...list, '', ...attachLines(cluster.shim.portal, first)]
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}

function attachLines(portal: string, map: VolumeMap): string[] {
  const { host, port } = parseAddress(portal)
  const url = volumeUrl(portal, map)
  return [
    `Attach ${map.name}:`,
    `  Linux     iscsiadm -m discovery -t sendtargets -p ${portal}`,
    `            iscsiadm -m node -T ${map.iqn} -p ${portal} --login`,
    `  Windows   New-IscsiTargetPortal -TargetPortalAddress ${host} -TargetPortalPortNumber ${port}`,
    `            Connect-IscsiTarget -NodeAddress ${map.iqn}`,
    `  qemu      qemu-img info ${url}`,
    `            qemu-system-x86_64 -drive file=${url},format=raw,if=virtio`,
    `  libiscsi  iscsi-inq ${url}`,
  ]
}

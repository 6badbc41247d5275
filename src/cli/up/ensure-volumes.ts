/** The volumes that `palisade up` was asked for: those there are must be the same, the rest are made. */
import { StorageError } from '../../base/errors.ts'
import type { AdminClient } from '../../control/services.ts'
import type { VolumeMap } from '../../volume/map.ts'
import { changeDeadlineMs, queryDeadlineMs } from '../manager-connection.ts'
import { formatSize } from '../size.ts'
import type { WantedVolume } from './volume-option.ts'

/** Answers those that are missing; StorageError `conflict` where one is there but different. */
export async function missingVolumes(
  admin: AdminClient,
  wanted: readonly WantedVolume[],
): Promise<WantedVolume[]> {
  const { maps } = await admin.listVolumes({}, queryDeadlineMs)
  return wanted.filter((volume) => {
    const map = maps.find((one) => one.name === volume.name)
    if (map !== undefined) checkSame(volume, map)
    return map === undefined
  })
}

function checkSame(wanted: WantedVolume, map: VolumeMap): void {
  const sizeBytes = map.blocks * map.blockBytes
  if (sizeBytes !== wanted.sizeBytes) {
    const advice = `leave it out, or \`palisade volume grow ${map.name}\``
    throw different(map, `is ${formatSize(sizeBytes)}, not ${formatSize(wanted.sizeBytes)}`, advice)
  }
  const columns = map.segments[0]?.stripe?.count
  if (columns !== wanted.stripe) {
    const has = columns === undefined ? 'is linear' : `has ${columns} stripes`
    const asked = wanted.stripe === undefined ? 'linear' : `stripe=${wanted.stripe}`
    throw different(map, `${has}, not ${asked}`, 'a layout is never changed; leave it out')
  }
  const { mirror = 1 } = wanted
  if (mirror !== map.copies) {
    const copies = (count: number) => (count === 1 ? 'one copy' : `${count} copies`)
    const advice = 'that is never changed; say the same'
    throw different(map, `has ${copies(map.copies)}, not ${copies(mirror)}`, advice)
  }
  const unitBytes = (map.segments[0]?.stripe?.unitBlocks ?? 0) * map.blockBytes
  if (wanted.stripeUnitBytes !== undefined && wanted.stripeUnitBytes !== unitBytes) {
    const units = `${formatSize(unitBytes)}, not ${formatSize(wanted.stripeUnitBytes)}`
    throw different(map, `has stripe units of ${units}`, 'a layout is never changed; leave it out')
  }
  checkKind(wanted, map)
}

function checkKind(wanted: WantedVolume, map: VolumeMap): void {
  const kind = (one: Pick<VolumeMap, 'blockBytes' | 'removable' | 'readOnly'>): string => {
    const words = [one.removable ? ', removable' : '', one.readOnly ? ', read-only' : '']
    return `${one.blockBytes}-byte blocks${words.join('')}`
  }
  if (kind(wanted) === kind(map)) return
  const advice = 'that is never changed; say the same'
  throw different(map, `has ${kind(map)}, not ${kind(wanted)}`, advice)
}

function different(map: VolumeMap, what: string, advice: string): StorageError {
  return new StorageError('conflict', `--volume ${map.name}: the volume ${what}; ${advice}`)
}

export async function createVolumes(
  admin: AdminClient,
  missing: readonly WantedVolume[],
): Promise<void> {
  for (const { stripe = 0, ...volume } of missing) {
    const request = { ...volume, stripe, ...defaults }
    await admin.createVolume(request, changeDeadlineMs)
  }
}

const defaults = { partitions: [], stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const

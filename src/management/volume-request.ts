/** What an administrator asks for, checked field by field before anything is planned. Pure. */
import { StorageError } from '../base/errors.ts'
import {
  blockSizes,
  stripeUnitBytes as defaultUnitBytes,
  KIB,
  largestCommandBytes,
  mirror as mirrorLimits,
  pageBytes,
  smallestBlockBytes,
} from '../base/limits.ts'
import type { CreateVolumeRequest, Partition } from '../control/messages/admin.ts'
import { clientIqn, isName, namePatternText } from '../volume/names.ts'
import type { PlacementRequest } from './candidate.ts'
import { type Placed, placeByHand, placeLinear, placeStriped } from './placement.ts'

const uuidPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
/** RFC 7143 4.2.7.2: at most 223 bytes. */
const initiatorNamePattern = /^(iqn|eui|naa)\.[^\s\0]{1,219}$/
const mostColumns = 1_000
const longestHoldMs = 24 * 3_600_000
const leaseRangeMs = [500, 60_000] as const

export function place(
  { stripe, stripeUnitBytes = 0, partitions }: CreateVolumeRequest,
  request: PlacementRequest,
): Placed[] {
  if (partitions.length > 0) {
    const parts = partitions.map((each) => {
      const blocks = blocksOf(`partition ${each.server}`, each.sizeBytes, request.blockBytes)
      return { servers: serversOf(each), blocks }
    })
    return placeByHand(request, parts)
  }
  const unitBlocks = (stripeUnitBytes || defaultUnitBytes) / request.blockBytes
  return stripe > 0 ? placeStriped(request, stripe, unitBlocks) : placeLinear(request)
}

/** Checks every field; answers the size in blocks, and how many copies there are to be. */
export function checkCreate(request: CreateVolumeRequest): { blocks: number; copies: number } {
  const { name, stripe, partitions, holdMs, leaseMs } = request
  if (!isName(name)) throw invalid(`name: "${name}" is not ${namePatternText}`)
  if (stripe > mostColumns) throw invalid(`stripe: ${stripe} is not 1 to ${mostColumns}`)
  if (stripe > 0 && partitions.length > 0) throw invalid('stripe: not together with partition')
  if (holdMs > longestHoldMs) throw invalid(`hold: ${holdMs} ms is not 0 to ${longestHoldMs}`)
  const [leastMs, mostMs] = leaseRangeMs
  if (leaseMs !== 0 && (leaseMs < leastMs || leaseMs > mostMs)) {
    throw invalid(`lease: ${leaseMs} ms is not ${leastMs} to ${mostMs}`)
  }
  const blockBytes = blockBytesOf(request)
  if (!blockSizes.some((bytes) => bytes === blockBytes)) {
    throw invalid(`block size: ${blockBytes} bytes are not ${blockSizes.join(' or ')}`)
  }
  const blocks = sizeInBlocks(request.sizeBytes, partitions, blockBytes)
  checkStripe(request, blocks * blockBytes)
  return { blocks, copies: copiesOf(request) }
}

/** As asked, else as many as each partition names servers. */
function copiesOf({ mirror = 0, partitions }: CreateVolumeRequest): number {
  if (mirror > mirrorLimits.mostCopies) {
    throw invalid(`mirror: ${mirror} copies are not 1 to ${mirrorLimits.mostCopies}`)
  }
  if (mirror > 0) return mirror
  const named = new Set(partitions.map((each) => serversOf(each).length))
  if (named.size > 1) {
    throw invalid('partition: name as many servers for each, or say how many copies with mirror')
  }
  const [copies = 1] = named
  if (copies > mirrorLimits.mostCopies) {
    throw invalid(`partition: ${copies} copies are not 1 to ${mirrorLimits.mostCopies}`)
  }
  return copies
}

function serversOf({ server, others = [] }: Partition): string[] {
  return [server, ...others]
}

function checkStripe({ stripe, stripeUnitBytes = 0 }: CreateVolumeRequest, bytes: number): void {
  if (stripeUnitBytes > 0 && stripe === 0) throw invalid('stripe unit: the volume has no stripes')
  if (stripeUnitBytes % pageBytes !== 0 || stripeUnitBytes > largestCommandBytes) {
    throw invalid(`stripe unit: ${stripeUnitBytes} bytes are not a multiple of 64 KiB up to 8 MiB`)
  }
  const unitBytes = stripeUnitBytes || defaultUnitBytes
  if (stripe > 1 && Math.ceil(bytes / unitBytes) < stripe) {
    const unit = `${unitBytes / KIB} KiB`
    throw invalid(`size: ${bytes} bytes are less than ${unit} for each column`)
  }
}

export function blockBytesOf({ blockBytes = 0 }: CreateVolumeRequest): number {
  return blockBytes === 0 ? smallestBlockBytes : blockBytes
}

function sizeInBlocks(
  sizeBytes: number,
  partitions: readonly Partition[],
  blockBytes: number,
): number {
  if (partitions.length === 0) return blocksOf('size', sizeBytes, blockBytes)
  const sum = partitions
    .map((each) => blocksOf(`partition ${each.server}`, each.sizeBytes, blockBytes))
    .reduce((total, blocks) => total + blocks, 0)
  if (sizeBytes !== 0 && blocksOf('size', sizeBytes, blockBytes) !== sum) {
    throw invalid(`partition: the sizes add up to ${sum * blockBytes} bytes, not to ${sizeBytes}`)
  }
  return sum
}

export function blocksOf(field: string, bytes: number, blockBytes: number): number {
  if (bytes < blockBytes || bytes % blockBytes !== 0) {
    throw invalid(`${field}: ${bytes} bytes are not a multiple of ${blockBytes}, at least one`)
  }
  return bytes / blockBytes
}

/** A client's InitiatorName as portals know it, or only the UUID of one of our own programs. */
export function checkClient(name: string): string {
  const client = name.toLowerCase()
  if (uuidPattern.test(client)) return clientIqn(client)
  if (initiatorNamePattern.test(client)) return client
  throw invalid(`client: "${client}" is no InitiatorName (iqn., eui. or naa.) and no UUID`)
}

function invalid(message: string): StorageError {
  return new StorageError('invalid', message)
}

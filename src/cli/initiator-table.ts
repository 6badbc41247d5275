/** The sessions of initiators that a shim tells of, for people: one line each. */
import type { InitiatorStatus, ShimStatusReply } from '../control/messages/shim.ts'
import { table } from './output.ts'

export interface VolumeInitiator extends InitiatorStatus {
  readonly volume: string
}

export function initiatorsOf({ volumes }: ShimStatusReply): VolumeInitiator[] {
  return volumes.flatMap(({ name, initiators }) =>
    initiators.map((one) => ({ volume: name, ...one })),
  )
}

/** With an empty line before it; nothing where there is nobody. */
export function initiatorTable(initiators: readonly VolumeInitiator[]): string[] {
  if (initiators.length === 0) return []
  const rows = initiators.map((one) => [
    one.name,
    one.volume,
    one.profile,
    one.addresses.join(' ') || 'none now',
    digests(one),
    one.chapUser || 'none',
  ])
  const heads = ['initiator', 'volume', 'profile', 'connections from', 'digests', 'CHAP user']
  return ['', ...table(heads, rows)]
}

function digests({ headerDigest, dataDigest }: InitiatorStatus): string {
  const used = [...(headerDigest ? ['header'] : []), ...(dataDigest ? ['data'] : [])]
  return used.join('+') || 'none'
}

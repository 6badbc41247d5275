/**
 * The answer to SendTargets: for each target its name, then its portals with their group. RFC 7143
 * 13.8, Appendix C. Built by portals, parsed by initiators.
 */
import { parseNumber } from './key.ts'
import type { TextPair } from './text.ts'

export interface TargetAddress {
  /** `HOST:PORT`, IPv6 hosts in brackets. */
  readonly address: string
  readonly portalGroupTag: number
}

export interface SendTargetsRecord {
  readonly targetName: string
  readonly addresses: readonly TargetAddress[]
}

export function formatTargetAddress({ address, portalGroupTag }: TargetAddress): string {
  return `${address},${portalGroupTag}`
}

/** `HOST[:PORT][,TAG]`; the port defaults to 3260, the tag (absent in a redirect) to 1. */
export function parseTargetAddress(value: string): TargetAddress | undefined {
  const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:,[\]]+)(?::([0-9]{1,5}))?(?:,([0-9]{1,5}))?$/.exec(value)
  if (match === null) return undefined
  const [, host, port = '3260', tag = '1'] = match
  const portalGroupTag = parseNumber(tag)
  if (portalGroupTag === undefined || portalGroupTag > 65535 || Number(port) > 65535)
    return undefined
  return { address: `${host}:${port}`, portalGroupTag }
}

export function buildSendTargets(records: readonly SendTargetsRecord[]): TextPair[] {
  return records.flatMap(({ targetName, addresses }): TextPair[] => [
    ['TargetName', targetName],
    ...addresses.map((address): TextPair => ['TargetAddress', formatTargetAddress(address)]),
  ])
}

/** Undefined when the pairs are no such answer. Keys of other kinds are passed over. */
export function parseSendTargets(pairs: readonly TextPair[]): SendTargetsRecord[] | undefined {
  const records: { targetName: string; addresses: TargetAddress[] }[] = []
  for (const [key, value] of pairs) {
    if (key === 'TargetName') records.push({ targetName: value, addresses: [] })
    if (key !== 'TargetAddress') continue
    const address = parseTargetAddress(value)
    const record = records.at(-1)
    if (address === undefined || record === undefined) return undefined
    record.addresses.push(address)
  }
  return records
}

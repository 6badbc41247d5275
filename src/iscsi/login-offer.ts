/**
 * What an initiator says and offers in its login, as data. One connection a session, recovery level
 * 0 and data in order are not choices here: nothing else is implemented.
 */
import { leg } from '../base/limits.ts'
import type { ChapCredentials } from './chap-initiator.ts'
import { formatValue } from './key.ts'
import { keys } from './keys.ts'
import type { TextPair } from './text.ts'

export interface LoginOffer {
  readonly sessionType: 'Normal' | 'Discovery'
  readonly initiatorName: string
  readonly initiatorAlias?: string
  /** Required in a normal session. */
  readonly targetName?: string
  /** 6 bytes. */
  readonly isid: Buffer
  readonly cid: number
  readonly initiatorTaskTag: number
  /** The first command carries it too. */
  readonly cmdSn: number
  /** In order of preference. */
  readonly headerDigest: readonly ('CRC32C' | 'None')[]
  readonly dataDigest: readonly ('CRC32C' | 'None')[]
  readonly maxRecvDataSegmentBytes: number
  readonly maxBurstBytes: number
  readonly firstBurstBytes: number
  readonly maxOutstandingR2T: number
  readonly initialR2T: boolean
  readonly immediateData: boolean
  /** We prove ourselves with CHAP, and go on with nothing less. */
  readonly chap?: ChapCredentials
  /** Offered together: the generation header is wanted. */
  readonly generation?: { readonly version: number; readonly loginNumber: number }
}

/** The part of an offer that is the same on all legs between our own programs. Design section 3. */
export const legOffer = {
  headerDigest: ['CRC32C'],
  dataDigest: ['None'],
  maxRecvDataSegmentBytes: leg.maxRecvDataSegmentBytes,
  maxBurstBytes: leg.maxBurstBytes,
  firstBurstBytes: leg.firstBurstBytes,
  maxOutstandingR2T: 1,
  initialR2T: false,
  immediateData: true,
} as const satisfies Partial<LoginOffer>

const pair = (row: { readonly name: string }, value: number | boolean | string): TextPair => [
  row.name,
  formatValue(value),
]

function sessionPairs(offer: LoginOffer): TextPair[] {
  const pairs = [
    pair(keys.MaxConnections, 1),
    pair(keys.InitialR2T, offer.initialR2T),
    pair(keys.ImmediateData, offer.immediateData),
    pair(keys.MaxBurstLength, offer.maxBurstBytes),
    pair(keys.FirstBurstLength, offer.firstBurstBytes),
    pair(keys.MaxOutstandingR2T, offer.maxOutstandingR2T),
    pair(keys.DataPDUInOrder, true),
    pair(keys.DataSequenceInOrder, true),
  ]
  if (offer.generation !== undefined) {
    pairs.push(pair(keys.Generation, offer.generation.version))
    pairs.push(pair(keys.Login, offer.generation.loginNumber))
  }
  return pairs
}

/** Who we are and where to; they come first, in whatever stage the login begins. */
export function namingPairs(offer: LoginOffer): readonly TextPair[] {
  const pairs = [pair(keys.InitiatorName, offer.initiatorName)]
  if (offer.initiatorAlias !== undefined)
    pairs.push(pair(keys.InitiatorAlias, offer.initiatorAlias))
  pairs.push(pair(keys.SessionType, offer.sessionType))
  if (offer.targetName !== undefined) pairs.push(pair(keys.TargetName, offer.targetName))
  return pairs
}

/** What the operational stage is to settle, in order. */
export function operationalPairs(offer: LoginOffer): readonly TextPair[] {
  const pairs = [
    pair(keys.HeaderDigest, offer.headerDigest.join(',')),
    pair(keys.DataDigest, offer.dataDigest.join(',')),
    pair(keys.MaxRecvDataSegmentLength, offer.maxRecvDataSegmentBytes),
    pair(keys.DefaultTime2Wait, 0),
    pair(keys.DefaultTime2Retain, 0),
    pair(keys.ErrorRecoveryLevel, 0),
  ]
  return offer.sessionType === 'Normal' ? [...pairs, ...sessionPairs(offer)] : pairs
}

/** All that is said without being asked. */
export function offeredPairs(offer: LoginOffer): readonly TextPair[] {
  return [...namingPairs(offer), ...operationalPairs(offer)]
}

/**
 * CHAP, target role, as a pure step: (state, the initiator's CHAP keys) -> ours, or no. RFC 7143
 * 12.1.3, 9.2.1; RFC 1994. The initiator proves itself first; we prove ourselves where it asks. All
 * that is wrong ends in one status (0201h), and the reason goes to our log only.
 */
import { chap as limits } from '../base/limits.ts'
import type { ChapHashes } from '../ports/chap-hashes.ts'
import {
  type ChapAlgorithm,
  type ChapChallenge,
  type ChapChallenges,
  type ChapIdentity,
  chapAlgorithms,
  chapResponse,
  formatBinary,
  parseBinary,
  parseIdentifier,
} from './chap.ts'
import type { TextPair } from './text.ts'

export interface ChapUser extends ChapIdentity {
  /** Good for this InitiatorName only. */
  readonly initiator?: string
}

/** Who may log in, and who we are. */
export interface ChapPolicy {
  readonly hashes: ChapHashes
  readonly challenges: ChapChallenges
  readonly users: readonly ChapUser[]
  /** Absent: an initiator that asks for our proof is refused. */
  readonly mutual?: ChapIdentity
  /** Discovery sessions prove themselves as well. */
  readonly discovery: boolean
}

export type ChapTargetState =
  /** CHAP is not, or not yet, agreed on. */
  | { readonly kind: 'idle' }
  | { readonly kind: 'agreed' }
  | {
      readonly kind: 'challenged'
      readonly algorithm: ChapAlgorithm
      readonly sent: ChapChallenge
    }
  | { readonly kind: 'proven'; readonly user: string }

export type ChapTargetStep =
  | { readonly kind: 'went'; readonly state: ChapTargetState; readonly pairs: readonly TextPair[] }
  | { readonly kind: 'failed'; readonly why: string }

const failed = (why: string): ChapTargetStep => ({ kind: 'failed', why })

/** What the initiator says, and who it says it is. */
export interface ChapSaid {
  readonly keys: ReadonlyMap<string, string>
  readonly initiatorName: string
}

export function advanceChapTarget(
  policy: ChapPolicy,
  state: ChapTargetState,
  said: ChapSaid,
): ChapTargetStep {
  if (said.keys.size === 0) return { kind: 'went', state, pairs: [] }
  switch (state.kind) {
    case 'idle':
      return failed('CHAP keys before CHAP was agreed on')
    case 'agreed':
      return challenge(policy, said.keys)
    case 'challenged':
      return judge(policy, state, said)
    case 'proven':
      return failed('CHAP keys after the proof')
  }
}

function challenge(policy: ChapPolicy, keys: ReadonlyMap<string, string>): ChapTargetStep {
  const offer = keys.get('CHAP_A')
  if (offer === undefined || keys.size > 1) return failed('CHAP_A alone has to come first')
  const codes = offer.split(',')
  const algorithm = chapAlgorithms.find(({ code }) => codes.includes(String(code)))
  if (algorithm === undefined) return failed('no CHAP algorithm in common')
  const sent = policy.challenges.draw(algorithm.digestBytes)
  return {
    kind: 'went',
    state: { kind: 'challenged', algorithm, sent },
    pairs: [
      ['CHAP_A', String(algorithm.code)],
      ['CHAP_I', String(sent.identifier)],
      ['CHAP_C', formatBinary(sent.challenge)],
    ],
  }
}

type Challenged = ChapTargetState & { readonly kind: 'challenged' }

function judge(policy: ChapPolicy, state: Challenged, said: ChapSaid): ChapTargetStep {
  const { keys } = said
  const name = keys.get('CHAP_N')
  const response = keys.get('CHAP_R')
  if (name === undefined || response === undefined) return failed('CHAP_N or CHAP_R is missing')
  if (keys.has('CHAP_A')) return failed('CHAP_A a second time')
  const user = proven(policy, state, { name, response })
  if (user === undefined) return failed('an unknown name or a wrong response')
  const { initiator } = user
  if (initiator !== undefined && initiator.toLowerCase() !== said.initiatorName.toLowerCase()) {
    return failed(`user ${JSON.stringify(user.name)} is good for another InitiatorName only`)
  }
  const done: ChapTargetState = { kind: 'proven', user: user.name }
  if (!keys.has('CHAP_I') && !keys.has('CHAP_C')) return { kind: 'went', state: done, pairs: [] }
  const own = proveOurselves(policy, state, { user, keys })
  return typeof own === 'string' ? failed(own) : { kind: 'went', state: done, pairs: own }
}

/** The name is text, whatever it looks like: `0x41` is no number. */
function proven(
  { hashes, users }: ChapPolicy,
  { algorithm, sent }: Challenged,
  claim: { readonly name: string; readonly response: string },
): ChapUser | undefined {
  const { digestBytes } = algorithm
  const response = parseBinary(claim.response, { least: digestBytes, most: digestBytes })
  const user = users.find(({ name }) => name === claim.name)
  // An unknown name takes as long as a wrong secret.
  const expected = chapResponse(hashes, algorithm, user?.secret ?? sent.challenge, sent)
  const equal = hashes.equal(expected, response ?? Buffer.alloc(0))
  return equal ? user : undefined
}

/** Our answer to the initiator's own challenge, or why it gets none. */
function proveOurselves(
  { hashes, challenges, mutual }: ChapPolicy,
  { algorithm }: Challenged,
  { user, keys }: { readonly user: ChapUser; readonly keys: ReadonlyMap<string, string> },
): readonly TextPair[] | string {
  if (mutual === undefined) return 'the initiator asks for our proof, and we have no secret for it'
  const identifier = parseIdentifier(keys.get('CHAP_I') ?? '')
  const range = { least: 1, most: limits.challengeBytesMax }
  const challenge = parseBinary(keys.get('CHAP_C') ?? '', range)
  if (identifier === undefined || challenge === undefined) return 'no valid CHAP_I and CHAP_C'
  if (challenges.isOwn(challenge)) return 'our own challenge came back'
  // RFC 7143 9.2.1: with one secret both ways, each side could have its proof from the other.
  if (hashes.equal(user.secret, mutual.secret)) return 'one secret in both directions'
  const response = chapResponse(hashes, algorithm, mutual.secret, { identifier, challenge })
  return [
    ['CHAP_N', mutual.name],
    ['CHAP_R', formatBinary(response)],
  ]
}

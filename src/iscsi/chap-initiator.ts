/**
 * CHAP, initiator role, as a pure step: (state, the target's keys) -> ours, or a fault. RFC 7143
 * 12.1.3, 9.2.1; RFC 1994. Whoever has a secret here never goes on without it: a target that wants
 * no proof, or gives none where it has to, is left.
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

export interface ChapCredentials {
  readonly hashes: ChapHashes
  readonly challenges: ChapChallenges
  readonly user: ChapIdentity
  /** The target has to prove itself with this. */
  readonly mutual?: ChapIdentity
  /** What we offer, for targets that say they know more than they do; absent: all there are. */
  readonly algorithms?: readonly ChapAlgorithm[]
}

export type ChapInitiatorState =
  | { readonly kind: 'offered' }
  | { readonly kind: 'listed' }
  /** Our proof is sent; `sent` is our own challenge, with mutual CHAP. */
  | {
      readonly kind: 'answered'
      readonly algorithm: ChapAlgorithm
      readonly sent: ChapChallenge | undefined
    }
  | { readonly kind: 'done' }

export type ChapInitiatorStep =
  | {
      readonly kind: 'went'
      readonly state: ChapInitiatorState
      readonly pairs: readonly TextPair[]
    }
  | { readonly kind: 'fault'; readonly why: string }

type Keys = ReadonlyMap<string, string>

const fault = (why: string): ChapInitiatorStep => ({ kind: 'fault', why })

/** `said` are AuthMethod and the CHAP keys of one response of the target. */
export function advanceChapInitiator(
  credentials: ChapCredentials,
  state: ChapInitiatorState,
  said: Keys,
): ChapInitiatorStep {
  if (said.size === 0) return { kind: 'went', state, pairs: [] }
  switch (state.kind) {
    case 'offered':
      return said.size === 1 && said.get('AuthMethod') === 'CHAP'
        ? { kind: 'went', state: { kind: 'listed' }, pairs: [['CHAP_A', codes(credentials)]] }
        : fault('the target does not authenticate with CHAP')
    case 'listed':
      return answer(credentials, said)
    case 'answered':
      return judge(credentials, state, said)
    case 'done':
      return fault('CHAP keys after the proof')
  }
}

const offered = ({ algorithms }: ChapCredentials) => algorithms ?? chapAlgorithms
const codes = (credentials: ChapCredentials) =>
  offered(credentials)
    .map(({ code }) => code)
    .join(',')

function answer(credentials: ChapCredentials, said: Keys): ChapInitiatorStep {
  const { hashes, challenges, user, mutual } = credentials
  const algorithm = offered(credentials).find(({ code }) => String(code) === said.get('CHAP_A'))
  const identifier = parseIdentifier(said.get('CHAP_I') ?? '')
  const range = { least: 1, most: limits.challengeBytesMax }
  const challenge = parseBinary(said.get('CHAP_C') ?? '', range)
  if (algorithm === undefined || identifier === undefined || challenge === undefined) {
    return fault('no valid CHAP_A, CHAP_I and CHAP_C')
  }
  if (challenges.isOwn(challenge)) return fault('our own challenge came back')
  const response = chapResponse(hashes, algorithm, user.secret, { identifier, challenge })
  const sent = mutual === undefined ? undefined : challenges.draw(algorithm.digestBytes)
  const pairs: TextPair[] = [
    ['CHAP_N', user.name],
    ['CHAP_R', formatBinary(response)],
  ]
  if (sent !== undefined) {
    pairs.push(['CHAP_I', String(sent.identifier)], ['CHAP_C', formatBinary(sent.challenge)])
  }
  return { kind: 'went', state: { kind: 'answered', algorithm, sent }, pairs }
}

type Answered = ChapInitiatorState & { readonly kind: 'answered' }

function judge(
  { hashes, mutual }: ChapCredentials,
  { algorithm, sent }: Answered,
  said: Keys,
): ChapInitiatorStep {
  if (sent === undefined || mutual === undefined) return fault('a proof that was not asked for')
  const { digestBytes } = algorithm
  const response = parseBinary(said.get('CHAP_R') ?? '', { least: digestBytes, most: digestBytes })
  const expected = chapResponse(hashes, algorithm, mutual.secret, sent)
  const equal = hashes.equal(expected, response ?? Buffer.alloc(0))
  return equal && said.get('CHAP_N') === mutual.name
    ? { kind: 'went', state: { kind: 'done' }, pairs: [] }
    : fault('the target could not prove itself')
}

/** Nothing is left to be proven by either side. */
export function chapIsOver(state: ChapInitiatorState): boolean {
  return state.kind === 'done' || (state.kind === 'answered' && state.sent === undefined)
}

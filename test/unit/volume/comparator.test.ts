/**
 * The comparator over every combination of what a server and a request can be, against a second
 * statement of the rule: all reasons that hold, of which the first by precedence is the answer.
 */
import t from 'tap'
import { Status } from '../../../src/scsi/result.ts'
import {
  answerRefused,
  compare,
  type FencedRequest,
  type FenceView,
  isCompared,
} from '../../../src/volume/comparator.ts'
import type { Fence } from '../../../src/volume/generation-header.ts'
import { Reason } from '../../../src/volume/refusal.ts'

const client = 'iqn.2026-11.io.palisade:client:a'
const primary = 'iqn.2026-11.io.palisade:client:p'
const own = 7

interface Case {
  readonly version: number
  readonly fence: Fence
  readonly initiator: string
  readonly fenced: boolean
  readonly state: FenceView['state']
  readonly primaryHere: boolean
}

const generations = [0n, 6n, 7n, 8n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]
const flagSets = [0, 1, 2, 3, 4, 5, 6, 7]

function* fences(): Generator<Fence> {
  yield { kind: 'absent' }
  yield { kind: 'malformed' }
  for (const generation of generations) {
    for (const flags of flagSets) yield { kind: 'header', flags, generation }
  }
}

function* cases(): Generator<Case> {
  for (const version of [0, 1])
    for (const fence of fences())
      for (const initiator of [client, primary])
        for (const fenced of [false, true])
          for (const state of ['open', 'closed', 'unconfirmed'] as const)
            for (const primaryHere of [false, true])
              yield { version, fence, initiator, fenced, state, primaryHere }
}

function viewOf(at: Case, stalePolicy: FenceView['stalePolicy'] = 'reject'): FenceView {
  return {
    generation: own,
    wideGeneration: BigInt(own),
    state: at.state,
    primary: at.primaryHere,
    primaryInitiator: primary,
    fencedClients: new Set(at.fenced ? [at.initiator, 'somebody else'] : ['somebody else']),
    stalePolicy,
  }
}

function requestOf(at: Case): FencedRequest {
  return { initiatorName: at.initiator, generationVersion: at.version, fence: at.fence }
}

/** Every reason that holds for a request, in no order. */
function reasonsThatHold(at: Case): Reason[] {
  const { fence } = at
  if (fence.kind !== 'header' || at.version === 0) return [Reason.HEADER, ...withoutHeader(at)]
  const reasons = withoutHeader(at)
  if (fence.generation < BigInt(own)) reasons.push(Reason.SENDER_OLDER)
  if (fence.generation > BigInt(own)) reasons.push(Reason.SENDER_NEWER)
  const fromServer = fence.flags % 4 !== 0
  if (fromServer && (at.primaryHere || at.initiator !== primary)) reasons.push(Reason.NOT_PRIMARY)
  if (!fromServer && !at.primaryHere) reasons.push(Reason.NOT_PRIMARY)
  return reasons
}

function withoutHeader(at: Case): Reason[] {
  const reasons: Reason[] = []
  if (at.fenced) reasons.push(Reason.NOT_ADMITTED)
  if (at.state !== 'open') reasons.push(Reason.CLOSED)
  return reasons
}

t.test('every combination answers the first reason by precedence 05 07 01 02 03 04', async (t) => {
  const precedence = [5, 7, 1, 2, 3, 4]
  const seen = new Map<Reason | undefined, number>()
  for (const at of cases()) {
    const hold = reasonsThatHold(at)
    const expected = precedence.find((reason) => hold.some((one) => one === reason))
    const found = compare(viewOf(at), requestOf(at))
    if (found !== expected)
      t.fail(`${String(found)} instead of ${String(expected)}`, { fence: String(at.fence) })
    seen.set(found, (seen.get(found) ?? 0) + 1)
  }
  const all = [undefined, ...precedence]
  t.strictSame(
    all.filter((reason) => !seen.has(reason as Reason | undefined)),
    [],
    'each reason was the answer of some combination',
  )
})

t.test('what reaches the store at all', async (t) => {
  const passed: string[] = []
  for (const at of cases()) {
    if (compare(viewOf(at), requestOf(at)) !== undefined) continue
    if (at.fence.kind !== 'header') throw new Error('passed without a header')
    t.equal(at.fence.generation, 7n)
    t.equal(at.state, 'open')
    passed.push(
      `${at.primaryHere ? 'at' : 'not at'} the primary, from ${at.initiator === primary ? 'it' : 'a client'}, flags ${at.fence.flags}`,
    )
  }
  t.strictSame(
    new Set(passed),
    new Set([
      'at the primary, from a client, flags 0',
      'at the primary, from a client, flags 4',
      'at the primary, from it, flags 0',
      'at the primary, from it, flags 4',
      ...[1, 2, 3, 5, 6, 7].map((flags) => `not at the primary, from it, flags ${flags}`),
    ]),
  )
})

t.test('2^64 - 1 is newer, whatever the server has', async (t) => {
  const fence: Fence = { kind: 'header', flags: 0, generation: 2n ** 64n - 1n }
  const request = { initiatorName: client, generationVersion: 1, fence }
  for (const generation of [0, 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const at: Case = {
      version: 1,
      fence,
      initiator: client,
      fenced: false,
      state: 'open',
      primaryHere: true,
    }
    const view = { ...viewOf(at), generation, wideGeneration: BigInt(generation) }
    t.equal(compare(view, request), Reason.SENDER_NEWER)
  }
})

t.test('policy ignore silences 01 and 02 and nothing else', async (t) => {
  const [at] = cases()
  if (at === undefined) throw new Error('no case')
  for (const reason of Object.values(Reason)) {
    const rejecting = answerRefused(viewOf(at, 'reject'), reason)
    t.not(rejecting, 'drop')
    const ignoring = answerRefused(viewOf(at, 'ignore'), reason)
    t.equal(ignoring === 'drop', reason === 1 || reason === 2, `reason ${reason}`)
  }
})

t.test("a refusal is aborted command, 80h, the reason, and the server's generation", async (t) => {
  const [at] = cases()
  if (at === undefined) throw new Error('no case')
  const answer = answerRefused(viewOf(at), Reason.CLOSED)
  if (answer === 'drop' || answer.status !== Status.CHECK_CONDITION) throw new Error('not refused')
  t.match(answer.sense, { key: 0x0b, asc: 0x80, ascq: 0x03 })
  t.equal(answer.sense.descriptors?.toString('hex'), '800a03000000000000000007')
})

t.test('all 256 operation codes: what is compared', async (t) => {
  const free = new Set([0x00, 0x03, 0x12, 0x1a, 0x4d, 0x5a, 0xa0])
  for (let code = 0; code < 256; code++) {
    if (code === 0xa3) continue
    t.equal(isCompared(Buffer.from([code, 0, 0, 0, 0, 0])), !free.has(code), `opcode ${code}`)
  }
  for (let action = 0; action < 256; action++) {
    const expected = ![0x0a, 0x0c, 0x0d].includes(action % 32)
    t.equal(isCompared(Buffer.from([0xa3, action])), expected, `A3h service action ${action}`)
  }
  t.ok(isCompared(Buffer.alloc(0)), 'what cannot be read is compared')
})

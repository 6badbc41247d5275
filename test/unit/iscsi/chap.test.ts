/**
 * CHAP in both roles: every algorithm and encoding, what is refused, and what other targets were
 * once taken over with. RFC 7143 9.2.1, 12.1.3; RFC 1994. Digests come from node:crypto, not from
 * our port.
 */
import { createHash } from 'node:crypto'
import t from 'tap'
import { nodeChapHashes } from '../../../src/adapters/node-chap-hashes.ts'
import { chap as limits, textLimits } from '../../../src/base/limits.ts'
import {
  ChapChallenges,
  chapAlgorithms,
  formatBinary,
  parseBinary,
  parseIdentifier,
} from '../../../src/iscsi/chap.ts'
import type { ChapCredentials } from '../../../src/iscsi/chap-initiator.ts'
import type { ChapPolicy } from '../../../src/iscsi/chap-target.ts'
import {
  advanceInitiatorLogin,
  beginInitiatorLogin,
  type InitiatorLoginStep,
} from '../../../src/iscsi/login-initiator.ts'
import { type LoginOffer, legOffer } from '../../../src/iscsi/login-offer.ts'
import { type LoginPolicy, plainLoginPolicy } from '../../../src/iscsi/login-policy.ts'
import type { LoginReply, LoginState, LoginStep } from '../../../src/iscsi/login-state.ts'
import { advanceLogin, beginLogin } from '../../../src/iscsi/login-target.ts'
import { type LoginRequest, loginRequest } from '../../../src/iscsi/pdu/login-request.ts'
import { loginResponse } from '../../../src/iscsi/pdu/login-response.ts'
import { hex, text } from '../../support/bytes.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const secret = 'a secret of theirs'
const ownSecret = 'a secret of ours'
const names = ['InitiatorName=iqn.2026-11.test:i', 'TargetName=iqn.2026-11.test:t']
const security = { currentStage: 0, nextStage: 1 }

function chapPolicy(more: Partial<ChapPolicy> = {}): LoginPolicy {
  const chap: ChapPolicy = {
    hashes: nodeChapHashes,
    challenges: new ChapChallenges(seededRandom(7)),
    users: [
      { name: 'user', secret: Buffer.from(secret) },
      { name: '0x41', secret: Buffer.from(`${secret}, hex`) },
      { name: '0bQUJD', secret: Buffer.from(`${secret}, base64`) },
      { name: 'bound', secret: Buffer.from(secret), initiator: 'iqn.2026-11.test:other' },
      { name: 'same', secret: Buffer.from(ownSecret) },
    ],
    mutual: { name: 'array', secret: Buffer.from(ownSecret) },
    discovery: true,
    ...more,
  }
  return { ...plainLoginPolicy, chap }
}

const first: LoginRequest = {
  transit: false,
  continues: false,
  currentStage: 0,
  nextStage: 0,
  versionMax: 0,
  versionMin: 0,
  isid: hex('00023d000001'),
  tsih: 0,
  initiatorTaskTag: 1,
  cid: 1,
  cmdSn: 1,
  expStatSn: 5,
}

/** An initiator that says what a test wants it to say. */
class Dialogue {
  step: LoginStep | undefined
  #state: LoginState

  constructor(policy: LoginPolicy) {
    this.#state = beginLogin(policy)
  }

  say(fields: Partial<LoginRequest>, ...pairs: string[]): Map<string, string> {
    const request = { ...first, ...fields }
    this.step = advanceLogin(this.#state, { request, data: [text(...pairs)] })
    if (this.step.kind === 'respond') this.#state = this.step.state
    return said(this.step.kind === 'decide' ? this.step.accept(1) : this.step.reply)
  }

  /** As far as the challenge, with this list of algorithms. */
  challenged(algorithms: string): Map<string, string> {
    this.say({}, ...names, 'SessionType=Normal', 'AuthMethod=CHAP,None')
    return this.say({}, `CHAP_A=${algorithms}`)
  }
}

const said = (reply: LoginReply): Map<string, string> =>
  new Map(
    reply.data
      .toString()
      .split('\0')
      .filter((pair) => pair !== '')
      .map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]),
  )

function digest(hash: string, identifier: number, key: string, challenge: Buffer): Buffer {
  return createHash(hash)
    .update(Buffer.from([identifier]))
    .update(key)
    .update(challenge)
    .digest()
}

const challengeOf = (keys: Map<string, string>) => ({
  identifier: Number(keys.get('CHAP_I')),
  challenge: Buffer.from(keys.get('CHAP_C')!.slice(2), 'hex'),
})

/** The right response of `user` to what the target asked. */
function respond(keys: Map<string, string>, hash = 'md5', key = secret): Buffer {
  const { identifier, challenge } = challengeOf(keys)
  return digest(hash, identifier, key, challenge)
}

const byCode = [
  ['8', 'sha3-256', 32],
  ['7', 'sha256', 32],
  ['6', 'sha1', 20],
  ['5', 'md5', 16],
] as const

t.test('each algorithm, one way and mutual', async (t) => {
  for (const [code, hash, bytes] of byCode) {
    const dialogue = new Dialogue(chapPolicy())
    const asked = dialogue.challenged(`99,${code}`)
    t.equal(asked.get('CHAP_A'), code)
    t.equal(challengeOf(asked).challenge.length, bytes, 'as long as the digest')
    const mine = Buffer.from('a challenge of the initiator')
    const proof = dialogue.say(
      { transit: true, ...security },
      'CHAP_N=user',
      `CHAP_R=0x${respond(asked, hash).toString('hex')}`,
      'CHAP_I=255',
      `CHAP_C=0b${mine.toString('base64')}`,
    )
    t.equal(proof.get('CHAP_N'), 'array')
    t.equal(proof.get('CHAP_R'), `0x${digest(hash, 255, ownSecret, mine).toString('hex')}`)
    dialogue.say({ transit: true, currentStage: 1, nextStage: 3 })
    t.match(dialogue.step, { kind: 'decide', facts: { chapUser: 'user' } })
  }
  const all = new Dialogue(chapPolicy()).challenged('5,6,7,8')
  t.equal(all.get('CHAP_A'), '8', 'the strongest that both know')
})

t.test('encodings of the response, and names that look like numbers', async (t) => {
  const policy = chapPolicy()
  const forms: [name: string, key: string, form: (response: Buffer) => string][] = [
    ['user', secret, (response) => `0x${response.toString('hex')}`],
    ['user', secret, (response) => `0X${response.toString('hex').toUpperCase()}`],
    ['user', secret, (response) => `0b${response.toString('base64')}`],
    ['user', secret, (response) => `0B${response.toString('base64')}`],
    ['0x41', `${secret}, hex`, (response) => `0x${response.toString('hex')}`],
    ['0bQUJD', `${secret}, base64`, (response) => `0x${response.toString('hex')}`],
  ]
  for (const [name, key, form] of forms) {
    const dialogue = new Dialogue(policy)
    const response = form(respond(dialogue.challenged('5'), 'md5', key))
    const last = { transit: true, currentStage: 0, nextStage: 3 }
    t.same(dialogue.say(last, `CHAP_N=${name}`, `CHAP_R=${response}`), new Map())
    t.match(dialogue.step, { kind: 'decide', facts: { chapUser: name } }, response.slice(0, 2))
  }
})

t.test('what is not a proof is an authentication failure', async (t) => {
  const policy = chapPolicy()
  const cases: [name: string, pairs: (asked: Map<string, string>) => string[]][] = [
    [
      'a wrong secret',
      (asked) => [`CHAP_N=user`, `CHAP_R=0x${respond(asked, 'md5', 'x').toString('hex')}`],
    ],
    ['an unknown name', (asked) => ['CHAP_N=nobody', `CHAP_R=${formatBinary(respond(asked))}`]],
    [
      'a name in other letters',
      (asked) => ['CHAP_N=User', `CHAP_R=${formatBinary(respond(asked))}`],
    ],
    [
      "another initiator's user",
      (asked) => ['CHAP_N=bound', `CHAP_R=${formatBinary(respond(asked))}`],
    ],
    ['no name', (asked) => [`CHAP_R=${formatBinary(respond(asked))}`]],
    ['no response', () => ['CHAP_N=user']],
    ['an empty response', () => ['CHAP_N=user', 'CHAP_R=']],
    ['a prefix only', () => ['CHAP_N=user', 'CHAP_R=0x']],
    ['no prefix', (asked) => ['CHAP_N=user', `CHAP_R=${respond(asked).toString('hex')}`]],
    [
      'one byte less',
      (asked) => ['CHAP_N=user', `CHAP_R=${formatBinary(respond(asked).subarray(1))}`],
    ],
    ['one byte more', (asked) => ['CHAP_N=user', `CHAP_R=${formatBinary(respond(asked))}00`]],
    [
      'half a byte',
      (asked) => ['CHAP_N=user', `CHAP_R=${formatBinary(respond(asked)).slice(0, -1)}`],
    ],
    ['no digits', () => ['CHAP_N=user', `CHAP_R=0x${'zz'.repeat(16)}`]],
    ['the algorithm again', () => ['CHAP_A=5']],
    [
      'CVE-2018-14633: a long response in hex',
      () => ['CHAP_N=user', `CHAP_R=0x${'41'.repeat(200)}`],
    ],
    [
      'CVE-2026-63886: 95 bytes in base64',
      () => ['CHAP_N=user', `CHAP_R=0b${Buffer.alloc(95, 65).toString('base64')}`],
    ],
    [
      'LIO bc704fb5: an identifier above 255',
      (asked) => [
        'CHAP_N=user',
        `CHAP_R=${formatBinary(respond(asked))}`,
        'CHAP_I=256',
        'CHAP_C=0x0102',
      ],
    ],
    [
      'LIO 2014: our own challenge',
      (asked) => [
        'CHAP_N=user',
        `CHAP_R=${formatBinary(respond(asked))}`,
        'CHAP_I=1',
        `CHAP_C=${asked.get('CHAP_C')}`,
      ],
    ],
    [
      'a challenge of 1,025 bytes',
      (asked) => [
        'CHAP_N=user',
        `CHAP_R=${formatBinary(respond(asked))}`,
        'CHAP_I=1',
        `CHAP_C=0x${'00'.repeat(1025)}`,
      ],
    ],
    [
      'a challenge without an identifier',
      (asked) => ['CHAP_N=user', `CHAP_R=${formatBinary(respond(asked))}`, 'CHAP_C=0x0102'],
    ],
    [
      'one secret in both directions',
      (asked) => [
        'CHAP_N=same',
        `CHAP_R=${formatBinary(respond(asked, 'md5', ownSecret))}`,
        'CHAP_I=1',
        'CHAP_C=0x0102',
      ],
    ],
  ]
  for (const [name, pairs] of cases) {
    const dialogue = new Dialogue(policy)
    dialogue.say({ transit: true, ...security }, ...pairs(dialogue.challenged('5')))
    t.match(dialogue.step, { kind: 'refuse', status: 0x0201 }, name)
    t.equal(
      dialogue.step?.kind === 'refuse' && dialogue.step.reply.data.length,
      0,
      'nothing is told',
    )
    const why = dialogue.step?.kind === 'refuse' ? dialogue.step.why : ''
    t.notOk(why.includes(secret) || why.includes(ownSecret), 'no secret in the log')
  }
})

t.test('a challenge of another connection does not come back either', async (t) => {
  const policy = chapPolicy()
  const other = new Dialogue(policy).challenged('5')
  const dialogue = new Dialogue(policy)
  const proof = formatBinary(respond(dialogue.challenged('5')))
  const mine = ['CHAP_I=1', `CHAP_C=0b${challengeOf(other).challenge.toString('base64')}`]
  dialogue.say({ transit: true, ...security }, 'CHAP_N=user', `CHAP_R=${proof}`, ...mine)
  t.match(dialogue.step, { kind: 'refuse', status: 0x0201, why: /came back/ })
})

t.test('tgt PR 67: an answer is good for one challenge', async (t) => {
  const policy = chapPolicy()
  const dialogue = new Dialogue(policy)
  const proof = formatBinary(respond(dialogue.challenged('5')))
  const drawn = new Set<string>()
  for (let i = 0; i < 100; i++) {
    const replay = new Dialogue(policy)
    drawn.add(replay.challenged('5').get('CHAP_C')!)
    replay.say({ transit: true, ...security }, 'CHAP_N=user', `CHAP_R=${proof}`)
    t.match(replay.step, { kind: 'refuse', status: 0x0201 })
  }
  t.equal(drawn.size, 100)
  const challenges = new ChapChallenges(seededRandom(3))
  const oldest = challenges.draw(16).challenge
  for (let i = 0; i < limits.rememberedChallenges; i++) challenges.draw(16)
  t.equal(challenges.isOwn(oldest), false, 'memory has an end')
})

t.test('nothing less than CHAP, in no order but its own', async (t) => {
  const policy = chapPolicy()
  const refused: [name: string, ...requests: [Partial<LoginRequest>, ...string[]][]][] = [
    ['None only', [{ transit: true, ...security }, ...names, 'AuthMethod=None']],
    ['no AuthMethod', [{ transit: true, ...security }, ...names]],
    ['straight to full feature', [{ transit: true, ...security, nextStage: 3 }, ...names]],
    ['no security stage', [{ transit: true, currentStage: 1, nextStage: 3 }, ...names]],
    ['the answer first', [{}, ...names, 'CHAP_N=user', 'CHAP_R=0x00']],
    ['the answer at once', [{}, ...names, 'AuthMethod=CHAP'], [{}, 'CHAP_N=user', 'CHAP_R=0x00']],
    ['no known algorithm', [{}, ...names, 'AuthMethod=CHAP'], [{}, 'CHAP_A=0,1,99']],
    ['an empty list', [{}, ...names, 'AuthMethod=CHAP'], [{}, 'CHAP_A=']],
    [
      'discovery',
      [{ transit: true, currentStage: 1, nextStage: 3 }, names[0]!, 'SessionType=Discovery'],
    ],
    ['a second connection', [{ transit: true, currentStage: 1, nextStage: 3, tsih: 4 }, ...names]],
  ]
  for (const [name, ...requests] of refused) {
    const dialogue = new Dialogue(policy)
    for (const request of requests) dialogue.say(...request)
    t.match(dialogue.step, { kind: 'refuse', status: 0x0201 }, name)
  }
  const eager = new Dialogue(policy)
  eager.say({ transit: true, ...security }, ...names, 'AuthMethod=CHAP')
  t.equal(
    eager.step?.kind === 'respond' && loginResponse.decode(eager.step.reply.header).transit,
    false,
  )
  eager.say({ transit: true, ...security })
  t.equal(eager.step?.kind, 'respond', 'it stays, and waits')
  const again = new Dialogue(policy)
  const proof = `CHAP_R=${formatBinary(respond(again.challenged('5')))}`
  again.say({}, 'CHAP_N=user', proof)
  again.say({}, 'CHAP_N=user', proof)
  t.match(again.step, { kind: 'refuse', status: 0x0201 }, 'a proof after the proof')
})

t.test('one way where mutual could be had; mutual where it cannot', async (t) => {
  const dialogue = new Dialogue(chapPolicy())
  const asked = dialogue.challenged('7')
  const proof = [`CHAP_N=user`, `CHAP_R=${formatBinary(respond(asked, 'sha256'))}`]
  dialogue.say({ transit: true, ...security, nextStage: 3 }, ...proof)
  t.match(dialogue.step, { kind: 'decide' }, 'Windows asks for one way')
  const { mutual, ...oneWay } = chapPolicy().chap!
  t.ok(mutual)
  const poor = new Dialogue({ ...plainLoginPolicy, chap: oneWay })
  const again = [`CHAP_N=user`, `CHAP_R=${formatBinary(respond(poor.challenged('5')))}`]
  poor.say({ transit: true, ...security }, ...again, 'CHAP_I=1', 'CHAP_C=0x0102')
  t.match(poor.step, { kind: 'refuse', status: 0x0201, why: /no secret for it/ })
  const open = chapPolicy({ discovery: false })
  const finder = new Dialogue(open)
  finder.say(
    { transit: true, ...security, nextStage: 3 },
    names[0]!,
    'SessionType=Discovery',
    'AuthMethod=None',
  )
  t.match(finder.step, { kind: 'decide' }, 'discovery may be open')
})

t.test('binary values and identifiers', async (t) => {
  const any = { least: 1, most: 1024 }
  t.same(parseBinary('0x00fF', any), hex('00ff'))
  t.same(parseBinary('0bAP8=', any), hex('00ff'))
  for (const bad of [
    '',
    '0',
    '0x',
    '0b',
    '0x0',
    '12',
    '0x 1',
    '0bA',
    '0bAP8',
    '0bA===',
    '0b=AAA',
    '0y00',
  ]) {
    t.equal(parseBinary(bad, any), undefined, bad)
  }
  t.equal(parseBinary(`0x${'0'.repeat(textLimits.longValueBytes)}`, any), undefined)
  for (const [text, value] of [
    ['0', 0],
    ['255', 255],
    ['0xff', 255],
    ['0XA', 10],
  ] as const) {
    t.equal(parseIdentifier(text), value)
  }
  for (const bad of ['', '-1', '256', '0x100', '1.5', '0b01', '00'])
    t.equal(parseIdentifier(bad), undefined)
})

const credentials = (more: Partial<ChapCredentials> = {}): ChapCredentials => ({
  hashes: nodeChapHashes,
  challenges: new ChapChallenges(seededRandom(11)),
  user: { name: 'user', secret: Buffer.from(secret) },
  ...more,
})

function offer(chap: ChapCredentials): LoginOffer {
  return {
    ...legOffer,
    headerDigest: ['CRC32C', 'None'],
    sessionType: 'Normal',
    initiatorName: 'iqn.2026-11.test:i',
    targetName: 'iqn.2026-11.test:t',
    isid: hex('00023d000009'),
    cid: 0,
    initiatorTaskTag: 0x55,
    cmdSn: 1,
    chap,
  }
}

/** Our initiator against our target, whose replies a test may change. */
function duel(
  policy: LoginPolicy,
  chap: ChapCredentials,
  change: (reply: LoginReply) => LoginReply = (reply) => reply,
): InitiatorLoginStep {
  let target = beginLogin(policy)
  let step: InitiatorLoginStep = beginInitiatorLogin(offer(chap))
  for (let i = 0; i < 50 && step.kind === 'request'; i++) {
    const request = loginRequest.decode(step.request.header)
    const answer = advanceLogin(target, { request, data: [step.request.data] })
    const reply = change(answer.kind === 'decide' ? answer.accept(0x31) : answer.reply)
    if (answer.kind === 'respond') target = answer.state
    const response = loginResponse.decode(reply.header)
    step = advanceInitiatorLogin(step.state, { response, data: [reply.data] })
  }
  return step
}

t.test('our two roles agree', async (t) => {
  const established = { kind: 'established', session: { parameters: { headerDigest: true } } }
  t.match(duel(chapPolicy(), credentials()), established)
  const mutual = { name: 'array', secret: Buffer.from(ownSecret) }
  t.match(duel(chapPolicy(), credentials({ mutual })), established)
  t.match(duel(chapPolicy(), credentials({ mutual: { ...mutual, name: 'else' } })), {
    kind: 'fault',
  })
  t.match(
    duel(
      chapPolicy(),
      credentials({ mutual: { ...mutual, secret: Buffer.from('no such secret') } }),
    ),
    { kind: 'fault', why: /prove itself/ },
  )
  const wrong = { name: 'user', secret: Buffer.from('no such secret') }
  t.match(duel(chapPolicy(), credentials({ user: wrong })), { kind: 'refused', status: 0x0201 })
  t.match(duel(plainLoginPolicy, credentials()), { kind: 'refused', status: 0x0201 })
  t.equal(chapAlgorithms[0]?.hash, 'sha3-256')
})

t.test('a hostile target gets no session without its proof', async (t) => {
  const mutual = { name: 'array', secret: Buffer.from(ownSecret) }
  const replace =
    (from: RegExp, to: string) =>
    (reply: LoginReply): LoginReply => ({
      ...reply,
      data: Buffer.from(reply.data.toString().replace(from, to)),
    })
  const cases: [name: string, change: (reply: LoginReply) => LoginReply][] = [
    ['a downgrade to None', replace(/AuthMethod=CHAP/, 'AuthMethod=None')],
    ['an algorithm of nobody', replace(/CHAP_A=8/, 'CHAP_A=0')],
    ['an identifier above 255', replace(/CHAP_I=[0-9]+/, 'CHAP_I=256')],
    ['a challenge of 2,000 bytes', replace(/CHAP_C=0x[0-9a-f]+/, `CHAP_C=0x${'00'.repeat(2000)}`)],
    ['no challenge', replace(/CHAP_C=0x[0-9a-f]+\0/, '')],
    ['a short proof', replace(/CHAP_R=0x[0-9a-f]{2}/, 'CHAP_R=0x')],
    ['a changed proof', replace(/CHAP_R=0x[0-9a-f]{4}/, 'CHAP_R=0x0000')],
    ['no proof', replace(/CHAP_N=array\0CHAP_R=0x[0-9a-f]+\0/, '')],
  ]
  for (const [name, change] of cases) {
    t.match(duel(chapPolicy(), credentials({ mutual }), change), { kind: 'fault' }, name)
  }
  const unasked = replace(/CHAP_I=/, 'CHAP_N=array\0CHAP_R=0x00\0CHAP_I=')
  t.match(
    duel(chapPolicy(), credentials(), unasked),
    { kind: 'established' },
    'what is not asked for is not looked at',
  )
  const challenges = new ChapChallenges(seededRandom(11))
  const mine = formatBinary(challenges.draw(32).challenge)
  const reflected = duel(
    chapPolicy(),
    credentials({ challenges }),
    replace(/CHAP_C=0x[0-9a-f]+/, `CHAP_C=${mine}`),
  )
  t.match(reflected, { kind: 'fault', why: /came back/ })
})

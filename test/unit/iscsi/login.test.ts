/**
 * The login phase: what a target refuses and answers, what an initiator accepts, and both against
 * each other. RFC 7143 6.3, 11.12, 11.13.
 */
import t from 'tap'
import { loginRounds, textLimits } from '../../../src/base/limits.ts'
import { initiatorProfile } from '../../../src/iscsi/initiator-profile.ts'
import {
  advanceInitiatorLogin,
  beginInitiatorLogin,
  type InitiatorLoginState,
  type InitiatorLoginStep,
} from '../../../src/iscsi/login-initiator.ts'
import { type LoginOffer, legOffer } from '../../../src/iscsi/login-offer.ts'
import {
  fencedLoginPolicy,
  type LoginPolicy,
  plainLoginPolicy,
} from '../../../src/iscsi/login-policy.ts'
import type { LoginReply, LoginState, LoginStep } from '../../../src/iscsi/login-state.ts'
import { advanceLogin, beginLogin } from '../../../src/iscsi/login-target.ts'
import { type LoginRequest, loginRequest } from '../../../src/iscsi/pdu/login-request.ts'
import { type LoginResponse, loginResponse } from '../../../src/iscsi/pdu/login-response.ts'
import { describeLoginStatus } from '../../../src/iscsi/pdu/login-status.ts'
import { sessionNames } from '../../../src/iscsi/session-parameters.ts'
import { hex, text } from '../../support/bytes.ts'

const first: LoginRequest = {
  transit: true,
  continues: false,
  currentStage: 1,
  nextStage: 3,
  versionMax: 0,
  versionMin: 0,
  isid: hex('00023d000001'),
  tsih: 0,
  initiatorTaskTag: 0x10,
  cid: 1,
  cmdSn: 0xffffffff,
  expStatSn: 5,
}
const names = ['InitiatorName=iqn.2026-11.test:i', 'TargetName=iqn.2026-11.test:t']
const stay = { transit: false, nextStage: 0 }
const security = { currentStage: 0, nextStage: 1 }

type Exchange = [fields: Partial<LoginRequest>, ...pairs: string[]]

/** Runs requests one after the other; the outcome is the last step. */
function play(policy: LoginPolicy, ...exchanges: Exchange[]): LoginStep {
  let state: LoginState = beginLogin(policy)
  let step: LoginStep | undefined
  for (const [fields, ...pairs] of exchanges) {
    step = advanceLogin(state, { request: { ...first, ...fields }, data: [text(...pairs)] })
    if (step.kind !== 'respond') break
    state = step.state
  }
  if (step === undefined) throw new Error('no exchange')
  return step
}

function decided(step: LoginStep): LoginStep & { kind: 'decide' } {
  if (step.kind !== 'decide') throw new Error(`not decided: ${JSON.stringify(step)}`)
  return step
}

const fieldsOf = (reply: LoginReply) => loginResponse.decode(reply.header)
const textOf = (reply: LoginReply) => reply.data.toString('utf8')

t.test('a login in one round', async (t) => {
  const step = decided(
    play(plainLoginPolicy, [
      {},
      ...names,
      'InitiatorAlias=host',
      'HeaderDigest=CRC32C,None',
      'MaxRecvDataSegmentLength=16384',
      'FirstBurstLength=262144',
      'MaxBurstLength=32768',
      'InitialR2T=No',
      'X-com.example.foo=1',
    ]),
  )
  t.match(step.facts, { expCmdSn: 0xffffffff, statSn: 6 })
  t.match(step.facts.keyOrder, ['InitiatorName', 'TargetName', 'InitiatorAlias', 'HeaderDigest'])
  t.notOk(step.facts.keyOrder.includes('X-com.example.foo'), 'no key of a stranger is kept')
  t.strictSame(step.facts.parameters, {
    isid: first.isid,
    cid: 1,
    sessionType: 'Normal',
    initiatorName: 'iqn.2026-11.test:i',
    initiatorAlias: 'host',
    targetName: 'iqn.2026-11.test:t',
    headerDigest: true,
    dataDigest: false,
    initiatorMaxRecvDataSegmentBytes: 16384,
    targetMaxRecvDataSegmentBytes: plainLoginPolicy.maxRecvDataSegmentBytes,
    maxBurstBytes: 32768,
    firstBurstBytes: 32768,
    initialR2T: false,
    immediateData: true,
    maxOutstandingR2T: 1,
    maxConnections: 1,
    defaultTime2Wait: 2,
    defaultTime2Retain: 20,
    errorRecoveryLevel: 0,
    generationVersion: 0,
  })
  t.equal(sessionNames(step.facts.parameters).initiatorPort, 'iqn.2026-11.test:i,i,0x00023d000001')
  const reply = step.accept(0x77)
  t.strictSame(fieldsOf(reply), {
    transit: true,
    continues: false,
    currentStage: 1,
    nextStage: 3,
    versionMax: 0,
    versionActive: 0,
    isid: first.isid,
    tsih: 0x77,
    initiatorTaskTag: 0x10,
    statSn: 5,
    expCmdSn: 0xffffffff,
    maxCmdSn: 126,
    statusClass: 0,
    statusDetail: 0,
  })
  t.equal(
    textOf(reply),
    [
      'TargetPortalGroupTag=1',
      'MaxRecvDataSegmentLength=262144',
      'HeaderDigest=CRC32C',
      'FirstBurstLength=65536',
      'MaxBurstLength=32768',
      'InitialR2T=No',
      'X-com.example.foo=NotUnderstood',
      '',
    ].join('\0'),
  )
  const moved = step.refuse(0x0101, [['TargetAddress', '10.0.0.1:3260']])
  t.match(fieldsOf(moved), { transit: false, statusClass: 1, statusDetail: 1, tsih: 0 })
  t.equal(textOf(moved), 'TargetAddress=10.0.0.1:3260\0')
})

t.test('through the security stage, as libiscsi and Linux do', async (t) => {
  const opening: Exchange = [security, ...names, 'SessionType=Normal', 'AuthMethod=None']
  const answer = play({ ...plainLoginPolicy, targetAlias: 'disk' }, opening)
  if (answer.kind !== 'respond') throw new Error('no response')
  t.match(fieldsOf(answer.reply), {
    transit: true,
    currentStage: 0,
    nextStage: 1,
    tsih: 0,
    statSn: 5,
  })
  t.equal(textOf(answer.reply), 'TargetPortalGroupTag=1\0TargetAlias=disk\0AuthMethod=None\0')
  const step = decided(play(plainLoginPolicy, opening, [{}, 'ImmediateData=No']))
  t.equal(step.facts.statSn, 7)
  t.equal(textOf(step.accept(1)), 'MaxRecvDataSegmentLength=262144\0ImmediateData=No\0')
  t.equal(fieldsOf(step.accept(1)).statSn, 6)
  decided(play(plainLoginPolicy, [security, ...names, 'AuthMethod=CHAP,None'], [{}, ...names]))
  const straight = decided(play(plainLoginPolicy, [{ currentStage: 0, nextStage: 3 }, ...names]))
  t.equal(
    straight.facts.parameters.targetMaxRecvDataSegmentBytes,
    8192,
    'not declared: the default',
  )
})

t.test('the initiator may stay in a stage', async (t) => {
  const step = decided(
    play(plainLoginPolicy, [stay, ...names], [stay, 'MaxBurstLength=4096'], [{}, 'InitialR2T=No']),
  )
  t.match(step.facts.parameters, { maxBurstBytes: 4096, initialR2T: false })
  t.equal(textOf(step.accept(1)), 'InitialR2T=No\0', 'a declaration is made once')
})

t.test('a connection for a session that exists', async (t) => {
  const keys = ['SessionType=Normal', 'DataDigest=CRC32C', 'MaxBurstLength=512']
  const step = decided(play(plainLoginPolicy, [{ tsih: 9, cid: 4 }, ...names, ...keys]))
  t.strictSame(step.facts.join, { tsih: 9, cid: 4 })
  t.equal(step.facts.parameters.dataDigest, true, 'what has the scope of a connection counts')
  t.match(textOf(step.accept(9)), /DataDigest=CRC32C\0MaxBurstLength=Irrelevant\0/)
  t.match(fieldsOf(step.refuse(0x020a)), { statusClass: 2, statusDetail: 10 })
})

t.test('a discovery session', async (t) => {
  const step = decided(
    play(plainLoginPolicy, [
      {},
      names[0]!,
      'SessionType=Discovery',
      'MaxBurstLength=512',
      'HeaderDigest=None',
    ]),
  )
  t.match(step.facts.parameters, { sessionType: 'Discovery', maxBurstBytes: 262144 })
  t.equal(step.facts.parameters.targetName, undefined)
  t.equal(
    textOf(step.accept(1)),
    'MaxRecvDataSegmentLength=262144\0MaxBurstLength=Irrelevant\0HeaderDigest=None\0',
  )
})

t.test('the generation keys', async (t) => {
  const keys = ['X-io.palisade.Generation=3', 'X-io.palisade.Login=1700000000000']
  const fenced = decided(
    play(fencedLoginPolicy, [{}, ...names, 'HeaderDigest=None,CRC32C', ...keys]),
  )
  t.match(fenced.facts.parameters, {
    generationVersion: 1,
    loginNumber: 1700000000000,
    headerDigest: true,
  })
  t.match(textOf(fenced.accept(1)), /X-io.palisade.Generation=1\0/)
  const plain = decided(play(plainLoginPolicy, [{}, ...names, ...keys]))
  t.equal(plain.facts.parameters.generationVersion, 0)
  t.match(textOf(plain.accept(1)), /X-io.palisade.Generation=0\0/)
  t.match(play(fencedLoginPolicy, [{}, ...names, keys[0]!]), { kind: 'refuse', status: 0x0200 })
})

t.test('what is refused, with its status', async (t) => {
  const refused: [name: string, status: number, ...exchanges: Exchange[]][] = [
    ['version', 0x0205, [{ versionMin: 1, versionMax: 2 }, ...names]],
    ['no initiator name', 0x0207, [{}, names[1]!]],
    ['no target name', 0x0207, [{}, names[0]!]],
    ['empty initiator name', 0x0200, [{}, 'InitiatorName=', names[1]!]],
    ['blank in a name', 0x0200, [{}, 'InitiatorName=iqn a', names[1]!]],
    ['line break in a name', 0x0200, [{}, 'InitiatorName=iqn\n', names[1]!]],
    ['name of 224 bytes', 0x0200, [{}, `InitiatorName=${'i'.repeat(224)}`, names[1]!]],
    ['session type', 0x0200, [{}, ...names, 'SessionType=Both']],
    ['TSIH changes', 0x0200, [{ ...stay, tsih: 9 }, ...names], [{ tsih: 8 }]],
    ['CHAP only', 0x0201, [security, ...names, 'AuthMethod=CHAP']],
    ['AuthMethod in the wrong stage', 0x0200, [{}, ...names, 'AuthMethod=None']],
    ['operational key in the security stage', 0x0200, [security, ...names, 'InitialR2T=No']],
    ['SendTargets', 0x0200, [{}, ...names, 'SendTargets=All']],
    ["a target's key", 0x0200, [{}, ...names, 'TargetAlias=x']],
    ['stage 2', 0x0200, [{ currentStage: 2 }, ...names]],
    ['stage 3', 0x0200, [{ currentStage: 3 }, ...names]],
    ['next stage 2', 0x0200, [{ nextStage: 2 }, ...names]],
    ['backwards', 0x0200, [{ nextStage: 0 }, ...names]],
    ['same stage', 0x0200, [{ nextStage: 1 }, ...names]],
    ['T and C', 0x0200, [{ continues: true }, ...names]],
    ['stage jump', 0x0200, [{ ...stay, currentStage: 0 }, ...names], [{}]],
    ['stage back', 0x0200, [security, ...names], [{ ...security }]],
    ['ISID changes', 0x0200, [stay, ...names], [{ isid: hex('00023d000002') }]],
    ['CID changes', 0x0200, [stay, ...names], [{ cid: 2 }]],
    ['task tag changes', 0x0200, [stay, ...names], [{ initiatorTaskTag: 2 }]],
    ['a key twice', 0x0200, [{}, ...names, 'InitialR2T=No', 'InitialR2T=No']],
    ['a key again', 0x0200, [stay, ...names, 'InitialR2T=No'], [{}, 'InitialR2T=No']],
    ['another name', 0x0200, [stay, ...names], [{}, `${names[1]!}x`]],
    ['2,048 keys', 0x0200, [{}, ...names, ...Array.from({ length: 2048 }, (_, i) => `k${i}=`)]],
    ['no =', 0x0200, [{}, ...names, 'Foo']],
  ]
  for (const [name, status, ...exchanges] of refused) {
    const step = play(plainLoginPolicy, ...exchanges)
    t.match(step, { kind: 'refuse', status }, name)
    if (step.kind !== 'refuse') continue
    t.match(fieldsOf(step.reply), { statusClass: status >> 8, statusDetail: status & 0xff }, name)
    t.match(fieldsOf(step.reply), {
      transit: false,
      initiatorTaskTag: exchanges.at(-1)?.[0].initiatorTaskTag ?? 0x10,
    })
  }
  t.equal(describeLoginStatus(0x0203), 'not found (0203h)')
  t.equal(describeLoginStatus(0x0999), 'unknown status (0999h)')
})

t.test('CVE-2013-2850: a key longer than any may be', async (t) => {
  t.match(play(plainLoginPolicy, [{}, ...names, `${'k'.repeat(64)}=1`]), { status: 0x0200 })
  const longest = `${'k'.repeat(63)}=1`
  const step = decided(play(plainLoginPolicy, [{}, ...names, longest]))
  t.match(textOf(step.accept(1)), `${'k'.repeat(63)}=NotUnderstood\0`)
})

t.test('CVE-2026-63887: 2,048 tiny keys do not grow into a long answer', async (t) => {
  const tiny = Array.from({ length: 2048 }, (_, i) => `${String.fromCharCode(97 + (i % 26))}${i}=`)
  const step = play(plainLoginPolicy, [{}, ...names, ...tiny])
  if (step.kind !== 'refuse') throw new Error('taken')
  t.equal(step.reply.data.length, 0)
})

t.test('CVE-2026-90011: a payload that fills the segment to its last byte', async (t) => {
  for (const length of [8188, 8189, 8190, 8191, 8192]) {
    const alias = 'a'.repeat(200)
    const filler = `X-com.example.fill=${'f'.repeat(7000)}`
    const fixed = text(...names, `InitiatorAlias=${alias}`, filler, 'X-com.example.rest=')
    const rest = `X-com.example.rest=${'r'.repeat(length - fixed.length)}`
    const data = text(...names, `InitiatorAlias=${alias}`, filler, rest)
    t.equal(data.length, length)
    const whole = advanceLogin(beginLogin(plainLoginPolicy), { request: first, data: [data] })
    t.equal(whole.kind, 'decide', `${length} bytes`)
    const bare = { request: first, data: [data.subarray(0, -1)] }
    const step = advanceLogin(beginLogin(plainLoginPolicy), bare)
    t.match(step, { kind: 'refuse', status: 0x0200, why: /NUL/ }, 'without its end')
  }
})

t.test('LIO 2011: marker intervals are refused, whatever they say', async (t) => {
  const keys = ['IFMarker=Yes', 'OFMarker=Yes', `IFMarkInt=${'9'.repeat(250)}`, 'OFMarkInt=1~65535']
  const step = decided(play(plainLoginPolicy, [{}, ...names, ...keys]))
  const refused = 'IFMarker=No\0OFMarker=No\0IFMarkInt=Reject\0OFMarkInt=Reject\0'
  t.match(textOf(step.accept(1)), refused)
})

t.test('a target that is served elsewhere', async (t) => {
  const [, name] = names
  const to = { targetName: name!.slice('TargetName='.length), address: '10.0.0.9:3260' }
  for (const permanently of [false, true]) {
    const policy = { ...plainLoginPolicy, redirects: [{ ...to, permanently }] }
    const step = play(policy, [security, ...names, 'AuthMethod=CHAP,None'])
    t.match(step, { kind: 'refuse', status: permanently ? 0x0102 : 0x0101 })
    t.equal(step.kind === 'refuse' && textOf(step.reply), 'TargetAddress=10.0.0.9:3260\0')
    decided(play(policy, [{}, names[0]!, `TargetName=${to.targetName}x`]))
    decided(play(policy, [{}, ...names, 'SessionType=Discovery']))
  }
})

t.test('which initiator it is', async (t) => {
  const named = (name: string) => initiatorProfile(name, [])
  t.equal(named('iqn.1991-05.com.microsoft:host'), 'windows')
  t.equal(named('IQN.1998-01.COM.VMWARE:host'), 'esxi')
  t.equal(named('iqn.2008-11.org.linux-kvm:vm'), 'qemu')
  t.equal(named('iqn.1993-08.org.debian:01:1'), 'unknown')
  const order = (...keys: string[]) => initiatorProfile('iqn.2026-11.test:i', keys)
  t.equal(order('InitiatorName', 'IFMarker', 'OFMarker', 'ErrorRecoveryLevel'), 'open-iscsi')
  t.equal(order('InitialR2T', 'DefaultTime2Wait', 'ErrorRecoveryLevel', 'IFMarker'), 'libiscsi')
  t.equal(order('InitiatorName', 'X-io.palisade.Generation'), 'palisade')
  t.equal(order(), 'unknown')
})

t.test('rounds and continuation end', async (t) => {
  const rounds = Array.from({ length: loginRounds + 1 }, (): Exchange => [stay])
  t.match(play(plainLoginPolicy, [stay, ...names], ...rounds), { status: 0x0200, why: /rounds/ })
  let state = beginLogin(plainLoginPolicy)
  const more = { ...first, ...stay, continues: true }
  for (let i = 1; ; i++) {
    const step = advanceLogin(state, { request: more, data: [Buffer.from('A')] })
    if (step.kind === 'respond') {
      t.equal(step.reply.data.length, 0)
      state = step.state
      continue
    }
    t.match(step, { kind: 'refuse', why: /pieces/ })
    t.equal(i, textLimits.pieces)
    break
  }
  t.match(advanceLogin(beginLogin(plainLoginPolicy), { request: more, data: [] }), { why: /empty/ })
})

t.test('text in pieces, both ways', async (t) => {
  const unknown = Array.from(
    { length: 120 },
    (_, i) => `k${String(i).padStart(3, '0')}${'k'.repeat(58)}=1`,
  )
  const whole = text(...names, ...unknown)
  let state = beginLogin(plainLoginPolicy)
  const received: string[] = []
  const requests: { request: LoginRequest; data: Buffer[] }[] = []
  for (let at = 0; at < whole.length; at += 3000) {
    const last = at + 3000 >= whole.length
    const request = last ? first : { ...first, ...stay, continues: true }
    requests.push({ request, data: [whole.subarray(at, at + 3000)] })
  }
  for (let i = 0; i < 10; i++) {
    const step = advanceLogin(state, requests[i] ?? { request: first, data: [] })
    if (step.kind === 'decide') {
      received.push(textOf(step.accept(1)))
      t.equal(step.facts.statSn, 5 + i + 1)
      break
    }
    if (step.kind === 'refuse') throw new Error(step.why)
    const fields = fieldsOf(step.reply)
    t.equal(fields.transit, false)
    t.equal(fields.continues, i >= requests.length - 1, `response ${i}`)
    t.equal(fields.statSn, 5 + i)
    received.push(textOf(step.reply))
    state = step.state
  }
  t.ok(received.filter((piece) => piece !== '').length > 1, 'more than one piece')
  for (const piece of received) t.ok(Buffer.byteLength(piece) <= 8192)
  const answers = received.join('').split('\0')
  t.equal(answers.filter((answer) => answer.endsWith('=NotUnderstood')).length, unknown.length)
  const interrupted = advanceLogin(
    { ...state, kind: 'telling', queue: [Buffer.alloc(1)] } as LoginState,
    { request: first, data: [text('InitialR2T=No')] },
  )
  t.match(interrupted, { kind: 'refuse', why: /own text/ })
})

const offer: LoginOffer = {
  ...legOffer,
  sessionType: 'Normal',
  initiatorName: 'iqn.2026-11.test:i',
  targetName: 'iqn.2026-11.test:t',
  isid: hex('00023d000009'),
  cid: 3,
  initiatorTaskTag: 0x55,
  cmdSn: 0x1000,
  generation: { version: 1, loginNumber: 42 },
}

/** Both machines against each other, until one of them ends. */
function duel(policy: LoginPolicy, initiator: LoginOffer): InitiatorLoginStep {
  let target = beginLogin(policy)
  let step: InitiatorLoginStep = beginInitiatorLogin(initiator)
  for (let i = 0; i < 50 && step.kind === 'request'; i++) {
    const request = loginRequest.decode(step.request.header)
    const answer = advanceLogin(target, { request, data: [step.request.data] })
    const reply = answer.kind === 'decide' ? answer.accept(0x31) : answer.reply
    if (answer.kind === 'respond') target = answer.state
    step = advanceInitiatorLogin(step.state, { response: fieldsOf(reply), data: [reply.data] })
  }
  return step
}

t.test('our two roles agree', async (t) => {
  const leg = duel(fencedLoginPolicy, offer)
  t.match(leg, {
    kind: 'established',
    session: {
      tsih: 0x31,
      targetPortalGroupTag: 1,
      cmdSn: 0x1000,
      expCmdSn: 0x1000,
      maxCmdSn: 0x1000 + 127,
      expStatSn: 1,
      parameters: {
        headerDigest: true,
        dataDigest: false,
        generationVersion: 1,
        loginNumber: 42,
        initialR2T: false,
        immediateData: true,
        firstBurstBytes: 65536,
        maxBurstBytes: 8388608,
        targetMaxRecvDataSegmentBytes: 262144,
      },
    },
  })
  const { generation, ...without } = offer
  t.ok(generation)
  t.match(duel(fencedLoginPolicy, { ...without, headerDigest: ['None'] }), {
    session: { parameters: { headerDigest: false, generationVersion: 0 } },
  })
  t.match(duel(plainLoginPolicy, offer), { session: { parameters: { generationVersion: 0 } } })
  const { targetName, ...nobody } = without
  t.ok(targetName)
  t.match(duel(plainLoginPolicy, { ...nobody, sessionType: 'Discovery' }), {
    session: { parameters: { sessionType: 'Discovery' } },
  })
  t.match(duel(plainLoginPolicy, nobody), { kind: 'refused', status: 0x0207 })
  t.match(
    duel({ ...plainLoginPolicy, headerDigest: { values: ['None'], order: 'theirs' } }, offer),
    {
      kind: 'fault',
      why: /HeaderDigest/,
    },
  )
  const longAlias = { ...plainLoginPolicy, targetAlias: 'ä'.repeat(5000) }
  t.match(duel(longAlias, offer), { kind: 'fault' }, 'a value beyond the limit, over two PDUs')
})

t.test('a hostile target ends the login and nothing else', async (t) => {
  const begun = beginInitiatorLogin(offer)
  const good: LoginResponse = {
    transit: true,
    continues: false,
    currentStage: 1,
    nextStage: 3,
    versionMax: 0,
    versionActive: 0,
    isid: offer.isid,
    tsih: 1,
    initiatorTaskTag: 0x55,
    statSn: 7,
    expCmdSn: 0x1000,
    maxCmdSn: 0x1010,
    statusClass: 0,
    statusDetail: 0,
  }
  const answers = [
    'HeaderDigest=CRC32C',
    'DataDigest=None',
    'MaxRecvDataSegmentLength=65536',
    'DefaultTime2Wait=0',
    'DefaultTime2Retain=0',
    'ErrorRecoveryLevel=0',
    'MaxConnections=1',
    'InitialR2T=No',
    'ImmediateData=Yes',
    'MaxBurstLength=65536',
    'FirstBurstLength=65536',
    'MaxOutstandingR2T=1',
    'DataPDUInOrder=Yes',
    'DataSequenceInOrder=Yes',
  ]
  const take = (
    fields: Partial<LoginResponse>,
    pairs: string[],
    state: InitiatorLoginState = begun.state,
  ) => advanceInitiatorLogin(state, { response: { ...good, ...fields }, data: [text(...pairs)] })
  t.match(take({}, answers), {
    kind: 'established',
    session: {
      parameters: { generationVersion: 0, targetMaxRecvDataSegmentBytes: 65536 },
      expStatSn: 8,
    },
  })
  const changed = (pair: string) =>
    answers.map((answer) => (answer.split('=')[0] === pair.split('=')[0] ? pair : answer))
  const faults: [name: string, fields: Partial<LoginResponse>, pairs: string[]][] = [
    ['task tag', { initiatorTaskTag: 1 }, answers],
    ['ISID', { isid: hex('00023d000001') }, answers],
    ['version', { versionActive: 1 }, answers],
    ['stage', { currentStage: 0 }, answers],
    ['next stage', { nextStage: 2 }, answers],
    ['T and C', { continues: true }, answers],
    ['no TSIH', { tsih: 0 }, answers],
    ['no answers', {}, []],
    ['too large', {}, changed('MaxBurstLength=8388609')],
    ['digest that was not offered', {}, changed('HeaderDigest=None')],
    ['recovery level', {}, changed('ErrorRecoveryLevel=1')],
    ['segment length', {}, changed('MaxRecvDataSegmentLength=1')],
    ['a generation beyond ours', {}, [...answers, 'X-io.palisade.Generation=2']],
    ['a key twice', {}, [...answers, answers[0]!]],
    ['no text', {}, ['x'.repeat(10)]],
    ['too many keys', {}, Array.from({ length: 2048 }, (_, i) => `k${i}=`)],
    ['endless', { transit: false, continues: true }, []],
  ]
  for (const [name, fields, pairs] of faults) {
    t.match(take(fields, pairs), { kind: 'fault' }, name)
  }
  t.match(take({ statusClass: 1, statusDetail: 1, transit: false }, ['TargetAddress=a:1']), {
    kind: 'refused',
    status: 0x0101,
    keys: new Map([['TargetAddress', 'a:1']]),
  })
  t.match(take({ statusClass: 2, statusDetail: 3, transit: false, isid: offer.isid }, []), {
    status: 0x0203,
  })
  // It may hesitate, ask in its own name, and repeat nothing; but not for ever.
  let state = begun.state
  const asked = take({ transit: false, nextStage: 0 }, [
    'MaxConnections=1',
    'X-com.example.a=1',
    'TaskReporting=RFC3720',
  ])
  if (asked.kind !== 'request') throw new Error('no request')
  t.equal(asked.request.data.toString(), 'X-com.example.a=NotUnderstood\0TaskReporting=RFC3720\0')
  t.match(loginRequest.decode(asked.request.header), { transit: true, expStatSn: 8, cmdSn: 0x1000 })
  t.match(take({ statSn: 8 }, ['MaxConnections=1'], asked.state), { kind: 'fault', why: /twice/ })
  t.match(take({ statSn: 9 }, [], asked.state), { kind: 'fault', why: /StatSN/ })
  for (let i = 0; ; i++) {
    const step = take({ transit: false, nextStage: 0, statSn: 7 + i }, [], state)
    if (step.kind === 'request') {
      state = step.state
      continue
    }
    t.match(step, { kind: 'fault', why: /rounds/ })
    t.equal(i, loginRounds - 1)
    break
  }
})

/** Logins: discovery, refusals, limits, and session reinstatement (RFC 7143 6.3.5). */
import t from 'tap'
import { portal as limits } from '../../../src/base/limits.ts'
import { nopOut } from '../../../src/iscsi/pdu/nop-out.ts'
import { Opcode, RESERVED_TAG } from '../../../src/iscsi/pdu/opcode.ts'
import { textRequest } from '../../../src/iscsi/pdu/text-request.ts'
import { textResponse } from '../../../src/iscsi/pdu/text-response.ts'
import { encodeText } from '../../../src/iscsi/text.ts'
import { portalsSeen } from '../../../src/portal/portal-address.ts'
import type { LoginDecision } from '../../../src/portal/portal-host.ts'
import { rigTarget, until } from '../../support/portal-rig.ts'
import { RawInitiator, read10, write10 } from '../../support/raw-initiator.ts'
import { rigFor } from './rig-for.ts'

const isid = Buffer.from('400001370001', 'hex')
const otherIsid = Buffer.from('400001370002', 'hex')

async function sendTargets(initiator: RawInitiator, value: string): Promise<string> {
  let text = ''
  let targetTransferTag: number = RESERVED_TAG
  for (let rounds = 0; rounds < 1000; rounds++) {
    const first = targetTransferTag === RESERVED_TAG
    const header = textRequest.build({
      final: true,
      continues: false,
      lun: Buffer.alloc(8),
      initiatorTaskTag: 0x99,
      targetTransferTag,
      cmdSn: initiator.cmdSn++,
      expStatSn: initiator.expStatSn,
    })
    initiator.send(header, first ? { data: [encodeText([['SendTargets', value]])] } : {})
    const frame = await initiator.next(Opcode.TEXT_RESPONSE)
    const response = textResponse.decode(frame.header)
    text += Buffer.concat(frame.data).toString()
    if (response.final) return text.replaceAll('\0', '\n')
    targetTransferTag = response.targetTransferTag
  }
  throw new Error('the text never ends')
}

t.test('discovery', async (t) => {
  const rig = await rigFor(t, { moreTargets: 40 })
  const initiator = await rig.connect()
  t.equal((await initiator.login({ keys: { MaxRecvDataSegmentLength: '512' } })).status, 0)
  const all = await sendTargets(initiator, 'All')
  t.equal(all.match(/TargetName=/g)?.length, 41, 'over as many responses as it takes')
  t.match(all, `TargetName=${rigTarget}\nTargetAddress=${rig.address},1\n`)
  t.match(all, 'TargetAddress=[::1]:3260,1\n')
  t.equal(
    await sendTargets(initiator, `${rigTarget}:7`),
    `TargetName=${rigTarget}:7\nTargetAddress=${rig.address},1\n`,
  )
  t.equal(await sendTargets(initiator, 'iqn.2026-11.example:none'), '', 'nothing for a stranger')
  initiator.command({ cdb: read10(0, 1), readBytes: 512 })
  const rejected = await initiator.next(Opcode.REJECT)
  t.equal(rejected.header[2], 0x05, 'no SCSI commands in a discovery session')
})

t.test('SendTargets in a normal session', async (t) => {
  const rig = await rigFor(t, { moreTargets: 3 })
  const initiator = await rig.login()
  t.match(await sendTargets(initiator, ''), `TargetName=${rigTarget}\n`)
  t.notMatch(await sendTargets(initiator, ''), `${rigTarget}:0`)
  t.equal(await sendTargets(initiator, 'All'), 'SendTargets=Reject\n')
})

t.test('refusals', async (t) => {
  const rig = await rigFor(t)
  const stranger = await rig.connect()
  const { status } = await stranger.login({ targetName: 'iqn.2026-11.example:other' })
  t.equal(status, 0x0203)
  await stranger.closed
  const late = await rig.connect()
  t.equal((await late.login({ targetName: rigTarget, tsih: 77 })).status, 0x020a)
  const early = await rig.connect()
  const header = nopOut.build({
    lun: Buffer.alloc(8),
    initiatorTaskTag: 1,
    targetTransferTag: RESERVED_TAG,
    cmdSn: 1,
    expStatSn: 0,
  })
  early.send(header)
  await early.closed
  t.equal(early.received.length, 0, 'a PDU before the login gets no answer')
})

t.test('logins that never end', async (t) => {
  const rig = await rigFor(t)
  const idle = await Promise.all(Array.from({ length: limits.halfOpenLogins }, () => rig.connect()))
  const oneMore = await rig.connect()
  await idle[0]!.closed
  t.equal((await oneMore.login({ targetName: rigTarget })).status, 0, 'there is room for one more')
  t.equal(idle.filter((each) => each.ended).length, 1, 'in the place of the one idle for longest')
  await rig.clock.advance(limits.loginDeadlineMs)
  await Promise.all(idle.map((each) => each.closed))
  t.equal((await (await rig.connect()).login({ targetName: rigTarget })).status, 0)
})

t.test('reinstatement waits for what had begun', async (t) => {
  const rig = await rigFor(t)
  const former = await rig.login({ isid })
  rig.unit.shut()
  const data = Buffer.alloc(512, 0xaa)
  former.command({ cdb: write10(3, 1), data, immediateBytes: 512 })
  former.command({ cdb: write10(4, 1), data })
  await until(() => rig.unit.held.length === 1, 'the first write has begun')

  const next = await rig.connect()
  next.sendLogin({ targetName: rigTarget, isid })
  await former.closed
  t.equal(rig.unit.held[0]?.aborted, true, 'the task knows that nobody waits for it')
  await rig.clock.advance(1000)
  t.equal(next.received.length, 0, 'not answered while the former task may touch the store')
  rig.unit.open()
  const response = await next.next(Opcode.LOGIN_RESPONSE)
  t.equal(response.header.readUInt16BE(36), 0)
  t.same(rig.unit.calls, ['write 3+1'], 'what had no data yet was discarded')
  t.equal(rig.portal.sessions.length, 1)
})

t.test('two portal groups', async (t) => {
  const rig = await rigFor(t)
  const place = { portalGroupTag: 7, advertised: '192.0.2.1:860' }
  const second = await rig.portal.listen('127.0.0.1:0', place)
  const one = await rig.login({ isid })
  const other = await RawInitiator.connect(rig.network, second)
  t.teardown(() => other.close())
  const { status, keys } = await other.login({ targetName: rigTarget, isid })
  t.equal(status, 0)
  t.equal(keys.get('TargetPortalGroupTag'), '7')
  t.equal(rig.portal.sessions.length, 2, 'a session belongs to one group: none is reinstated')
  t.equal(one.ended, false)
})

t.test('where portals are found', async (t) => {
  const local = { listening: '0.0.0.0:3260', portalGroupTag: 1 }
  const behind = { listening: '[::]:3261', advertised: '192.0.2.1:860', portalGroupTag: 2 }
  const fixed = { listening: '198.51.100.7:3262', portalGroupTag: 1 }
  t.same(portalsSeen([fixed, behind, local], local, '10.0.0.5:3260'), [
    { address: '10.0.0.5:3260', portalGroupTag: 1 },
    { address: '198.51.100.7:3262', portalGroupTag: 1 },
    { address: '192.0.2.1:860', portalGroupTag: 2 },
  ])
  t.same(portalsSeen([local], fixed, '[2001:db8::1]:3262')[1], {
    address: '[2001:db8::1]:3260',
    portalGroupTag: 1,
  })
})

t.test('another ISID, another session', async (t) => {
  const rig = await rigFor(t)
  const one = await rig.login({ isid })
  const two = await rig.login({ isid: otherIsid })
  t.equal(rig.portal.sessions.length, 2)
  t.equal((await one.run({ cdb: read10(0, 1), readBytes: 512 })).status, 0)
  t.equal((await two.run({ cdb: read10(0, 1), readBytes: 512 })).status, 0)
})

t.test('a name in other letters is the same name', async (t) => {
  const rig = await rigFor(t)
  const initiatorName = 'iqn.2026-11.example:host'
  const former = await rig.login({ isid, initiatorName })
  await rig.login({
    isid,
    initiatorName: initiatorName.toUpperCase(),
    targetName: `IQN${rigTarget.slice(3)}`,
  })
  await former.closed
  t.equal(rig.portal.sessions.length, 1, 'a session reinstatement')
})

t.test('a newer login wins over one that still waits', async (t) => {
  const rig = await rigFor(t)
  const former = await rig.login({ isid })
  rig.unit.shut()
  former.command({ cdb: read10(0, 1), readBytes: 512 })
  await until(() => rig.unit.held.length === 1, 'the read has begun')
  const second = await rig.connect()
  second.sendLogin({ targetName: rigTarget, isid })
  await former.closed
  const third = await rig.connect()
  third.sendLogin({ targetName: rigTarget, isid })
  await second.closed
  t.equal(second.received.length, 0, 'the older of the two is not answered')
  rig.unit.open()
  await third.next(Opcode.LOGIN_RESPONSE)
  t.equal(rig.portal.sessions.length, 1)
})

t.test('a login that its host decides late does not end its successor', async (t) => {
  const decisions: (() => void)[] = []
  const abandoned: boolean[] = []
  const rig = await rigFor(t, {
    decide: (facts, accept) =>
      new Promise<LoginDecision>((resolve) => {
        decisions.push(() => {
          abandoned.push(facts.abandoned())
          resolve(accept)
        })
      }),
  })
  const older = await rig.connect()
  older.sendLogin({ targetName: rigTarget, isid })
  await until(() => decisions.length === 1, 'the host was asked')
  const newer = await rig.connect()
  newer.sendLogin({ targetName: rigTarget, isid })
  await until(() => decisions.length === 2, 'the host was asked again')
  decisions[1]!()
  await newer.next(Opcode.LOGIN_RESPONSE)
  decisions[0]!()
  await older.closed
  t.equal(older.received.length, 0)
  t.equal(newer.ended, false, 'the newer session lives')
  t.same(abandoned, [false, false])

  const gone = await rig.connect()
  gone.sendLogin({ targetName: rigTarget, isid: otherIsid })
  await until(() => decisions.length === 3, 'the host was asked once more')
  gone.close()
  await gone.closed
  await rig.clock.advance(1)
  decisions[2]!()
  t.equal(abandoned[2], true, 'the host can see that nobody waits')
  await rig.clock.advance(1)
  t.equal(rig.portal.sessions.length, 1, 'and no session comes of it')
})

t.test('the host says no, with keys', async (t) => {
  const rig = await rigFor(t, {
    decide: () => ({
      kind: 'refuse',
      status: 0x0101,
      keys: [['TargetAddress', '10.0.0.9:3260']],
    }),
  })
  const initiator = await rig.connect()
  const { status, keys } = await initiator.login({ targetName: rigTarget })
  t.equal(status, 0x0101)
  t.equal(keys.get('TargetAddress'), '10.0.0.9:3260')
  await initiator.closed
})

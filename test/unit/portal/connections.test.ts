/** Several connections of one session: joining it, its order of commands, leaving it. */
import t from 'tap'
import { portal as limits } from '../../../src/base/limits.ts'
import { fencedLoginPolicy } from '../../../src/iscsi/login-policy.ts'
import { AsyncEvent, asyncMessage } from '../../../src/iscsi/pdu/async-message.ts'
import { loginResponse } from '../../../src/iscsi/pdu/login-response.ts'
import { LogoutReason } from '../../../src/iscsi/pdu/logout-request.ts'
import { nopOut } from '../../../src/iscsi/pdu/nop-out.ts'
import { Opcode, RESERVED_TAG } from '../../../src/iscsi/pdu/opcode.ts'
import { TaskManagementFunction as Manage } from '../../../src/iscsi/pdu/task-management-request.ts'
import { type PortalRig, rigTarget, until } from '../../support/portal-rig.ts'
import {
  type LoginOptions,
  type RawInitiator,
  read10,
  write10,
} from '../../support/raw-initiator.ts'
import { rigFor } from './rig-for.ts'

const read = { cdb: read10(0, 1), readBytes: 512 }

/** A session with `MaxConnections` and its first connection, CID 0. */
async function leading(rig: PortalRig, keys: Record<string, string> = {}): Promise<Member> {
  const initiator = await rig.connect()
  const offers = { MaxConnections: '4', ...keys }
  const outcome = await initiator.login({ targetName: rigTarget, keys: offers })
  if (outcome.status !== 0) throw new Error(`login refused with ${outcome.status.toString(16)}h`)
  return { initiator, tsih: outcome.tsih }
}

interface Member {
  readonly initiator: RawInitiator
  readonly tsih: number
}

/** Another connection of the session of `first`; its status, and the connection itself. */
async function join(
  rig: PortalRig,
  first: Member,
  options: LoginOptions,
): Promise<{ readonly status: number; readonly initiator: RawInitiator }> {
  const initiator = await rig.connect()
  initiator.shareNumbers(first.initiator)
  const { status, tsih } = await initiator.login({
    targetName: rigTarget,
    tsih: first.tsih,
    ...options,
  })
  if (status === 0 && tsih !== first.tsih) throw new Error('another TSIH')
  return { status, initiator }
}

t.test('commands are taken in order over all connections', async (t) => {
  const rig = await rigFor(t)
  const first = await leading(rig)
  t.equal((await first.initiator.run(read)).status, 0)
  const { status, initiator: second } = await join(rig, first, { cid: 1 })
  t.equal(status, 0)
  t.equal(second.expCmdSn, first.initiator.cmdSn, 'the window is that of the session')
  t.equal(second.maxCmdSn - second.expCmdSn, 127)
  t.equal(rig.portal.sessions.length, 1, 'one session')

  const early = second.command({ ...read, cmdSn: second.cmdSn + 1 })
  const echo = rig.portal.sessions[0]!.ping()
  await second.answerPing()
  t.equal(await echo, true)
  t.equal(rig.unit.calls.length, 1, 'a command waits for the one before it')
  const { data } = await first.initiator.run({ ...read, cdb: read10(1, 1) })
  t.equal(data.length, 512)
  first.initiator.cmdSn++
  t.equal((await second.end(early)).status, 0, 'answered where it came')
  t.equal(first.initiator.received.length, 1, 'nothing but a ping came to the first')

  const written = Buffer.alloc(2048, 0x5a)
  const tag = second.command({ cdb: write10(8, 4), data: written })
  second.answerR2t(await second.nextR2t(), written)
  t.equal((await second.end(tag)).status, 0)
  const same = await first.initiator.run({ cdb: read10(8, 4), readBytes: 2048 })
  t.ok(same.data.equals(written), 'one disk behind both')
})

t.test('digests belong to the connection, tags to the session', async (t) => {
  const rig = await rigFor(t)
  const first = await leading(rig)
  const keys = { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C', MaxRecvDataSegmentLength: '512' }
  const { status, initiator: second } = await join(rig, first, { cid: 7, keys })
  t.equal(status, 0)
  const tag = second.command({ cdb: read10(0, 4), readBytes: 2048 })
  t.equal((await second.end(tag)).data.length, 2048)
  t.equal((await first.initiator.run(read)).status, 0)
  rig.unit.shut()
  const held = first.initiator.command(read)
  second.command({ ...read, tag: held })
  const rejected = await second.next(Opcode.REJECT)
  t.equal(rejected.header[2], 0x07, 'task in progress')
  rig.unit.open()
  t.equal((await first.initiator.end(held)).status, 0)
})

t.test('who may not join', async (t) => {
  const rig = await rigFor(t)
  const first = await leading(rig, { MaxConnections: '2' })
  const refused = async (options: LoginOptions): Promise<string> => {
    const { status, initiator } = await join(rig, first, options)
    initiator.close()
    return status.toString(16)
  }
  t.equal(await refused({ cid: 1, tsih: first.tsih + 1 }), '20a', 'no such session')
  t.equal(await refused({ cid: 1, isid: Buffer.from('400001370009', 'hex') }), '208')
  t.equal(await refused({ cid: 1, initiatorName: 'iqn.2026-11.example:thief' }), '208')
  t.equal(await refused({ cid: 1, targetName: `${rigTarget}:other` }), '208')
  t.equal((await join(rig, first, { cid: 1 })).status, 0)
  t.equal(await refused({ cid: 2 }), '206', 'MaxConnections was 2')
  t.equal((await first.initiator.run(read)).status, 0)
  const discovery = await rig.connect()
  const { tsih } = await discovery.login({})
  t.equal(await refused({ cid: 1, tsih }), '208', 'a discovery session is another one')
})

t.test('a leg has one connection', async (t) => {
  const rig = await rigFor(t, { policy: fencedLoginPolicy })
  const keys = { 'X-io.palisade.Generation': '1', 'X-io.palisade.Login': '1' }
  const first = await leading(rig, keys)
  t.equal((await join(rig, first, { cid: 1 })).status, 0x206)
  t.equal((await first.initiator.run(read)).status, 0)
})

t.test('a connection that logs in again takes the place of the former', async (t) => {
  const rig = await rigFor(t)
  const first = await leading(rig)
  const second = (await join(rig, first, { cid: 1 })).initiator
  rig.unit.shut()
  const lost = second.command(read)
  const kept = first.initiator.command(read)
  await until(() => rig.unit.held.length === 2, 'both have begun')
  const again = await rig.connect()
  again.shareNumbers(second)
  again.sendLogin({ targetName: rigTarget, tsih: first.tsih, cid: 1 })
  await second.closed
  await rig.clock.advance(100)
  t.equal(again.received.length, 0, 'not before what it began has settled')
  rig.unit.open()
  const answer = loginResponse.decode((await again.next(Opcode.LOGIN_RESPONSE)).header)
  t.same([answer.statusClass, answer.tsih], [0, first.tsih])
  t.equal((await first.initiator.end(kept)).status, 0)
  t.equal((await again.run({ ...read, tag: lost })).status, 0, 'its tag is free')
  t.equal(rig.portal.sessions.length, 1)
})

t.test('the only connection logs in again', async (t) => {
  const rig = await rigFor(t)
  const first = await leading(rig)
  const session = rig.portal.sessions[0]!
  const again = await join(rig, first, { cid: 0 })
  t.equal(again.status, 0)
  await first.initiator.closed
  t.equal(rig.portal.sessions[0], session, 'the session goes on')
  t.equal((await again.initiator.run(read)).status, 0)

  rig.unit.shut()
  again.initiator.command(read)
  await until(() => rig.unit.held.length === 1, 'a read has begun')
  const third = await rig.connect()
  third.sendLogin({ targetName: rigTarget, tsih: first.tsih })
  await again.initiator.closed
  third.close()
  rig.unit.open()
  await session.ended
  t.equal(rig.portal.sessions.length, 0, 'one that is awaited and does not come ends it')
})

t.test('a connection that is lost takes its own tasks with it', async (t) => {
  const rig = await rigFor(t)
  const first = await leading(rig)
  const second = (await join(rig, first, { cid: 9 })).initiator
  rig.unit.shut()
  second.command(read)
  const kept = first.initiator.command(read)
  await until(() => rig.unit.held.length === 2, 'both have begun')
  second.close()
  const { header } = await first.initiator.next(Opcode.ASYNC_MESSAGE)
  const message = asyncMessage.decode(header)
  t.same([message.asyncEvent, message.parameter1], [AsyncEvent.CONNECTION_DROPPED, 9])
  t.same([message.parameter2, message.parameter3], [limits.time2WaitSeconds, 0])
  rig.unit.open()
  t.equal((await first.initiator.end(kept)).status, 0)
  t.equal(first.initiator.maxCmdSn - first.initiator.expCmdSn, 127, 'no slot is lost')
  const third = (await join(rig, first, { cid: 9 })).initiator
  const { cmdSn } = first.initiator
  third.command({ ...read, cdb: read10(5, 1), cmdSn: cmdSn + 1 })
  const echo = rig.portal.sessions[0]!.ping()
  await third.answerPing()
  t.equal(await echo, true, 'it came, and waits for its turn')
  third.close()
  await first.initiator.next(Opcode.ASYNC_MESSAGE)
  t.equal((await first.initiator.run({ ...read, cmdSn })).status, 0)
  const retried = await first.initiator.run({ ...read, cmdSn: cmdSn + 1 })
  t.equal(retried.status, 0, 'what had not had its turn may be sent again')
  first.initiator.close()
  await until(() => rig.portal.sessions.length === 0, 'the last one ends the session')
})

t.test('logout of one connection, and of all', async (t) => {
  const rig = await rigFor(t)
  const first = await leading(rig)
  const members = [first.initiator]
  for (const cid of [1, 2, 3]) members.push((await join(rig, first, { cid })).initiator)
  rig.unit.shut()
  members[1]!.command(read)
  members[2]!.command(read)
  await until(() => rig.unit.held.length === 2, 'both have begun')
  const own = members[1]!.logout(LogoutReason.CLOSE_CONNECTION, 1)
  const foreign = first.initiator.logout(LogoutReason.CLOSE_CONNECTION, 2)
  await until(() => rig.unit.held.every(({ aborted }) => aborted), 'both are told')
  rig.unit.open()
  t.equal((await own)[0], 0)
  t.equal((await foreign)[0], 0)
  await members[1]!.closed
  await members[2]!.closed
  t.equal((await members[3]!.run(read)).status, 0, 'the others stay')
  t.equal((await first.initiator.logout(LogoutReason.CLOSE_CONNECTION, 2))[0], 1, 'CID not found')
  t.equal((await first.initiator.logout(LogoutReason.REMOVE_FOR_RECOVERY, 3))[0], 2, 'level 0')
  t.equal((await members[3]!.logout(LogoutReason.CLOSE_SESSION))[0], 0)
  await members[3]!.closed
  await first.initiator.closed
  t.equal(rig.portal.sessions.length, 0)
})

t.test('task management over another connection', async (t) => {
  const rig = await rigFor(t)
  const first = await leading(rig)
  const second = (await join(rig, first, { cid: 1 })).initiator
  rig.unit.shut()
  const tag = first.initiator.command(read)
  await until(() => rig.unit.held.length === 1, 'it has begun')
  second.manage({ function: Manage.ABORT_TASK, referencedTag: tag })
  await until(() => rig.unit.held[0]?.aborted === true, 'told')
  t.equal(second.received.length, 0)
  rig.unit.open()
  // What the first was sent before must have been seen before the answer.
  await first.initiator.answerPing()
  t.equal(await second.managed(), 0)
})

t.test('aborts of what has not had its turn', async (t) => {
  const rig = await rigFor(t)
  const { initiator } = await leading(rig)
  const { cmdSn } = initiator
  const early = initiator.command({ ...read, cmdSn: cmdSn + 1 })
  initiator.manage({ function: Manage.ABORT_TASK, referencedTag: early, cmdSn: cmdSn + 3 })
  t.equal(await initiator.managed(), 0, 'it waited for its turn')
  const never = { function: Manage.ABORT_TASK, referencedTag: 0x999 }
  initiator.manage({ ...never, refCmdSn: cmdSn + 2, cmdSn: cmdSn + 3 })
  t.equal(await initiator.managed(), 0, 'it is taken for received')
  initiator.manage({ ...never, refCmdSn: cmdSn + 3, cmdSn: cmdSn + 3 })
  t.equal(await initiator.managed(), 1, 'it comes after the function')
  initiator.manage({ ...never, refCmdSn: cmdSn - 1, cmdSn: cmdSn + 3 })
  t.equal(await initiator.managed(), 1, 'out of the window')
  t.equal((await initiator.run({ ...read, cmdSn })).status, 0)
  t.equal(initiator.expCmdSn, cmdSn + 3, 'the numbers are passed over')
  t.equal(initiator.maxCmdSn - initiator.expCmdSn, 127)
  t.equal(rig.unit.calls.length, 1)
})

t.test('an abort of a set waits for what was sent before it', async (t) => {
  const rig = await rigFor(t)
  const { initiator } = await leading(rig)
  const { cmdSn } = initiator
  rig.unit.shut()
  initiator.command({ ...read, cmdSn: cmdSn + 1 })
  initiator.manage({ function: Manage.ABORT_TASK_SET, cmdSn: cmdSn + 2 })
  initiator.command({ ...read, cmdSn: cmdSn + 2 })
  const session = rig.portal.sessions[0]!
  const heard = session.ping()
  await initiator.answerPing()
  t.equal(await heard, true)
  t.equal(initiator.received.length, 0, 'one before it is missing')
  initiator.command({ ...read, cmdSn })
  await until(() => rig.unit.held.length === 3, 'all have begun')
  t.same(
    rig.unit.held.map(({ aborted }) => aborted),
    [true, true, false],
  )
  rig.unit.open()
  t.equal(await initiator.managed(), 0)
  initiator.cmdSn = cmdSn + 3
  t.equal((await initiator.next(Opcode.DATA_IN)).header.readUInt32BE(16) > 0, true)
  t.equal(initiator.received.length, 0, 'the two were never answered')

  rig.unit.shut()
  initiator.command({ ...read, cmdSn: cmdSn + 4 })
  initiator.manage({ function: Manage.TARGET_WARM_RESET, cmdSn: cmdSn + 5 })
  t.equal(await initiator.managed(), 0, 'a reset of the target waits for nothing')
  t.equal(initiator.expCmdSn, cmdSn + 5)
  t.equal(rig.unit.held.length, 0, 'what waited was not begun')
})

t.test('what comes before its turn is bounded', async (t) => {
  const rig = await rigFor(t)
  const { initiator } = await leading(rig)
  const { cmdSn } = initiator
  const data = Buffer.alloc(256 * 1024, 0x11)
  for (let ahead = 1; ahead <= 40; ahead++) {
    const header = nopOut.build({
      lun: Buffer.alloc(8),
      initiatorTaskTag: 0x1000 + ahead,
      targetTransferTag: RESERVED_TAG,
      cmdSn: cmdSn + ahead,
      expStatSn: initiator.expStatSn,
    })
    initiator.send(header, { data: [data] })
  }
  t.equal((await initiator.run({ ...read, cmdSn })).status, 0)
  const kept = limits.earlyBytes / data.length
  t.ok(kept < 40)
  for (let left = kept; left > 0; left--) await initiator.next(Opcode.NOP_IN)
  const { status } = await initiator.run({ ...read, cmdSn: cmdSn + kept + 1 })
  t.equal(status, 0, 'what was too much may be sent again')
  t.equal(initiator.received.length, 0)
})

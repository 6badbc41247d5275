/** The life of a session: task management, logout, pings, silent and deaf peers, shutdown. */
import t from 'tap'
import { portal as limits, network } from '../../../src/base/limits.ts'
import { fencedLoginPolicy } from '../../../src/iscsi/login-policy.ts'
import { AsyncEvent, asyncMessage } from '../../../src/iscsi/pdu/async-message.ts'
import { LogoutReason, logoutRequest } from '../../../src/iscsi/pdu/logout-request.ts'
import { nopIn } from '../../../src/iscsi/pdu/nop-in.ts'
import { nopOut } from '../../../src/iscsi/pdu/nop-out.ts'
import { Opcode, RESERVED_TAG } from '../../../src/iscsi/pdu/opcode.ts'
import { RejectReason } from '../../../src/iscsi/pdu/reject.ts'
import { snackRequest } from '../../../src/iscsi/pdu/snack-request.ts'
import { TaskManagementFunction as Manage } from '../../../src/iscsi/pdu/task-management-request.ts'
import { until } from '../../support/portal-rig.ts'
import { type RawInitiator, read10, write10 } from '../../support/raw-initiator.ts'
import { rigFor } from './rig-for.ts'

const read = { cdb: read10(0, 1), readBytes: 512 }

function logout(initiator: RawInitiator, reason: number, cid = 0): void {
  const header = logoutRequest.build({
    reason,
    initiatorTaskTag: 0x77,
    cid,
    cmdSn: initiator.cmdSn++,
    expStatSn: initiator.expStatSn,
  })
  initiator.send(header)
}

t.test('an abort is complete when the task has settled', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  rig.unit.shut()
  const tag = initiator.command(read)
  const other = initiator.command(read)
  await until(() => rig.unit.held.length === 2, 'both have begun')
  initiator.manage({ function: Manage.ABORT_TASK, referencedTag: tag })
  await until(() => rig.unit.held[0]?.aborted === true, 'the task is told')
  t.equal(rig.unit.held[1]?.aborted, false)
  await rig.clock.advance(100)
  t.equal(initiator.received.length, 0, 'no answer yet')
  rig.unit.open()
  t.equal(await initiator.managed(), 0, 'function complete')
  t.equal((await initiator.end(other)).status, 0)
  t.equal(initiator.received.length, 0, 'the aborted task has no status')
  initiator.manage({ function: Manage.ABORT_TASK, referencedTag: tag })
  t.equal(await initiator.managed(), 1, 'no such task any more')
  t.equal(initiator.maxCmdSn - initiator.expCmdSn, 127)
})

t.test('an abort that cannot be had in time is rejected', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  rig.unit.shut()
  const tag = initiator.command(read)
  await until(() => rig.unit.held.length === 1, 'it has begun')
  initiator.manage({ function: Manage.ABORT_TASK, referencedTag: tag })
  await until(() => rig.unit.held[0]?.aborted === true, 'the task is told')
  await rig.clock.advance(limits.taskManagementDeadlineMs)
  t.equal(await initiator.managed(), 255, 'function rejected')
  rig.unit.open()
  t.equal((await initiator.run(read)).status, 0)
  t.equal(initiator.received.length, 0, 'and no second answer')
})

/** Runs TEST UNIT READY until nothing is reported any more; answers what was. */
async function attentions(initiator: RawInitiator): Promise<string[]> {
  const reported: string[] = []
  for (;;) {
    const { status, sense } = await initiator.run({ cdb: Buffer.alloc(6) })
    if (status === 0) return reported
    reported.push(`${sense[2]! & 0xf}/${sense.toString('hex', 12, 14)}`)
  }
}

const elsewhere = Buffer.from('400001370009', 'hex')

t.test('task sets and resets', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  const bystander = await rig.login({ isid: elsewhere })
  const functions = [
    { name: 'abort task set', number: Manage.ABORT_TASK_SET, own: [], theirs: [] },
    { name: 'clear task set', number: Manage.CLEAR_TASK_SET, own: [], theirs: ['6/2f00'] },
    { name: 'LUN reset', number: Manage.LOGICAL_UNIT_RESET, own: ['6/2903'], theirs: ['6/2903'] },
    { name: 'warm reset', number: Manage.TARGET_WARM_RESET, own: ['6/2902'], theirs: ['6/2902'] },
  ]
  for (const { name, number, own, theirs } of functions) {
    rig.unit.shut()
    const other = bystander.command(read)
    initiator.command(read)
    initiator.command({ cdb: write10(0, 2), data: Buffer.alloc(1024) })
    await initiator.nextR2t()
    await until(() => rig.unit.held.length === 2, 'both have begun')
    initiator.manage({ function: number, immediate: false })
    const told = number === Manage.ABORT_TASK_SET ? 1 : 2
    await until(() => rig.unit.held.filter(({ aborted }) => aborted).length === told, 'told')
    await rig.clock.advance(100)
    t.equal(initiator.received.length, 0, `${name}: no answer while one may touch the store`)
    rig.unit.open()
    t.equal(await initiator.managed(), 0, name)
    t.equal(initiator.received.length, 0, `${name}: no status of what was aborted`)
    if (told === 1) t.equal((await bystander.end(other)).status, 0, `${name}: not of others`)
    t.same(await attentions(initiator), own, `${name}: who asked is told of a reset`)
    t.same(await attentions(bystander), theirs, `${name}: others are told`)
    t.equal(bystander.received.length, 0, `${name}: TAS is 0`)
  }
  initiator.manage({ function: Manage.ABORT_TASK_SET })
  t.equal(await initiator.managed(), 0, 'nothing to abort')
  for (const number of [Manage.ABORT_TASK_SET, Manage.CLEAR_TASK_SET, Manage.LOGICAL_UNIT_RESET]) {
    initiator.manage({ function: number, lun: 9 })
    t.equal(await initiator.managed(), 2, 'no such LUN')
  }
  initiator.manage({ function: Manage.CLEAR_ACA })
  t.equal(await initiator.managed(), 5, 'not supported')
  initiator.manage({ function: Manage.TASK_REASSIGN })
  t.equal(await initiator.managed(), 4, 'no reassignment at recovery level 0')
  initiator.manage({ function: Manage.TARGET_COLD_RESET })
  t.equal(await initiator.managed(), 0)
  await initiator.closed
  await bystander.closed
  t.equal(rig.portal.sessions.length, 0, 'a cold reset ends all sessions')
})

t.test('a session that speaks the generation resets itself alone', async (t) => {
  const rig = await rigFor(t, { policy: fencedLoginPolicy })
  const keys = { 'X-io.palisade.Generation': '1', 'X-io.palisade.Login': '1' }
  const initiator = await rig.login({ keys })
  const bystander = await rig.login({ keys, isid: elsewhere })
  rig.unit.shut()
  const other = bystander.command(read)
  initiator.command(read)
  await until(() => rig.unit.held.length === 2, 'both have begun')
  initiator.manage({ function: Manage.LOGICAL_UNIT_RESET })
  await until(() => rig.unit.held.some(({ aborted }) => aborted), 'told')
  rig.unit.open()
  t.equal(await initiator.managed(), 0)
  t.equal((await bystander.end(other)).status, 0, 'the other goes on')
  t.same(await attentions(bystander), [])
  initiator.manage({ function: Manage.TARGET_COLD_RESET })
  t.equal(await initiator.managed(), 0)
  await initiator.closed
  t.equal((await bystander.run(read)).status, 0)
})

t.test('logout', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  logout(initiator, LogoutReason.CLOSE_CONNECTION, 5)
  t.equal((await initiator.next(Opcode.LOGOUT_RESPONSE)).header[2], 1, 'no such connection')
  logout(initiator, LogoutReason.REMOVE_FOR_RECOVERY)
  t.equal((await initiator.next(Opcode.LOGOUT_RESPONSE)).header[2], 2, 'no recovery')
  rig.unit.shut()
  initiator.command(read)
  await until(() => rig.unit.held.length === 1, 'a read has begun')
  const session = rig.portal.sessions[0]!
  logout(initiator, LogoutReason.CLOSE_SESSION)
  await until(() => rig.unit.held[0]?.aborted === true, 'the task is told')
  await rig.clock.advance(100)
  t.equal(initiator.received.length, 0, 'not before what has begun has settled')
  rig.unit.open()
  t.equal((await initiator.next(Opcode.LOGOUT_RESPONSE)).header[2], 0)
  await initiator.closed
  await session.ended
  t.equal(rig.portal.sessions.length, 0)
  t.equal(await session.ping(), false, 'a session that is over answers no ping')
})

t.test('echo, and what is not understood', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  const echo = nopOut.build({
    lun: Buffer.alloc(8),
    initiatorTaskTag: 0x42,
    targetTransferTag: RESERVED_TAG,
    cmdSn: initiator.cmdSn++,
    expStatSn: initiator.expStatSn,
  })
  initiator.send(echo, { data: [Buffer.from('ping data')] })
  const answer = await initiator.next(Opcode.NOP_IN)
  t.equal(nopIn.decode(answer.header).initiatorTaskTag, 0x42)
  t.equal(Buffer.concat(answer.data).toString(), 'ping data')

  const snack = snackRequest.build({
    ...snackRequest.decode(Buffer.alloc(48)),
    initiatorTaskTag: 1,
  })
  initiator.send(snack)
  const rejected = await initiator.next(Opcode.REJECT)
  t.equal(rejected.header[2], RejectReason.SNACK_REJECT)
  t.equal(rejected.dataBytes, 48, 'the header comes back')
  const unknown = Buffer.alloc(48)
  unknown[0] = 0x1e
  initiator.send(unknown)
  t.equal((await initiator.next(Opcode.REJECT)).header[2], RejectReason.COMMAND_NOT_SUPPORTED)
  initiator.sendLogin({ targetName: 'iqn.2026-11.example:rig' })
  t.equal((await initiator.next(Opcode.REJECT)).header[2], RejectReason.PROTOCOL_ERROR)
  t.equal((await initiator.run(read)).status, 0, 'the session lives')

  const tooLong = Buffer.alloc(48)
  tooLong[0] = Opcode.DATA_OUT
  tooLong.writeUIntBE(2 ** 24 - 1, 5, 3)
  initiator.stream.write([tooLong])
  await initiator.closed
  t.pass('a length beyond what was agreed ends the connection')
})

t.test('digest errors', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login({ keys: { HeaderDigest: 'CRC32C', DataDigest: 'CRC32C' } })
  const data = Buffer.alloc(512, 0x33)
  const tag = initiator.command({ cdb: write10(0, 1), data })
  const r2t = await initiator.nextR2t()
  const { write } = initiator.stream
  // One bit of the data segment flips on its way.
  initiator.stream.write = (buffers) => {
    const bytes = Buffer.concat(buffers)
    bytes[52 + 100]! ^= 1
    return write.call(initiator.stream, [bytes])
  }
  initiator.answerR2t(r2t, data)
  initiator.stream.write = write
  t.equal((await initiator.next(Opcode.REJECT)).header[2], RejectReason.DATA_DIGEST_ERROR)
  const { status, sense } = await initiator.end(tag)
  t.equal(status, 2)
  t.equal(sense.readUInt16BE(12), 0x4705, 'protocol service CRC error')
  t.same(rig.unit.calls, [])
  t.equal((await initiator.run(read)).status, 0, 'the session lives')

  initiator.stream.write([Buffer.concat([Buffer.alloc(48), Buffer.alloc(4, 9)])])
  await initiator.closed
  t.pass('a wrong header digest ends the connection')
})

t.test('pings', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  const session = rig.portal.sessions[0]!
  t.equal(session.provenAtMs, Number.NEGATIVE_INFINITY)
  await rig.clock.advance(300)
  const ping = session.ping()
  await rig.clock.advance(700)
  await initiator.answerPing()
  t.equal(await ping, true)
  t.equal(session.provenAtMs, 300, 'the peer was alive when the ping was sent')
  const unanswered = session.ping()
  initiator.close()
  t.equal(await unanswered, false)
})

t.test('a silent peer is pinged and then given up', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.login()
  await rig.clock.advance(limits.idleBeforePingMs + limits.sweepMs)
  await initiator.answerPing()
  await until(() => rig.portal.sessions[0]!.provenAtMs > 0, 'the answer came')
  await rig.clock.advance(limits.idleBeforePingMs)
  t.equal(initiator.ended, false, 'it answered, so it lives')
  await rig.clock.advance(limits.idleBeforePingMs + limits.pingDeadlineMs)
  await initiator.closed
  t.equal(rig.portal.sessions.length, 0)
})

t.test('a silent discovery session is ended without a ping', async (t) => {
  const rig = await rigFor(t)
  const initiator = await rig.connect()
  t.equal((await initiator.login({})).status, 0)
  const pinged = initiator.next(Opcode.NOP_IN).then(
    () => true,
    () => false,
  )
  await rig.clock.advance(limits.idleBeforePingMs + limits.sweepMs)
  t.equal(initiator.ended, false)
  await rig.clock.advance(limits.idleBeforePingMs + limits.pingDeadlineMs)
  await initiator.closed
  t.equal(await pinged, false, 'open-iscsi ends a discovery over a NOP-In')
})

t.test('a peer that does not read costs a bounded amount', async (t) => {
  const blocks = 2048
  const rig = await rigFor(t, { unitBlocks: blocks })
  const deaf = await rig.login()
  const other = await rig.login({ isid: elsewhere })
  deaf.stream.pause()
  const tags = Array.from({ length: 120 }, () =>
    deaf.command({ cdb: read10(0, blocks), readBytes: blocks * 512 }),
  )
  t.equal((await other.run(read)).status, 0, 'others are served')
  await rig.clock.advance(1)
  const begun = rig.unit.calls.length - 1
  t.ok(begun * blocks * 512 <= limits.sessionReadBytes + network.highWaterBytes, `${begun} begun`)
  deaf.stream.resume()
  for (const tag of tags) t.equal((await deaf.end(tag)).status, 0)
})

t.test('many sessions share the memory for what they do not read', async (t) => {
  const blocks = 2048
  const rig = await rigFor(t, { unitBlocks: blocks })
  const deaf = await rig.login()
  const others = 63
  for (let n = 0; n < others; n++) await rig.login({ isid: Buffer.from([0x80, 0, 0, 0, 1, n]) })
  deaf.stream.pause()
  const tags = Array.from({ length: 40 }, () =>
    deaf.command({ cdb: read10(0, blocks), readBytes: blocks * 512 }),
  )
  const { calls } = rig.unit
  await until(() => calls.length > 0, 'one has begun')
  await rig.clock.advance(1)
  const share = limits.programReadBytes / (others + 1)
  const most = (share + network.highWaterBytes) / (blocks * 512)
  t.ok(calls.length <= most, `${calls.length} begun`)
  deaf.stream.resume()
  for (const tag of tags) t.equal((await deaf.end(tag)).status, 0)
})

t.test('the program stops', async (t) => {
  const rig = await rigFor(t)
  const polite = await rig.login()
  const stubborn = await rig.login({ isid: elsewhere })
  let stopped = false
  const closing = rig.portal.close(3000).then(() => {
    stopped = true
  })
  for (const initiator of [polite, stubborn]) {
    const message = asyncMessage.decode((await initiator.next(Opcode.ASYNC_MESSAGE)).header)
    t.equal(message.asyncEvent, 1, 'asks to log out')
    t.equal(message.parameter3, 3, 'within seconds')
  }
  logout(polite, LogoutReason.CLOSE_SESSION)
  t.equal((await polite.next(Opcode.LOGOUT_RESPONSE)).header[2], 0)
  t.equal(stopped, false)
  rig.unit.shut()
  stubborn.command(read)
  await until(() => rig.unit.held.length === 1, 'a read has begun')
  await rig.clock.advance(3000)
  const last = asyncMessage.decode((await stubborn.next(Opcode.ASYNC_MESSAGE)).header)
  t.equal(last.asyncEvent, AsyncEvent.SESSION_DROPPED)
  await stubborn.closed
  t.equal(stopped, false, 'waits for what has begun')
  rig.unit.open()
  await closing
  await t.rejects(rig.connect(), 'nobody listens any more')
})

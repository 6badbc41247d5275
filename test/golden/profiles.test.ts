/**
 * What initiators send when they attach a disk, against a real portal: each round of the login is
 * answered key by key, each command ends well, what they insist on is there, and the portal knows
 * who it was. The sequences stand in profiles/, with their sources.
 */
import t, { type Test } from 'tap'
import { findKey, keys } from '../../src/iscsi/keys.ts'
import { loginRequest } from '../../src/iscsi/pdu/login-request.ts'
import { loginResponse } from '../../src/iscsi/pdu/login-response.ts'
import { Opcode } from '../../src/iscsi/pdu/opcode.ts'
import { MemoryUnitSettings } from '../../src/scsi/memory-unit-settings.ts'
import { hex, text } from '../support/bytes.ts'
import { PortalRig, rigTarget } from '../support/portal-rig.ts'
import type { RawInitiator } from '../support/raw-initiator.ts'
import type { Attach, LoginRound } from './profiles/attach.ts'
import { esxi } from './profiles/esxi.ts'
import { libiscsi, libiscsiWithUser, qemu } from './profiles/libiscsi.ts'
import { linux } from './profiles/linux.ts'
import { windows } from './profiles/windows.ts'

const blockBytes = 512

/** What a target may say unasked. RFC 7143 13. */
const unasked = new Set(['TargetPortalGroupTag', 'TargetAlias', 'MaxRecvDataSegmentLength'])

async function playRound(initiator: RawInitiator, { stages, says }: LoginRound, round: number) {
  const [currentStage, nextStage] = stages
  const header = loginRequest.build({
    transit: true,
    continues: false,
    currentStage,
    nextStage,
    versionMax: 0,
    versionMin: 0,
    isid: hex('00023d000001'),
    tsih: 0,
    initiatorTaskTag: 0,
    cid: 0,
    cmdSn: initiator.cmdSn,
    expStatSn: round,
  })
  const pairs = says.map((pair) => pair.replace('TARGET', rigTarget))
  initiator.send(header, { immediate: true, data: [text(...pairs)] })
  const frame = await initiator.next(Opcode.LOGIN_RESPONSE)
  const answers = Buffer.concat(frame.data).toString().split('\0').slice(0, -1)
  return { response: loginResponse.decode(frame.header), answers }
}

const keyOf = (pair: string) => pair.slice(0, pair.indexOf('='))

/** Keys that their originator waits for: all but declarations, and repetitions of those. */
function wantsAnswer(key: string): boolean {
  const row = findKey(key)
  return row?.type !== 'text' && row !== keys.MaxRecvDataSegmentLength
}

async function logIn(t: Test, initiator: RawInitiator, { login, insists }: Attach) {
  const heard: string[] = []
  for (const [round, one] of login.entries()) {
    const { response, answers } = await playRound(initiator, one, round)
    const [currentStage, nextStage] = one.stages
    const { statusClass, statusDetail } = response
    t.same([statusClass, statusDetail], [0, 0], 'no refusal')
    t.match(response, { transit: true, currentStage, nextStage }, 'the stage that was asked for')
    const offered = one.says.map(keyOf)
    for (const key of offered.filter(wantsAnswer)) {
      const own = answers.filter((answer) => keyOf(answer) === key)
      t.equal(own.length, 1, `${key} is answered once`)
      t.notMatch(own[0], /=(Reject|Irrelevant|NotUnderstood)$/)
    }
    const strange = answers.map(keyOf).filter((key) => !offered.includes(key) && !unasked.has(key))
    t.same(strange, [], 'nothing is answered that was not offered')
    heard.push(...answers)
  }
  for (const pair of insists) t.ok(heard.includes(pair), pair)
}

/** Room for the data of a CDB: its allocation length, or its blocks. */
function roomFor(cdb: Buffer): number {
  switch (cdb[0]) {
    case 0x12:
      return cdb.readUInt16BE(3)
    case 0x1a:
      return cdb[4]!
    case 0x25:
      return 8
    case 0x28:
      return cdb.readUInt16BE(7) * blockBytes
    case 0x5e:
      return cdb.readUInt16BE(7)
    case 0x9e:
      return cdb.readUInt32BE(10)
    case 0xa0:
    case 0xa3:
      return cdb.readUInt32BE(6)
    default:
      return 0
  }
}

/** The designators of VPD page 83h. SPC-4 7.8.6. */
function designatorTypes(page: Buffer): number[] {
  const types: number[] = []
  for (let at = 4; at + 4 <= page.length; at += 4 + page[at + 3]!) types.push(page[at + 1]! & 0xf)
  return types
}

function checkData(t: Test, cdb: Buffer, data: Buffer): void {
  const isVpd = cdb[0] === 0x12 && (cdb[1]! & 1) === 1
  if (cdb[0] === 0x12 && !isVpd) t.equal(data[0], 0, 'a disk, connected')
  if (isVpd) t.equal(data[1], cdb[2], 'the page that was asked for')
  if (isVpd && cdb[2] === 0x00 && data.length > 4) {
    for (const page of [0x80, 0x83, 0xb0]) t.ok(data.subarray(4).includes(page), `page ${page}`)
  }
  if (isVpd && cdb[2] === 0x80 && data.length > 4) t.ok(data.length > 8, 'a serial number')
  // By its NAA name a disk is known again, on every path.
  if (isVpd && cdb[2] === 0x83 && data.length > 4) t.ok(designatorTypes(data).includes(3), 'NAA')
  if (cdb[0] === 0x25) t.equal(data.readUInt32BE(4), blockBytes, 'the length of a block')
  if (cdb[0] === 0x9e) t.equal(data.readUInt32BE(8), blockBytes, 'the length of a block')
  if (cdb[0] === 0x28) t.equal(data.length, roomFor(cdb), 'all blocks')
}

for (const attach of [linux, libiscsi, libiscsiWithUser, qemu, windows, esxi]) {
  t.test(`${attach.name} (${attach.evidence})`, async (t) => {
    const rig = await PortalRig.start({ settings: new MemoryUnitSettings() })
    t.teardown(() => rig.stop())
    const initiator = await rig.connect()
    await logIn(t, initiator, attach)
    initiator.expStatSn = attach.login.length
    for (const bytes of attach.commands) {
      const cdb = hex(bytes)
      const room = roomFor(cdb)
      const end = await initiator.run({ cdb, ...(room > 0 && { readBytes: room }) })
      t.equal(end.status, 0, `GOOD for ${bytes} ${end.sense.toString('hex')}`)
      t.equal(end.overflow, false)
      checkData(t, cdb, end.data)
    }
    const [session] = rig.portal.sessions
    t.equal(session?.describe().profile, attach.profile)
    t.match(session?.describe(), { addresses: [/./], headerDigest: false, portalGroupTag: 1 })
  })
}

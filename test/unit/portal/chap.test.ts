/** CHAP through a portal: whole logins over a network, our own initiator, and joining as the same user. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { nodeChapHashes } from '../../../src/adapters/node-chap-hashes.ts'
import { ChapChallenges } from '../../../src/iscsi/chap.ts'
import type { ChapCredentials } from '../../../src/iscsi/chap-initiator.ts'
import type { ChapPolicy } from '../../../src/iscsi/chap-target.ts'
import { loginRequest } from '../../../src/iscsi/pdu/login-request.ts'
import { loginResponse } from '../../../src/iscsi/pdu/login-response.ts'
import { Opcode } from '../../../src/iscsi/pdu/opcode.ts'
import { openLeg, probe } from '../../../src/leg/open-leg.ts'
import { hex, text } from '../../support/bytes.ts'
import { rigTarget } from '../../support/portal-rig.ts'
import type { RawInitiator } from '../../support/raw-initiator.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { rigFor } from './rig-for.ts'

const secrets = { one: 'secret of user one', two: 'secret of user two' }
const mutual = { name: 'array', secret: Buffer.from('secret of the array') }
const isid = hex('00023d000001')
const initiatorName = 'iqn.2026-11.example:chap'

const chap: ChapPolicy = {
  hashes: nodeChapHashes,
  challenges: new ChapChallenges(seededRandom(5)),
  users: Object.entries(secrets).map(([name, secret]) => ({ name, secret: Buffer.from(secret) })),
  mutual,
  discovery: true,
}

interface As {
  readonly user: keyof typeof secrets
  readonly tsih?: number
  readonly cid?: number
}

/** Security stage and straight on to full-feature phase; answers status and TSIH. */
async function logIn(initiator: RawInitiator, { user, tsih = 0, cid = 0 }: As) {
  const ask = async (transit: boolean, ...pairs: string[]) => {
    const header = loginRequest.build({
      transit,
      continues: false,
      currentStage: 0,
      nextStage: transit ? 3 : 0,
      versionMax: 0,
      versionMin: 0,
      isid,
      tsih,
      initiatorTaskTag: 1,
      cid,
      cmdSn: initiator.cmdSn,
      expStatSn: 0,
    })
    initiator.send(header, { immediate: true, data: [text(...pairs)] })
    const frame = await initiator.next(Opcode.LOGIN_RESPONSE)
    return { ...loginResponse.decode(frame.header), said: Buffer.concat(frame.data).toString() }
  }
  const names = [`InitiatorName=${initiatorName}`, `TargetName=${rigTarget}`]
  await ask(false, ...names, 'SessionType=Normal', 'AuthMethod=CHAP')
  const { said } = await ask(false, 'CHAP_A=7')
  const identifier = Number(/CHAP_I=([0-9]+)/.exec(said)?.[1])
  const challenge = hex(/CHAP_C=0x([0-9a-f]+)/.exec(said)?.[1] ?? '')
  const hash = createHash('sha256').update(Buffer.from([identifier]))
  const response = hash.update(secrets[user]).update(challenge).digest('hex')
  const end = await ask(true, `CHAP_N=${user}`, `CHAP_R=0x${response}`)
  return { status: end.statusClass * 256 + end.statusDetail, tsih: end.tsih }
}

t.test('a session is one user', async (t) => {
  const rig = await rigFor(t, { policy: { chap } })
  const first = await logIn(await rig.connect(), { user: 'one' })
  t.equal(first.status, 0)
  t.match(rig.portal.sessions[0]?.describe(), { chapUser: 'one', initiatorName })
  const stranger = await logIn(await rig.connect(), { user: 'two', tsih: first.tsih, cid: 1 })
  t.equal(stranger.status, 0x0208, 'another user brings no connection')
  const plain = await rig.connect()
  const unproven = await plain.login({
    initiatorName,
    targetName: rigTarget,
    isid,
    tsih: first.tsih,
  })
  t.equal(unproven.status, 0x0201, 'nor does nobody')
  t.equal(rig.portal.sessions.length, 1)
  t.equal(rig.portal.sessions[0]?.describe().addresses.length, 1)
})

t.test('our own initiator', async (t) => {
  const rig = await rigFor(t, { policy: { chap } })
  const credentials: ChapCredentials = {
    hashes: nodeChapHashes,
    challenges: new ChapChallenges(seededRandom(6)),
    user: { name: 'one', secret: Buffer.from(secrets.one) },
    mutual,
  }
  const { network, clock, address } = rig
  const options = { network, clock, address, initiatorName, isid, targetName: rigTarget }
  const opening = await openLeg({ ...options, chap: credentials })
  t.equal(opening.kind, 'open')
  t.match(rig.portal.sessions[0]?.describe(), { chapUser: 'one', headerDigest: true })
  if (opening.kind === 'open') opening.leg.close()
  t.equal(await probe({ ...options, chap: credentials, deadlineMs: 1_000 }), true)
  t.equal(await probe({ ...options, deadlineMs: 1_000 }), false, 'discovery wants a user as well')
  t.match(await openLeg(options), { kind: 'refused', status: 0x0201 })
  const open = await rigFor(t)
  const there = { ...options, network: open.network, clock: open.clock, address: open.address }
  t.match(await openLeg({ ...there, chap: credentials }), { kind: 'refused', status: 0x0201 })
})

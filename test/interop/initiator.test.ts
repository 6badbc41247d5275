/**
 * Our initiator role against a target that is not ours: tgtd, over the real network. Logins, data of
 * all sizes in both directions, compared with tgtd's own file, more commands than its window takes,
 * sense data, aborts, and a target that stands still or dies.
 */
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { nodeChapHashes } from '../../src/adapters/node-chap-hashes.ts'
import { nodeClock } from '../../src/adapters/node-clock.ts'
import { NodeNetwork } from '../../src/adapters/node-network.ts'
import { nodeRandom } from '../../src/adapters/node-random.ts'
import { freeAddresses } from '../../src/cli/up/free-address.ts'
import { ChapChallenges, chapAlgorithms } from '../../src/iscsi/chap.ts'
import type { Leg } from '../../src/leg/leg.ts'
import type { LegAnswer } from '../../src/leg/leg-command.ts'
import { type LegOptions, openLeg, probe } from '../../src/leg/open-leg.ts'
import { read10, write10 } from '../support/raw-initiator.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { type Peer, startTgt, type TgtOptions } from '../support/tgt-peer.ts'

const network = new NodeNetwork()
const clock = nodeClock
const initiatorName = 'iqn.2026-11.example:our-initiator'
const isid = Buffer.from('800000a50001', 'hex')
const blockBytes = 512
const blocks = 65_536
const lun = 1
const patienceMs = 60_000

interface Rig {
  readonly peer: Peer
  readonly file: string
  readonly options: LegOptions
}

async function start(t: Test, extra: Omit<TgtOptions, 'file' | 'ports'> = {}): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'palisade-initiator-'))
  const file = join(directory, 'disk')
  const handle = await open(file, 'w')
  await handle.truncate(blocks * blockBytes)
  await handle.close()
  const address = await freeAddresses([])()
  const peer = await startTgt({ file, ports: [Number(address.split(':')[1])], ...extra })
  t.teardown(async () => {
    await peer.stop()
    await rm(directory, { recursive: true, force: true })
  })
  const options = { network, clock, address, initiatorName, isid, targetName: peer.iqn }
  return { peer, file, options }
}

async function opened(options: LegOptions): Promise<Leg> {
  const opening = await openLeg(options)
  if (opening.kind !== 'open') throw new Error(opening.cause)
  const { leg } = opening
  // tgtd tells of its power-on by a unit attention, once.
  const ready = () => leg.submit({ lun, cdb: Buffer.alloc(6) }).answer
  for (let answer = await ready(); !isGood(answer); answer = await ready()) {
    if (answer.kind !== 'status' || senseKey(answer) !== 6) throw new Error('not ready')
  }
  return leg
}

type StatusAnswer = LegAnswer & { readonly kind: 'status' }
const isGood = (answer: LegAnswer) => answer.kind === 'status' && answer.status === 0
const senseKey = ({ sense }: StatusAnswer) => (sense?.[2] ?? 0) & 0x0f

const write = (leg: Leg, lba: number, data: readonly Buffer[]) => {
  const count = data.reduce((bytes, buffer) => bytes + buffer.length, 0) / blockBytes
  return leg.submit({ lun, cdb: write10(lba, count), dataOut: data })
}
const read = (leg: Leg, lba: number, count: number) =>
  leg.submit({ lun, cdb: read10(lba, count), dataInBytes: count * blockBytes })

async function contentOf(leg: Leg, lba: number, count: number): Promise<Buffer> {
  const answer = await read(leg, lba, count).answer
  if (answer.kind !== 'status' || answer.status !== 0) throw new Error(JSON.stringify(answer))
  return Buffer.concat(answer.dataIn)
}

t.test('a portal is probed, a login is refused with its reason', async (t) => {
  const { options } = await start(t)
  t.equal(await probe({ ...options, deadlineMs: 2_000 }), true)
  const refused = await openLeg({ ...options, targetName: 'iqn.2026-11.example:none' })
  t.match(refused, { kind: 'refused', status: 0x0203 })
  const fenced = await openLeg({ ...options, fenced: { loginNumber: 1 } })
  t.match(fenced, { kind: 'failed' }, 'one that does not agree to what the fence needs')
})

t.test('data of all sizes, as tgtd has them in its file', async (t) => {
  const { options, file } = await start(t, { headerDigest: 'CRC32C' })
  const leg = await opened(options)
  t.ok(leg.parameters.headerDigest, 'CRC32C was agreed on')
  const capacity = await leg.submit({ lun, cdb: readCapacity10, dataInBytes: 8 }).answer
  t.equal(Buffer.concat((capacity as StatusAnswer).dataIn).readUInt32BE(0), blocks - 1)
  const random = seededRandom(5)
  const expected = Buffer.alloc(blocks * blockBytes)
  for (const count of [1, 7, 15, 16, 17, 127, 128, 129, 512, 513, 2048]) {
    const lba = random.below(blocks - count)
    const data = random.bytes(count * blockBytes)
    data.copy(expected, lba * blockBytes)
    const cut = 1 + random.below(data.length - 1)
    const answer = await write(leg, lba, [data.subarray(0, cut), data.subarray(cut)]).answer
    t.ok(isGood(answer), `wrote ${count} blocks`)
    t.ok((await contentOf(leg, lba, count)).equals(data), `read ${count} blocks`)
  }
  const many = Array.from({ length: 400 }, (_, i) => {
    const data = random.bytes(8 * blockBytes)
    data.copy(expected, i * 8 * blockBytes)
    return write(leg, i * 8, [data])
  })
  const answers = await Promise.all(many.map(({ answer }) => answer))
  t.ok(answers.every(isGood), 'more commands than its window takes')
  t.ok((await contentOf(leg, 0, 2048)).equals(expected.subarray(0, 2048 * blockBytes)))
  t.ok(isGood(await leg.submit({ lun, cdb: synchronizeCache }).answer))
  t.ok((await readFile(file)).equals(expected), 'its file')
  leg.close()
  t.equal(await leg.ended, 'closed')
})

const readCapacity10 = Buffer.from([0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0])
const synchronizeCache = Buffer.from([0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0])

t.test('sense data, aborts, and a session that goes on', async (t) => {
  const { options } = await start(t)
  const leg = await opened(options)
  const beyond = (await read(leg, blocks, 1).answer) as StatusAnswer
  t.strictSame([beyond.status, senseKey(beyond), beyond.sense?.[12]], [2, 5, 0x21])
  const tasks = Array.from({ length: 64 }, (_, i) => read(leg, i * 512, 512))
  for (const task of tasks) task.abort()
  for (const { answer } of tasks) t.not((await answer).kind, 'lost')
  t.ok(leg.open)
  t.equal((await contentOf(leg, 0, 1)).length, blockBytes)
  const again = await opened({ ...options, isid: Buffer.from('800000a50002', 'hex') })
  t.ok(leg.open && again.open, 'two sessions side by side')
  again.close()
  leg.close()
})

const secretOf = (text: string) => Buffer.from(text)
const incoming = { user: 'us', password: 'our secret 1234' }
const outgoing = { user: 'them', password: 'their secret 1234' }

/**
 * How we would log in with these secrets; without the second we ask for no proof. tgtd takes number 7
 * of the list for SHA-1, where IANA has SHA-256, so MD5 is all that we have in common.
 */
function chapOf(secret: string, targetSecret?: string): LegOptions['chap'] {
  const mutual = targetSecret && { name: outgoing.user, secret: secretOf(targetSecret) }
  return {
    hashes: nodeChapHashes,
    challenges: new ChapChallenges(nodeRandom),
    algorithms: chapAlgorithms.filter(({ hash }) => hash === 'md5'),
    user: { name: incoming.user, secret: secretOf(secret) },
    ...(mutual && { mutual }),
  }
}

t.test('CHAP, one way and mutual: right and wrong', async (t) => {
  const { options } = await start(t, { incoming, outgoing })
  const attempts = [
    ['right', chapOf(incoming.password), 'open'],
    ['wrong', chapOf('our secret 9999'), 'refused'],
    ['none', undefined, 'refused'],
    ['mutual', chapOf(incoming.password, outgoing.password), 'open'],
    ['wrong mutual', chapOf(incoming.password, 'their secret 9999'), 'failed'],
  ] as const
  for (const [what, chap, kind] of attempts) {
    const opening = await openLeg({ ...options, ...(chap && { chap }) })
    t.match(opening, { kind, ...(kind === 'refused' && { status: 0x0201 }) }, what)
    if (opening.kind === 'open') opening.leg.close()
  }
})

t.test('a target that wants no proof is left by who has a secret', async (t) => {
  const { options } = await start(t)
  const chap = chapOf(incoming.password)!
  t.not((await openLeg({ ...options, chap })).kind, 'open')
})

t.test('a target that stands still, and one that dies', { timeout: patienceMs }, async (t) => {
  const { options, peer } = await start(t)
  const leg = await opened(options)
  const data = Buffer.alloc(64 * blockBytes, 7)
  t.ok(isGood(await write(leg, 0, [data]).answer))
  peer.kill('SIGSTOP')
  const held = [read(leg, 0, 64), write(leg, 64, [data])]
  for (const { answer } of held) t.strictSame(await answer, { kind: 'lost', sent: true })
  t.match(await leg.ended, /silent/)
  t.equal((await openLeg(options)).kind, 'failed', 'nor does it answer a login')
  peer.kill('SIGCONT')
  const back = await opened(options)
  t.ok((await contentOf(back, 0, 64)).equals(data))
  peer.kill('SIGKILL')
  t.ok((await back.ended).length > 0)
  t.strictSame(await read(back, 0, 1).answer, { kind: 'lost', sent: false })
  t.equal((await openLeg(options)).kind, 'failed')
})

/**
 * Two gateways before one volume, in a whole cluster in memory: one is an initiator's active front
 * end and the other is in standby for it, they say so, the initiator or the loss of the first moves
 * it, and nothing that the first still has is carried out after what came through the second.
 */
import t, { type Test } from 'tap'
import { TaskSettings } from '../../../initiator-shim/device/task-settings.ts'
import { MemoryUnitSettings } from '../../../src/scsi/memory-unit-settings.ts'
import { describe, type Initiator } from '../../support/initiator.ts'
import { MemoryCluster } from '../../support/memory-cluster.ts'
import { RawInitiator } from '../../support/raw-initiator.ts'
import { sendTargets } from '../../support/send-targets.ts'
import { otherClient } from '../../support/volume-maps.ts'

const mib = 1024 * 1024
const standby = 'sense 2/4/b'
const accessStateChanged = 'sense 6/2a/6'
const aborted = 'status 40'
const busy = 'status 8'
const clients = [otherClient, otherClient.replace(/.$/, 'e')] as const
const groups = [11, 12] as const
t.setTimeout(170_000)

async function started(t: Test) {
  const cluster = await MemoryCluster.start({
    servers: 1,
    volumes: [{ name: 'v', sizeBytes: 4 * mib }],
  })
  t.teardown(() => cluster.stop())
  const one = await cluster.addShim(clients[0], { group: groups[0] })
  const two = await cluster.addShim(clients[1], { group: groups[1] })
  // Until each knows of the other.
  await cluster.pass(1_100)
  const attach = (front: { portal: string }, name = 'a'): Promise<Initiator> =>
    cluster.attach('v', { address: front.portal, name })
  return { cluster, one, two, attach }
}

const reportGroups = Buffer.from('a30a00000000000000ff0000', 'hex')
const setGroups = Buffer.from('a40a00000000000000080000', 'hex')

/** Groups with their access states; the port of each is named like it. */
async function states(cluster: MemoryCluster, initiator: Initiator): Promise<string[]> {
  const sent = initiator.leg.submit({ lun: 0, cdb: reportGroups, dataInBytes: 255 })
  const answer = await cluster.run(sent.answer)
  if (answer.kind !== 'status' || answer.status !== 0) throw new Error(describe(answer))
  const data = Buffer.concat(answer.dataIn)
  const found: string[] = []
  for (let at = 4; at < data.length; at += 12) {
    if (data.readUInt16BE(at + 10) !== data.readUInt16BE(at + 2)) throw new Error('another port')
    found.push(`${data.readUInt16BE(at + 2)}: ${data[at]}`)
  }
  return found
}

/** SET TARGET PORT GROUPS: this group is to be active and optimized. */
async function activate(cluster: MemoryCluster, initiator: Initiator, group: number, state = 0) {
  const list = Buffer.from([0, 0, 0, 0, state, 0, 0, group])
  const sent = initiator.leg.submit({ lun: 0, cdb: setGroups, dataOut: [list] })
  return describe(await cluster.run(sent.answer))
}

async function write(cluster: MemoryCluster, initiator: Initiator, stamp: number, lba = 0) {
  return describe(await cluster.run(initiator.write(lba, 8, stamp).answer))
}

t.test('discovery at each lists the portals of both, each its own group', async (t) => {
  const { cluster, one, two } = await started(t)
  const { network } = cluster
  const addresses = [`${one.portal},${groups[0]}`, `${two.portal},${groups[1]}`]
  t.same(await cluster.run(sendTargets(network, one.portal)), addresses)
  t.same(await cluster.run(sendTargets(network, two.portal)), addresses.reverse())
  const alone = await cluster.run(sendTargets(network, cluster.portal))
  t.same(alone, [`${cluster.portal},1`], 'a plain shim lists only itself')
  await t.rejects(
    cluster.addShim(clients[1].replace(/.$/, 'd'), { group: groups[0] }),
    /portal group/,
  )
})

t.test('the first access makes one active, the other is in standby and says so', async (t) => {
  const { cluster, one, two, attach } = await started(t)
  const [here, there] = [await attach(one), await attach(two)]
  t.same(await states(cluster, here), ['11: 0', '12: 0'], 'nobody is named')
  t.equal(await write(cluster, here, 1), 'good')
  t.same(await states(cluster, here), ['11: 0', '12: 2'])
  await cluster.pass(50)
  t.equal(describe(await cluster.run(there.testUnitReady().answer)), accessStateChanged)
  t.same(await states(cluster, there), ['11: 0', '12: 2'])
  t.equal(describe(await cluster.run(there.testUnitReady().answer)), standby)
  t.equal(await write(cluster, there, 2), standby)
  t.equal(describe(await cluster.run(there.flush().answer)), standby)
  const capacity = { lun: 0, cdb: Buffer.from('25000000000000000000', 'hex'), dataInBytes: 8 }
  t.equal(describe(await cluster.run(there.leg.submit(capacity).answer)), 'good')
  const inquiry = { lun: 0, cdb: Buffer.from('120000002400', 'hex'), dataInBytes: 36 }
  const answer = await cluster.run(there.leg.submit(inquiry).answer)
  t.equal(answer.kind === 'status' && Buffer.concat(answer.dataIn)[5]! & 0x30, 0x30, 'TPGS 11b')
  const other = await attach(two, 'b')
  t.equal(await write(cluster, other, 3, 64), 'good', 'another initiator goes another way')
  t.same(await cluster.run(here.read(0, 1)), [1])
})

t.test('an initiator moves itself; what it left behind is ended', async (t) => {
  const { cluster, one, two, attach } = await started(t)
  const [here, there] = [await attach(one), await attach(two)]
  t.equal(await write(cluster, here, 1), 'good')
  t.equal(await write(cluster, there, 2), accessStateChanged)
  const { relay } = cluster.servers[0]!
  relay.hang()
  const parked = here.write(0, 8, 9)
  await cluster.pass(5)
  t.equal(await activate(cluster, there, groups[0]), 'sense 5/26/0', 'not the group of another')
  t.equal(await activate(cluster, there, groups[1], 2), 'sense 5/26/0', 'not standby')
  t.equal(await activate(cluster, there, groups[1]), 'good')
  t.equal(await activate(cluster, there, groups[1]), 'good', 'nothing to do')
  t.equal(await write(cluster, there, 2), 'good')
  relay.release()
  t.equal(describe(await cluster.run(parked.answer)), aborted)
  await cluster.pass(5_000)
  t.same(await cluster.run(there.read(0, 1)), [2], 'and never comes')
  t.equal(await write(cluster, here, 3), accessStateChanged)
  t.equal(await write(cluster, here, 3), standby)
  t.same(await states(cluster, here), ['11: 2', '12: 0'])
})

t.test('the loss of the active one moves an initiator; its life does not', async (t) => {
  const { cluster, one, two, attach } = await started(t)
  const [here, there] = [await attach(one), await attach(two)]
  t.equal(await write(cluster, here, 1), 'good')
  t.equal(await write(cluster, there, 2), accessStateChanged)
  await cluster.pass(10_000)
  t.equal(await write(cluster, there, 2), standby, 'it lives')
  cluster.rpc.cut(one.host, true)
  await cluster.pass(1_000)
  const startMs = cluster.clock.nowMs()
  t.equal(await write(cluster, there, 3), 'good', 'waits, and is let in')
  const waitedMs = cluster.clock.nowMs() - startMs
  t.ok(waitedMs > 1_000 && waitedMs < 4_000, `${waitedMs} ms`)
  t.equal(await write(cluster, here, 9), busy, 'it cannot know; no server takes what it sends')
  cluster.rpc.cut(one.host, false)
  await cluster.pass(5_000)
  t.same(await cluster.run(there.read(0, 1)), [3])
  t.equal(await write(cluster, there, 4), 'good')
})

t.test('an orderly stop of the active one moves an initiator at once', async (t) => {
  const { cluster, one, two, attach } = await started(t)
  const [here, there] = [await attach(one), await attach(two)]
  t.equal(await write(cluster, here, 1), 'good')
  t.equal(await write(cluster, there, 2), accessStateChanged)
  await cluster.run(one.shim.stop(100))
  const startMs = cluster.clock.nowMs()
  t.equal(await write(cluster, there, 2), 'good')
  t.ok(cluster.clock.nowMs() - startMs < 500)
  await cluster.pass(1_000)
  t.same(await states(cluster, there), ['12: 0'])
})

t.test(
  'an initiator with one path that comes from the active one waits for its place',
  async (t) => {
    const { cluster, one, two, attach } = await started(t)
    const there = await attach(two)
    t.equal(await write(cluster, there, 1), 'good')
    await cluster.pass(700)
    there.leg.close()
    await cluster.pass(30)
    const here = await attach(one)
    t.equal(await write(cluster, here, 2), 'good', 'and is not told that this one is in standby')
    t.same(await cluster.run(here.read(0, 1)), [2])
  },
)

t.test('a plain shim obeys the map, and takes over where nobody else is left', async (t) => {
  const { cluster, one, attach } = await started(t)
  const shim = await cluster.attach('v')
  t.equal(await write(cluster, shim, 1), 'good', 'nobody is named, and it names nobody')
  const here = await attach(one)
  t.equal(await write(cluster, here, 2), 'good', 'the gateway does')
  t.equal(await write(cluster, shim, 3), accessStateChanged)
  t.equal(await write(cluster, shim, 3), standby)
  await cluster.run(one.shim.stop(100))
  t.equal(await write(cluster, shim, 3), 'good')
  await cluster.pass(10_000)
  t.same(await cluster.run(shim.read(0, 1)), [3])
})

t.test(
  'what is set through a gateway waits for a sign of life: it may be set elsewhere',
  async (t) => {
    const { cluster, one, two, attach } = await started(t)
    const there = await attach(two, 'b')
    t.equal(await write(cluster, there, 1), 'good')
    const silent = await RawInitiator.connect(cluster.network, one.portal)
    const initiatorName = 'iqn.2026-11.example:a'
    const login = silent.login({ initiatorName, targetName: 'iqn.2026-11.io.palisade:v' })
    t.equal((await cluster.run(login)).status, 0)
    const reserve = Buffer.from('160000000000', 'hex')
    silent.command({ cdb: reserve })
    await cluster.pass(1_000)
    silent.close()
    await cluster.pass(1_000)
    t.equal(await write(cluster, there, 2), 'good', 'nothing is reserved')
    const living = await attach(one)
    t.equal(describe(await cluster.run(living.leg.submit({ lun: 0, cdb: reserve }).answer)), 'good')
    t.equal(await write(cluster, there, 3), 'status 18')
  },
)

t.test('an attempt to set something names a state from before the sign of life', async (t) => {
  const settings = new MemoryUnitSettings()
  const asked: ((waits: boolean) => void)[] = []
  const stillWaits = (): Promise<boolean> => new Promise((resolve) => asked.push(resolve))
  const shared = Object.assign(settings, { revert: () => undefined })
  const view = new TaskSettings(shared, stillWaits)
  const how = { takesAway: false }
  const first = view.state
  const late = view.change(first, { ...first, softwareWriteProtect: true }, how)
  t.equal(view.state, first, 'nothing is changed before')
  // What the initiator sent again through another front end.
  await settings.change(first, { ...first, descriptorSense: true })
  asked.shift()!(true)
  t.equal(await late, 'changed')
  t.equal(await view.change(first, first, how), 'changed', 'nobody is asked')
  const second = view.state
  const next = { ...second, softwareWriteProtect: true }
  const dead = view.change(second, next, how)
  asked.shift()!(false)
  t.equal(await dead, 'unavailable')
  t.equal(settings.state, second)
  const living = view.change(second, next, how)
  asked.shift()!(true)
  t.equal(await living, 'done')
  t.equal(settings.state, next)
  t.equal(asked.length, 0)
})

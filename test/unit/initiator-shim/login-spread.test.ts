/** To which gateway a login belongs: the rule, its bound, and what a gateway does with it. */
import t, { type Test } from 'tap'
import { elsewhere, type Here, type There } from '../../../initiator-shim/front/login-spread.ts'
import { frontEnds as limits } from '../../../src/base/limits.ts'
import { MemoryCluster } from '../../support/memory-cluster.ts'
import type { LoginOutcome } from '../../support/raw-initiator.ts'
import { RawInitiator } from '../../support/raw-initiator.ts'
import { sendTargets } from '../../support/send-targets.ts'
import { otherClient } from '../../support/volume-maps.ts'

const mib = 1024 * 1024
const targetName = 'iqn.2026-11.io.palisade:v'
const moved = 0x0101
const clients = ['c', 'e', 'f'].map((last) => otherClient.replace(/.$/, last))
t.setTimeout(120_000)

const here = (sessions: number, more: Partial<Here> = {}): Here => ({
  ...{ sessions, isAttached: false, isLeaving: false },
  ...more,
})
const there = (client: string, sessions: number, isAttached = false): There => ({
  ...{ client, sessions, isAttached },
})
const chosen = (at: Here, ...others: There[]): string | undefined => elsewhere(at, others)?.client

t.test('the rule', async (t) => {
  const { spreadMargin } = limits
  t.equal(chosen(here(9)), undefined, 'nobody else serves')
  t.equal(chosen(here(spreadMargin), there('b', 0)), undefined, 'not worth it')
  t.equal(chosen(here(spreadMargin + 1), there('b', 0)), 'b')
  t.equal(chosen(here(9), there('b', 3), there('c', 2), there('d', 2)), 'c', 'the fewest')
  t.equal(chosen(here(9), there('b', 3, true), there('c', 0)), undefined, 'it wants this path')
  const attached = { isAttached: true }
  t.equal(chosen(here(1, attached), there('b', 7)), 'b', 'a second path, whatever it costs')
  t.equal(chosen(here(1, attached), there('b', 0, true), there('c', 7)), 'c')
  t.equal(chosen(here(1, attached), there('b', 0, true)), undefined, 'it has all paths')
  const leaving = { isLeaving: true }
  t.equal(chosen(here(0, leaving), there('b', 7), there('c', 6)), 'c')
  t.equal(chosen(here(0, leaving), there('b', 1, true), there('c', 6)), 'c', 'where it has none')
  t.equal(chosen(here(0, leaving), there('b', 1, true), there('c', 6, true)), 'b')
  t.equal(chosen(here(0, leaving)), undefined)
})

async function started(t: Test, gateways = 2) {
  const cluster = await MemoryCluster.start({
    servers: 1,
    volumes: [{ name: 'v', sizeBytes: 4 * mib }],
  })
  t.teardown(() => cluster.stop())
  const fronts = []
  for (let i = 0; i < gateways; i++) {
    fronts.push(await cluster.addShim(clients[i]!, { group: 11 + i }))
  }
  await cluster.pass(1_100)
  return { cluster, fronts, portals: fronts.map(({ portal }) => portal) }
}

/** One login, wherever it leads; the connection stays where it was let in. */
async function ask(cluster: MemoryCluster, at: string, name: string, isid = 1) {
  const raw = await RawInitiator.connect(cluster.network, at)
  const names = { initiatorName: `iqn.2026-11.example:${name}`, targetName }
  const asked = raw.login({ ...names, isid: Buffer.from([0x80, 0, 0, 0, 0, isid]) })
  return { raw, said: await cluster.run(asked) }
}

const address = ({ keys }: LoginOutcome): string => keys.get('TargetAddress') ?? ''

/** Follows redirects. */
async function attach(cluster: MemoryCluster, first: string, name: string, isid = 1) {
  const way = [first]
  for (;;) {
    const { raw, said } = await ask(cluster, way.at(-1)!, name, isid)
    if (said.status === 0) return { raw, way, at: way.at(-1)! }
    if (said.status !== moved || way.length > 12) throw new Error(`${way}: ${said.status}`)
    way.push(address(said))
  }
}

t.test('many that know one portal are spread', async (t) => {
  const { cluster, fronts, portals } = await started(t)
  const at = new Map(portals.map((portal) => [portal, 0]))
  for (let i = 0; i < 10; i++) {
    const attached = await attach(cluster, portals[0]!, `h${i}`)
    at.set(attached.at, at.get(attached.at)! + 1)
    t.ok(attached.way.length <= 2)
    await cluster.pass(20)
  }
  const [one, two] = [...at.values()] as [number, number]
  t.ok(Math.abs(one - two) <= limits.spreadMargin + 1, `${one} and ${two}`)
  t.equal(fronts[0]!.shim.sentElsewhere, two)
  const plain = await attach(cluster, cluster.portal, 'h0', 2)
  t.equal(plain.at, cluster.portal, 'a plain shim sends nobody on')
})

t.test('two sessions of one initiator end at two gateways', async (t) => {
  const { cluster, portals } = await started(t)
  const first = await attach(cluster, portals[0]!, 'h')
  t.equal(first.at, portals[0])
  const second = await attach(cluster, portals[0]!, 'h', 2)
  t.equal(second.at, portals[1])
  await cluster.pass(1_100)
  const again = await attach(cluster, portals[0]!, 'h')
  t.equal(again.at, portals[0], 'session reinstatement stays')
  await cluster.pass(limits.spreadOnceMs)
  const third = await attach(cluster, portals[0]!, 'h', 3)
  t.equal(third.at, portals[0], 'it has all paths')
})

t.test('a login that comes back is let in; without the manager all are', async (t) => {
  const { cluster, fronts, portals } = await started(t)
  for (let i = 0; i < 3; i++) await attach(cluster, portals[0]!, `h${i}`)
  const sent = await ask(cluster, portals[0]!, 'x')
  t.equal(sent.said.status, moved)
  t.equal(address(sent.said), portals[1], 'without a portal group tag')
  const back = await ask(cluster, portals[0]!, 'x')
  t.equal(back.said.status, 0, 'it could not go there')
  const anew = await ask(cluster, portals[0]!, 'h0')
  t.equal(anew.said.status, 0, 'session reinstatement stays')
  cluster.rpc.cut(fronts[0]!.host, true)
  await cluster.pass(limits.spreadKnownMs + 1_100)
  const alone = await ask(cluster, portals[0]!, 'y')
  t.equal(alone.said.status, 0)
})

t.test('who works through a gateway returns to it', async (t) => {
  const { cluster, portals } = await started(t)
  const before = await cluster.attach('v', { address: portals[0]!, name: 'w' })
  await cluster.run(before.write(0, 8, 1).answer)
  for (let i = 0; i < 8; i++) {
    const { at, raw } = await attach(cluster, portals[0]!, `h${i}`)
    if (at !== portals[0]) raw.close()
  }
  before.leg.close()
  await cluster.pass(1_100)
  t.equal((await ask(cluster, portals[0]!, 'w', 2)).said.status, 0)
  t.equal((await ask(cluster, portals[0]!, 'x')).said.status, moved, 'others are sent on')
})

t.test('gateways that know nothing true of one another send nobody around', async (t) => {
  const { cluster, portals } = await started(t, 3)
  // All three at once, on what they knew before: each believes the others empty.
  const way = []
  for (const portal of portals) {
    for (let i = 0; i < 8; i++) way.push(attach(cluster, portal, `${portal}-${i}`))
  }
  for (const each of way) t.ok((await each).way.length <= portals.length + 1)
})

t.test('a gateway that stops sends everybody to the others', async (t) => {
  const { cluster, fronts, portals } = await started(t)
  const held = await attach(cluster, portals[0]!, 'h')
  const stopping = fronts[0]!.shim.stop(1_000)
  await cluster.pass(20)
  const [asked] = held.raw.received.filter(({ opcode }) => opcode === 0x32)
  t.equal(asked?.header[36], 1, 'asked to log out')
  t.same(
    await cluster.run(sendTargets(cluster.network, portals[0]!)),
    [`${portals[1]},12`],
    'discovery lists the others only',
  )
  held.raw.close()
  for (const name of ['h', 'i']) {
    const { said } = await ask(cluster, portals[0]!, name)
    t.equal(said.status, moved)
    t.equal(address(said), portals[1])
  }
  await cluster.run(stopping)
  await t.rejects(RawInitiator.connect(cluster.network, portals[0]!), 'it has stopped')
  const last = await attach(cluster, portals[1]!, 'h')
  const startMs = cluster.clock.nowMs()
  await cluster.run(fronts[1]!.shim.stop(100))
  t.ok(cluster.clock.nowMs() - startMs < 500, 'the last one waits for nobody')
  last.raw.close()
})

/**
 * Two gateways before one volume, real processes: discovery lists both, one serves an initiator and
 * the other is in standby for it, and a command that is parked in or behind a gateway that is stopped
 * never lands after its initiator has written anew through the other.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { HandCluster, type HandShim, realNetwork } from '../support/hand-cluster.ts'
import { describe, type Initiator } from '../support/initiator.ts'
import { sendTargets } from '../support/send-targets.ts'

const MIB = 1024 * 1024
const volume = 'data'
const blocks = 16
const deadlineMs = 30_000
const standby = 'sense 2/4/b'
t.setTimeout(240_000)

class Gateways {
  readonly cluster: HandCluster
  readonly one: HandShim
  readonly two: HandShim

  private constructor(cluster: HandCluster, one: HandShim, two: HandShim) {
    this.cluster = cluster
    this.one = one
    this.two = two
  }

  static async start(t: Test): Promise<Gateways> {
    const cluster = await HandCluster.start({ servers: 1 })
    t.teardown(() => cluster.stop())
    const policies = { stripe: 0, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
    const request = { name: volume, sizeBytes: 16 * MIB, partitions: [], ...policies }
    await cluster.admin.createVolume(request, deadlineMs)
    const one = await cluster.startShim('one', 'gateway')
    const two = await cluster.startShim('two', 'gateway')
    return new Gateways(cluster, one, two)
  }

  attach(gateway: HandShim): Promise<Initiator> {
    return this.cluster.attach(gateway, volume, 'host')
  }
}

function write(initiator: Initiator, at: number, stamp: number): Promise<string> {
  return initiator.write(at * blocks, blocks, stamp).answer.then(describe)
}

/** As a multipath driver does: until it is let in. Answers what it heard before. */
async function insist(initiator: Initiator, at: number, stamp: number): Promise<Set<string>> {
  const heard = new Set<string>()
  const deadline = Date.now() + deadlineMs
  for (;;) {
    const answer = await write(initiator, at, stamp)
    if (answer === 'good') return heard
    heard.add(answer)
    if (Date.now() > deadline) throw new Error(`not let in: ${[...heard].join(', ')}`)
    await sleep(50)
  }
}

async function stampsOf(initiator: Initiator, writes: number): Promise<number[]> {
  const found = await initiator.read(0, writes * blocks)
  return [...new Set(found)]
}

t.test('discovery at each lists the portals of both', async (t) => {
  const { one, two } = await Gateways.start(t)
  const deadline = Date.now() + deadlineMs
  for (const gateway of [one, two]) {
    let found: string[] = []
    while (found.length < 2 && Date.now() < deadline) {
      found = await sendTargets(realNetwork, gateway.portal)
      if (found.length < 2) await sleep(50)
    }
    const portals = found.map((address) => address.split(',')[0])
    t.same(portals.sort(), [one.portal, two.portal].sort())
    const tags = new Set(found.map((address) => address.split(',')[1]))
    t.equal(tags.size, 2, 'each is a portal group of its own')
  }
})

t.test('what is parked in a stopped gateway never lands', async (t) => {
  const gateways = await Gateways.start(t)
  const [here, there] = [await gateways.attach(gateways.one), await gateways.attach(gateways.two)]
  const writes = 8
  t.equal(await write(here, 0, 1), 'good')
  const first = new Set([await write(there, 0, 5), await write(there, 0, 5)])
  t.ok(first.has(standby), [...first].join(', '))
  gateways.one.process.kill('SIGSTOP')
  const parked = Array.from({ length: writes }, (_, i) => write(here, i, 9))
  for (let i = 0; i < writes; i++) await insist(there, i, 2)
  t.same(await stampsOf(there, writes), [2])
  gateways.one.process.kill('SIGCONT')
  const answers = await Promise.all(parked)
  t.notOk(answers.includes('good'), [...new Set(answers)].join(', '))
  t.same(await stampsOf(there, writes), [2], 'they have not landed')
  t.equal(await write(there, 0, 3), 'good', 'and it goes on through the other')
})

t.test('what is parked behind a stopped gateway never lands', async (t) => {
  const gateways = await Gateways.start(t)
  const { junction } = gateways.cluster.servers[0]!
  junction.diverts = (initiatorName) => initiatorName === gateways.one.client
  const [here, there] = [await gateways.attach(gateways.one), await gateways.attach(gateways.two)]
  const writes = 8
  t.equal(await write(here, 0, 1), 'good')
  junction.side.hang()
  const parked = Array.from({ length: writes }, (_, i) => write(here, i, 9))
  const deadline = Date.now() + deadlineMs
  while (junction.side.heldBytes < writes * blocks * 512 && Date.now() < deadline) await sleep(2)
  gateways.one.process.kill('SIGSTOP')
  for (let i = 0; i < writes; i++) await insist(there, i, 2)
  junction.side.release()
  gateways.one.process.kill('SIGCONT')
  const answers = await Promise.all(parked)
  t.same(await stampsOf(there, writes), [2], `not landed: ${[...new Set(answers)].join(', ')}`)
})

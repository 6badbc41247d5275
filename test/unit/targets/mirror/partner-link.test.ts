/**
 * The session with a partner over real portals in memory: logged in anew whenever it ends, over
 * whichever portal answers, and nothing of a former session takes effect after that.
 */
import t, { type Test } from 'tap'
import { mirror as limits } from '../../../../src/base/limits.ts'
import { fencedLoginPolicy } from '../../../../src/iscsi/login-policy.ts'
import { LoginNumbers } from '../../../../src/leg/login-numbers.ts'
import { Portal } from '../../../../src/portal/portal.ts'
import { DeviceServer } from '../../../../src/scsi/device-server.ts'
import { good } from '../../../../src/scsi/result.ts'
import { clientIqn } from '../../../../src/volume/names.ts'
import { Leases } from '../../../../targets/mirror/leases.ts'
import { LinkPartner } from '../../../../targets/mirror/link-partner.ts'
import { PartnerFailure } from '../../../../targets/mirror/partner.ts'
import { PartnerLink } from '../../../../targets/mirror/partner-link.ts'
import { PartnerLinks } from '../../../../targets/mirror/partner-links.ts'
import { RunningTime } from '../../../../targets/mirror/running-time.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import {
  blockBytes,
  first,
  mirrorMap,
  ReplicationRig,
  second,
} from '../../../support/replication-rig.ts'

const at5 = { generation: 5 }
const block = (byte: number, count = 1) => Buffer.alloc(count * blockBytes, byte)

async function setUp(t: Test, options: { clock?: ManualClock } = {}): Promise<ReplicationRig> {
  const rig = await ReplicationRig.start(options)
  t.teardown(() => rig.stop())
  return rig
}

async function kindOf(rig: ReplicationRig, call: Promise<unknown>): Promise<string> {
  try {
    await rig.run(call)
    return 'good'
  } catch (thrown) {
    return thrown instanceof PartnerFailure ? thrown.kind : String(thrown)
  }
}

/** Hangs the portal that the session goes over; answers the other one. */
function hangInUse(rig: ReplicationRig): { inUse: number; other: number } {
  const inUse = rig.relays[0]!.accepted > rig.relays[1]!.accepted ? 0 : 1
  rig.relays[inUse]!.hang()
  return { inUse, other: 1 - inUse }
}

t.test('a path that hangs gives way to the other before the partner is suspected', async (t) => {
  const rig = await setUp(t)
  await rig.run(rig.partner.write(at5, 0, [block(1)]))
  const { other } = hangInUse(rig)
  const accepted = rig.relays[other]!.accepted
  const startMs = rig.clock.nowMs()
  const lost = kindOf(rig, rig.partner.write(at5, 0, [block(2)]))
  t.equal(await lost, 'lost')
  t.notOk(rig.partner.up)
  t.equal(await kindOf(rig, rig.partner.read(at5, 0, 1)), 'lost', 'nothing is queued')
  await rig.until(() => rig.partner.up, 'a session over the other portal')
  t.ok(rig.relays[other]!.accepted > accepted)
  t.ok(rig.clock.nowMs() - startMs < limits.suspectedMs)
  await rig.pass(limits.heartbeatMs)
  t.notOk(rig.link.silent)
  t.equal(await kindOf(rig, rig.partner.write(at5, 0, [block(3)])), 'good')
})

t.test(
  'a lease counts from the sending of what was confirmed, however late the answer',
  async (t) => {
    const rig = await setUp(t)
    const partners = [{ serverId: second.serverId, number: 16 }]
    const holds = (leaseMs: number) => rig.leases.holds({ generation: 5, leaseMs, partners })
    await rig.run(rig.partner.changed())
    await rig.run(rig.partner.changed())
    for (const relay of rig.relays) relay.hangAnswers()
    const write = rig.partner.write(at5, 0, [block(1)])
    await rig.pass(limits.heartbeatMs + 300)
    t.notOk(holds(700), 'neither the write nor the heartbeat was answered')
    for (const relay of rig.relays) relay.release()
    await rig.run(write)
    await rig.until(() => holds(700), 'the heartbeat was sent 300 ms ago')
    t.notOk(holds(280))
  },
)

t.test('a write alone confirms from its sending as well', async (t) => {
  const clock = new ManualClock()
  const leases = new Leases(clock)
  const answer = { kind: 'status', status: 0, dataIn: [] } as const
  const sent = { sentAtMs: leases.sendingAtMs(), answer: Promise.resolve(answer) }
  const link = Object.assign(Object.create(PartnerLink.prototype) as PartnerLink, {
    serverId: second.serverId,
    submit: () => sent,
  })
  const partner = new LinkPartner({ link, leases, number: 16, blocks: 100, blockBytes })
  await clock.advance(1_500)
  await partner.write(at5, 0, [block(1)])
  const partners = [{ serverId: second.serverId, number: 16 }]
  t.ok(leases.holds({ generation: 5, leaseMs: 1_501, partners }))
  t.notOk(leases.holds({ generation: 5, leaseMs: 1_500, partners }))
})

t.test('a session that takes no immediate data clears nothing', async (t) => {
  const link = Object.assign(Object.create(PartnerLink.prototype) as PartnerLink, {
    serverId: second.serverId,
    submit: () => t.fail('out of order'),
  })
  for (const [name, value] of [
    ['up', true],
    ['immediateBytes', 0],
  ] as const) {
    Object.defineProperty(link, name, { value })
  }
  const leases = new Leases(new ManualClock())
  const partner = new LinkPartner({ link, leases, number: 16, blocks: 100, blockBytes })
  await t.rejects(partner.clear(at5, [0], { inSync: true, lacks: [] }), /immediate data/)
})

t.test('no ghosts: what a path held back never lands after the next session', async (t) => {
  const rig = await setUp(t)
  const { inUse } = hangInUse(rig)
  const lost = kindOf(rig, rig.partner.write(at5, 0, [block(1, 100)]))
  const alsoLost = kindOf(rig, rig.partner.clear(at5, [0], { inSync: true, lacks: [] }))
  t.strictSame([await lost, await alsoLost], ['lost', 'lost'])
  t.ok(rig.relays[inUse]!.heldBytes > 0)
  await rig.until(() => rig.partner.up, 'the next session')
  await rig.run(rig.partner.write(at5, 0, [block(2, 100)]))
  rig.relays[inUse]!.release()
  await rig.pass(3_000)
  t.ok(rig.secondary.store.content(0, 100).equals(block(2, 100)))
  t.ok(rig.secondary.masks!.inSync.has(0), 'nor the clear')
  t.equal(rig.secondary.sessions, 1)
})

t.test('a login is answered when what the former session began has ended', async (t) => {
  const rig = await setUp(t)
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  rig.pause = () => gate
  const lost = kindOf(rig, rig.partner.write(at5, 0, [block(1)]))
  await rig.until(() => rig.secondary.volume.begun.count === 1, 'it has begun')
  rig.partner.abandon()
  t.equal(await lost, 'lost')
  await rig.pass(1_000)
  t.notOk(rig.partner.up, 'the former one may still touch the store')
  release()
  await rig.until(() => rig.partner.up, 'a session')
  t.ok(rig.secondary.store.content(0, 1).equals(block(1)))
  t.equal(rig.secondary.sessions, 1)
})

t.test('calls of one session that is abandoned: all lost, and another is opened', async (t) => {
  const rig = await setUp(t)
  const calls = [
    kindOf(rig, rig.partner.write(at5, 0, [block(1)])),
    kindOf(rig, rig.partner.flush(at5)),
  ]
  rig.partner.abandon()
  t.notOk(rig.partner.up)
  t.strictSame(await Promise.all(calls), ['lost', 'lost'])
  await rig.until(() => rig.partner.up, 'another session')
})

t.test('a partner that is gone is silent in time; its return is noticed', async (t) => {
  const rig = await setUp(t)
  await rig.pass(1_000)
  for (const relay of rig.relays) await relay.stop()
  const startMs = rig.clock.nowMs()
  const changes: string[] = []
  const note = (): void => {
    changes.push(`${rig.link.up} ${rig.link.silent}`)
    void rig.partner.changed().then(note)
  }
  void rig.partner.changed().then(note)
  await rig.until(() => rig.link.silent, 'silence')
  const tookMs = rig.clock.nowMs() - startMs
  t.ok(tookMs <= limits.suspectedMs && tookMs >= limits.suspectedMs - limits.heartbeatMs - 20)
  await rig.pass(limits.heartbeatMs)
  t.strictSame(changes, ['false false', 'false true'], 'both were told, once')
  await rig.pass(5_000)
  for (const relay of rig.relays) await relay.resume()
  const backMs = rig.clock.nowMs()
  await rig.until(() => !rig.link.silent, 'heard again')
  t.ok(rig.clock.nowMs() - backMs <= limits.reconnectLongestMs + 100)
  t.ok(rig.partner.up)
})

t.test('a partner that never was there is silent after the same time', async (t) => {
  const rig = await ReplicationRig.start({ connect: false })
  t.teardown(() => rig.stop())
  await rig.pass(5_000)
  for (const relay of rig.relays) await relay.stop()
  rig.links.follow(rig.map(5))
  await rig.pass(limits.suspectedMs - 50)
  t.notOk(rig.link.silent)
  await rig.pass(100)
  t.ok(rig.link.silent)
})

t.test('a moment in which this process stood still is nobody else’s silence', async (t) => {
  let standing = 0
  class Standing extends ManualClock {
    override nowMs(): number {
      return super.nowMs() + standing
    }
  }
  const rig = await setUp(t, { clock: new Standing() })
  await rig.pass(1_000)
  standing += 30_000
  t.notOk(rig.link.silent)
  await rig.pass(limits.heartbeatMs)
  t.notOk(rig.link.silent)
  t.ok(rig.partner.up, 'and no reason to give the session up')
})

t.test('links follow the maps', async (t) => {
  const rig = await setUp(t)
  const other = { ...mirrorMap(6), volumeId: 'other' }
  rig.links.follow(other)
  rig.links.follow({ ...rig.map(7), deleted: true })
  t.ok(rig.partner.up, 'another volume still needs it')
  rig.links.follow({ ...other, generation: 8, deleted: true })
  await rig.until(() => !rig.partner.up, 'nobody needs it')
  await rig.pass(3_000)
  t.notOk(rig.partner.up)
  t.equal(rig.secondary.sessions, 0)
  rig.links.follow({ ...other, generation: 9 })
  await rig.pass(100)
  t.notOk(rig.partner.up, 'a map without portals')
  rig.links.follow({ ...rig.map(10), volumeId: 'third' })
  await rig.until(() => rig.partner.up, 'the newest map says where it is')
  const led = rig.map(11).segments.map((segment) => {
    return { ...segment, replicas: [...segment.replicas].reverse() }
  })
  rig.links.follow({ ...other, generation: 12, segments: led })
  rig.links.follow({ ...rig.map(11), volumeId: 'third', segments: led })
  await rig.until(() => !rig.partner.up, 'another server is the primary')
})

t.test('a wall clock that went back is found out by the first refusal', async (t) => {
  const rig = await setUp(t)
  rig.links.stop()
  class Past extends ManualClock {
    override wallMs(): number {
      return 1_000
    }
  }
  const running = new RunningTime(rig.clock)
  const links = new PartnerLinks({
    ...{ network: rig.network, clock: rig.clock, log: quietLog, leases: rig.leases },
    ...{ serverId: first.serverId, initiatorName: clientIqn(first.serverId) },
    ...{ numbers: new LoginNumbers(new Past()), running },
  })
  t.teardown(() => {
    links.stop()
    running.stop()
  })
  links.follow(rig.map(5))
  const startMs = rig.clock.nowMs()
  await rig.until(() => links.of(second.serverId).up, 'a session')
  t.ok(rig.clock.nowMs() - startMs < 100, 'the second login goes above the number known')
})

t.test('a server that answers nonsense is asked again, ever more slowly', async (t) => {
  const rig = await ReplicationRig.start({ connect: false })
  t.teardown(() => rig.stop())
  let logins = 0
  const device = new DeviceServer({ luns: () => [], unit: () => undefined })
  const nonsense = new Portal({
    network: rig.network,
    clock: rig.clock,
    log: quietLog,
    policy: fencedLoginPolicy,
    host: {
      discover: () => [],
      login: async () => {
        logins += 1
        const target = Object.create(device) as typeof device
        target.arrive = () => undefined
        target.transfer = () => ({ direction: 'in', bytes: 1_000 })
        target.execute = async () => good([Buffer.alloc(200, logins)])
        target.nexusGained = () => undefined
        target.nexusLost = () => undefined
        return { kind: 'accept', target }
      },
    },
  })
  const address = await nonsense.listen('127.0.0.1:0')
  rig.links.of(second.serverId).connect({ server: 's2', portals: [address] })
  await rig.pass(5_000)
  t.ok(logins > 5 && logins < 30, `${logins} logins in 5 s`)
  t.ok(rig.links.of(second.serverId).silent)
  rig.links.stop()
  await rig.run(nonsense.close(0))
})

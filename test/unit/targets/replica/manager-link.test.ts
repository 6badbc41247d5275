/** When a server registers and asks, and what it makes of the answers; login numbers. */
import t from 'tap'
import { StorageError } from '../../../../src/base/errors.ts'
import type { AskReply, AskRequest } from '../../../../src/control/messages/client.ts'
import type { ConfigurationClient } from '../../../../src/control/services.ts'
import { HeldVolumes } from '../../../../targets/replica/held-volumes.ts'
import { LoginNumbers } from '../../../../targets/replica/login-numbers.ts'
import { ManagerLink } from '../../../../targets/replica/manager-link.ts'
import { VolumeRecords } from '../../../../targets/replica/volume-records.ts'
import { ManualClock } from '../../../support/manual-clock.ts'
import { MemoryKeyValue } from '../../../support/memory-key-value.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import { testMap, testSegment, testUuid } from '../../../support/volume-maps.ts'

const me = { serverId: testUuid(1), name: 's1', incarnation: 'store-1' }
const map5 = testMap({ generation: 5, segments: [testSegment(0x10, 0, 1000, [me])] })

class Rig {
  readonly clock = new ManualClock()
  readonly records = new MemoryKeyValue()
  readonly replicas = new Map<string, number>()
  readonly asked: { atMs: number; request: AskRequest }[] = []
  readonly registered: number[] = []
  reachable = true
  answer: () => AskReply = () => ({ wait: true })
  volumes!: HeldVolumes
  link!: ManagerLink
  #number = 0

  nextOrder() {
    this.#number += 1
    return { term: 1, number: this.#number }
  }

  /** A process on what the records hold. */
  async start(): Promise<void> {
    const { replicas } = this
    const create = async (id: string, blocks: number) => {
      replicas.set(id, blocks)
    }
    this.volumes = await HeldVolumes.load({
      serverId: me.serverId,
      store: {
        incarnation: 'store-1',
        replicaBlocks: (id) => replicas.get(id),
        createReplica: create,
        resizeReplica: create,
        dropReplica: async (id) => {
          replicas.delete(id)
        },
      },
      records: new VolumeRecords(this.records),
      clock: this.clock,
      log: quietLog,
      changed: (volume) => this.link?.changed(volume),
    })
    this.link = new ManagerLink({
      configuration: this.#configuration(),
      serverId: me.serverId,
      volumes: this.volumes,
      clock: this.clock,
      log: quietLog,
      describe: () => ({ server: facts, volumes: [] }),
      sessions: () => 3,
    })
    this.link.start()
  }

  get volume() {
    const volume = this.volumes.get(map5.volumeId)
    if (volume === undefined) throw new Error('no volume')
    return volume
  }

  get askedAtMs(): number[] {
    return this.asked.map(({ atMs }) => atMs)
  }

  #configuration(): ConfigurationClient {
    const mustReach = (): void => {
      if (!this.reachable) throw new StorageError('unreachable', 'the test')
    }
    const client: Pick<ConfigurationClient, 'register' | 'ask'> = {
      register: async () => {
        mustReach()
        this.registered.push(this.clock.nowMs())
        return { adopted: true, term: 1, recoveryBytesPerSecond: 0 }
      },
      ask: async (request) => {
        this.asked.push({ atMs: this.clock.nowMs(), request })
        mustReach()
        return this.answer()
      },
    }
    return client as ConfigurationClient
  }
}

const facts = {
  ...{ serverId: me.serverId, name: 's1', portals: [], control: '', processId: 'p' },
  ...{ capacityBytes: 0, freeBytes: 0, version: '0', storeIncarnation: 'store-1' },
}

t.test('after a restart it asks at once, then once a second, until it is told', async (t) => {
  const rig = new Rig()
  await rig.start()
  await rig.volumes.activate({ order: rig.nextOrder(), map: map5 })
  t.strictSame(rig.asked, [], 'what is open needs no manager')
  rig.link.stop()
  await rig.start()
  await rig.clock.advance(3_000)
  t.strictSame(rig.askedAtMs, [0, 1000, 2000, 3000])
  t.match(rig.asked[0]?.request, { serverId: me.serverId, volume: { sessions: 3, serving: false } })
  rig.answer = () => ({ activate: { order: rig.nextOrder(), map: map5 } })
  await rig.clock.advance(10_000)
  t.equal(rig.asked.length, 5)
  t.equal(rig.volume.state, 'open')
  rig.link.stop()
  t.equal(rig.clock.timers, 0, 'nothing is left behind')
})

t.test("a close is in a manager's hands: it is asked about after a second", async (t) => {
  const rig = new Rig()
  await rig.start()
  await rig.volumes.activate({ order: rig.nextOrder(), map: map5 })
  const closed = rig.nextOrder()
  await rig.volumes.close({ order: closed, volumeId: map5.volumeId })
  await rig.clock.advance(999)
  t.strictSame(rig.asked, [])
  rig.answer = () => ({
    reopen: { order: rig.nextOrder(), volumeId: map5.volumeId, closed },
  })
  await rig.clock.advance(1)
  t.strictSame(rig.askedAtMs, [1000])
  t.equal(rig.volume.state, 'open')
  await rig.clock.advance(5_000)
  t.equal(rig.asked.length, 1)
  // Closed and opened again before the second is over: nothing to ask.
  await rig.volumes.close({ order: rig.nextOrder(), volumeId: map5.volumeId })
  await rig.volumes.activate({ order: rig.nextOrder(), map: { ...map5, generation: 6 } })
  await rig.clock.advance(5_000)
  t.equal(rig.asked.length, 1)
  rig.link.stop()
})

t.test('a newer generation: asked at once, then at most once per 100 ms', async (t) => {
  const rig = new Rig()
  await rig.start()
  await rig.volumes.activate({ order: rig.nextOrder(), map: map5 })
  for (let ms = 0; ms < 250; ms += 5) {
    rig.link.newerSeen(rig.volume)
    await rig.clock.advance(5)
  }
  t.strictSame(rig.askedAtMs, [0, 100, 200])
  t.equal(rig.volume.state, 'open', 'its own value is its own')
  rig.answer = () => ({ activate: { order: rig.nextOrder(), map: { ...map5, generation: 8 } } })
  await rig.clock.advance(100)
  t.equal(rig.volume.map.generation, 8)
  rig.link.stop()
})

t.test('what a deleted volume held is freed when its manager has forgotten it', async (t) => {
  const rig = new Rig()
  await rig.start()
  await rig.volumes.activate({ order: rig.nextOrder(), map: map5 })
  rig.answer = () => ({ forgotten: true })
  rig.link.newerSeen(rig.volume)
  await rig.clock.advance(10)
  t.equal(rig.replicas.size, 1, 'not while it is served')
  rig.link.stop()
  await rig.start()
  await rig.clock.advance(10)
  t.equal(rig.replicas.size, 0)
  t.ok(rig.volume.map.deleted)
  await rig.clock.advance(5_000)
  t.equal(rig.asked.length, 2, 'and it asks no more')
  rig.link.stop()
  await rig.start()
  t.ok(rig.volume.map.deleted, 'for good')
  rig.link.stop()
})

t.test('registers at start and once a second, also when nobody answers', async (t) => {
  const rig = new Rig()
  await rig.start()
  await rig.clock.advance(2_000)
  t.strictSame(rig.registered, [0, 1000, 2000])
  rig.reachable = false
  await rig.clock.advance(3_000)
  rig.reachable = true
  await rig.clock.advance(1_000)
  t.strictSame(rig.registered, [0, 1000, 2000, 6000])
  rig.link.registerSoon()
  await rig.clock.advance(0)
  t.equal(rig.registered.length, 5)
  rig.link.stop()
  t.equal(rig.clock.timers, 0)
})

t.test('login numbers grow, for each initiator port at each target', async (t) => {
  const numbers = new LoginNumbers()
  t.equal(numbers.offer('port', 'target', 10), undefined)
  t.equal(numbers.offer('port', 'target', 9), 10)
  t.equal(numbers.offer('port', 'target', 10), undefined, 'the same is not smaller')
  t.equal(numbers.offer('port', 'other target', 1), undefined)
  t.equal(numbers.offer('other port', 'target', 1), undefined)
  t.equal(numbers.offer('port', 'target', 12), undefined)
  t.equal(numbers.offer('port', 'target', 11), 12)
})

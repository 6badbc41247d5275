/** Close, activate, reopen, their orders, the drain between them, restart, and the store's identity. */
import t from 'tap'
import { StorageError } from '../../../../src/base/errors.ts'
import type { Order } from '../../../../src/control/messages/server.ts'
import type { KeyValue, KeyValueEntry, Transaction } from '../../../../src/ports/key-value.ts'
import type { HeldVolume } from '../../../../targets/replica/held-volume.ts'
import { HeldVolumes } from '../../../../targets/replica/held-volumes.ts'
import type { SegmentStore } from '../../../../targets/replica/segment-store.ts'
import { VolumeRecords } from '../../../../targets/replica/volume-records.ts'
import { ManualClock, settle } from '../../../support/manual-clock.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import {
  otherClient,
  testClient,
  testMap,
  testSegment,
  testUuid,
} from '../../../support/volume-maps.ts'

/** Commits when the test lets it; what was committed is what a restart finds. */
class HeldBackKeyValue implements KeyValue {
  readonly durable = new Map<string, Buffer>()
  commits = 0
  hold = false
  fail = false
  #waiting: (() => void)[] = []

  async get(key: string): Promise<Buffer | undefined> {
    return this.durable.get(key)
  }

  async range(prefix: string): Promise<KeyValueEntry[]> {
    return [...this.durable].flatMap(([key, value]) =>
      key.startsWith(prefix) ? [{ key, value }] : [],
    )
  }

  async transact({ put = [] }: Transaction): Promise<boolean> {
    if (this.hold) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else await settle()
    if (this.fail) throw new StorageError('io-error', 'the test fails this commit')
    for (const { key, value } of put) this.durable.set(key, Buffer.from(value))
    this.commits += 1
    return true
  }

  release(): void {
    this.hold = false
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

class MemorySegments implements SegmentStore {
  incarnation: string | undefined = 'store-1'
  readonly replicas = new Map<string, number>()
  readonly done: string[] = []
  gate: Promise<void> | undefined

  replicaBlocks(segmentId: string): number | undefined {
    return this.replicas.get(segmentId)
  }

  async createReplica(segmentId: string, blocks: number): Promise<void> {
    this.done.push(`create ${segmentId.slice(-2)} ${blocks}`)
    await this.gate
    this.replicas.set(segmentId, blocks)
  }

  async resizeReplica(segmentId: string, blocks: number): Promise<void> {
    this.done.push(`resize ${segmentId.slice(-2)} ${blocks}`)
    this.replicas.set(segmentId, blocks)
  }

  async dropReplica(segmentId: string): Promise<void> {
    this.done.push(`drop ${segmentId.slice(-2)}`)
    this.replicas.delete(segmentId)
  }
}

const me = { serverId: testUuid(1), name: 's1', incarnation: 'store-1' }
const other = { serverId: testUuid(2), name: 's2', incarnation: 'store-2' }
const first = testSegment(0x10, 0, 1000, [me])
const map5 = testMap({ generation: 5, segments: [first] })
const map6 = testMap({ generation: 6, segments: [first] })
const order = (number: number, term = 1): Order => ({ term, number })

class Rig {
  readonly clock = new ManualClock()
  readonly keyValue = new HeldBackKeyValue()
  readonly store = new MemorySegments()
  readonly changes: string[] = []
  volumes!: HeldVolumes

  static async make(): Promise<Rig> {
    const rig = new Rig()
    await rig.restart()
    return rig
  }

  /** As a new process finds it: what was durable. */
  async restart(): Promise<void> {
    this.volumes = await HeldVolumes.load({
      serverId: me.serverId,
      store: this.store,
      records: new VolumeRecords(this.keyValue),
      clock: this.clock,
      log: quietLog,
      changed: (volume) => this.changes.push(volume.state),
    })
  }

  get volume(): HeldVolume {
    const volume = this.volumes.get(map5.volumeId)
    if (volume === undefined) throw new Error('the volume is not held')
    return volume
  }

  fence(segmentId = first.segmentId) {
    return this.volume.views.get(segmentId)?.fence
  }

  close(at: Order) {
    return this.volumes.close({ order: at, volumeId: map5.volumeId })
  }
}

/** A promise's fate so far. */
function watch(promise: Promise<unknown>): { state: string } {
  const seen = { state: 'pending' }
  promise.then(
    () => {
      seen.state = 'done'
    },
    (error: unknown) => {
      seen.state = String(error)
    },
  )
  return seen
}

t.test('activate makes the replica, then serves; incarnations are in the answer', async (t) => {
  const rig = await Rig.make()
  const answer = await rig.volumes.activate({ order: order(1), map: map5 })
  t.strictSame(answer, [{ segmentId: first.segmentId, incarnation: 'store-1' }])
  t.strictSame(rig.store.done, ['create 10 1000'])
  t.match(rig.fence(), { state: 'open', generation: 5, wideGeneration: 5n, primary: true })
  t.equal(rig.volume.needsAnswer, false)
})

t.test(
  'close: nothing is admitted from that turn on; it answers when durable and drained',
  async (t) => {
    const rig = await Rig.make()
    await rig.volumes.activate({ order: order(1), map: map5 })
    await settle()
    rig.volume.begun.begin()
    rig.volume.begun.begin()
    rig.keyValue.hold = true
    const closing = rig.close(order(2))
    t.equal(rig.fence()?.state, 'closed', 'in the same turn')
    const seen = watch(closing)
    await rig.clock.advance(30)
    rig.volume.begun.end()
    await settle()
    t.equal(seen.state, 'pending', 'one operation has not ended')
    rig.volume.begun.end()
    await settle()
    t.equal(seen.state, 'pending', 'ended, but not yet durable')
    rig.keyValue.release()
    t.match(await closing, { generation: 5, drainedMs: 30, leaseLeftMs: 0, segments: [] })
    rig.volume.begun.begin()
    rig.keyValue.hold = false
    const again = watch(rig.close(order(3)))
    await settle()
    await settle()
    t.equal(again.state, 'pending', 'durable, but not drained')
    rig.volume.begun.end()
    await settle()
    t.equal(again.state, 'done')
  },
)

t.test('a close whose record cannot be kept is an error, and the volume stays shut', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1), map: map5 })
  await settle()
  rig.keyValue.fail = true
  await t.rejects(rig.close(order(2)), { code: 'io-error' })
  t.equal(rig.fence()?.state, 'closed')
})

t.test(
  'a restart stays closed, and what was open is not served before a manager answered',
  async (t) => {
    const rig = await Rig.make()
    await rig.volumes.activate({ order: order(1), map: map5 })
    await settle()
    await rig.restart()
    t.equal(rig.fence()?.state, 'unconfirmed')
    t.ok(rig.volume.needsAnswer)
    t.match(rig.volume.describe(0), { serving: false, generation: 5, order: order(1) })
    await rig.close(order(2))
    await rig.restart()
    t.equal(rig.fence()?.state, 'closed')
    t.strictSame(rig.volume.describe(3), {
      volumeId: map5.volumeId,
      name: 'vol',
      generation: 5,
      closed: order(2),
      incarnations: [{ segmentId: first.segmentId, incarnation: 'store-1' }],
      serving: false,
      order: order(2),
      sessions: 3,
      segments: [],
    })
    await rig.volumes.reopen({ order: order(3), volumeId: map5.volumeId, closed: order(2) })
    t.equal(rig.fence()?.state, 'unconfirmed', 'the close is undone, the restart is not')
    t.ok(rig.volume.needsAnswer)
    await rig.volumes.activate({ order: order(4), map: map5 })
    t.equal(rig.fence()?.state, 'open')
    t.ok(rig.volume.describe(0).serving)
  },
)

t.test('orders: every message must be above the highest seen, also after a restart', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(5), map: map5 })
  for (const low of [order(5), order(4), order(9, 0)]) {
    await t.rejects(rig.close(low), { code: 'conflict' })
    await t.rejects(rig.volumes.activate({ order: low, map: map6 }), { code: 'conflict' })
    await t.rejects(rig.volumes.reopen({ order: low, volumeId: map5.volumeId, closed: order(5) }), {
      code: 'conflict',
    })
  }
  t.match(rig.fence(), { state: 'open', generation: 5 })
  await rig.close(order(1, 2))
  await rig.restart()
  await t.rejects(rig.volumes.activate({ order: order(99), map: map6 }), { code: 'conflict' })
  await rig.volumes.activate({ order: order(2, 2), map: map6 })
  t.match(rig.fence(), { state: 'open', generation: 6 })
})

t.test('a term that was succeeded is refused for every volume', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1, 3), map: map5 })
  const elsewhere = testMap({
    volumeId: testUuid(0xdef),
    name: 'b',
    segments: [testSegment(0x20, 0, 8, [me])],
  })
  await t.rejects(rig.volumes.activate({ order: order(7, 2), map: elsewhere }), /succeeded/)
  t.equal(rig.volumes.get(elsewhere.volumeId), undefined)
})

t.test('activate of an open volume shuts it and waits for its own operations', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1), map: map5 })
  rig.volume.begun.begin()
  const seen = watch(rig.volumes.activate({ order: order(2), map: map6 }))
  await settle()
  t.match(rig.fence(), { state: 'closed', generation: 5 })
  t.equal(seen.state, 'pending')
  rig.volume.begun.end()
  await settle()
  t.match(rig.fence(), { state: 'open', generation: 6 })
  t.equal(seen.state, 'done')
})

t.test('activate of the generation held already interrupts nothing', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1), map: map5 })
  rig.volume.begun.begin()
  await rig.volumes.activate({ order: order(2), map: map5 })
  t.match(rig.fence(), { state: 'open', generation: 5 })
  t.notOk(rig.changes.includes('closed'))
})

t.test('an older generation is never taken up', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1), map: map6 })
  await t.rejects(rig.volumes.activate({ order: order(2), map: map5 }), /older/)
  t.match(rig.fence(), { state: 'open', generation: 6 })
})

t.test('a close that comes while a map is taken up wins; the activate does not open', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1), map: map5 })
  rig.volume.begun.begin()
  const activating = rig.volumes.activate({ order: order(2), map: map6 })
  const overtaken = t.rejects(activating, /overtaken/)
  const closing = rig.close(order(3))
  rig.volume.begun.end()
  await overtaken
  t.match(await closing, { generation: 5 })
  t.equal(rig.fence()?.state, 'closed')
  // Somebody committed generation 6: that nothing was committed cannot be true.
  await t.rejects(
    rig.volumes.reopen({ order: order(4), volumeId: map5.volumeId, closed: order(3) }),
    { code: 'conflict' },
  )
  await rig.volumes.activate({ order: order(5), map: map6 })
  t.match(rig.fence(), { state: 'open', generation: 6 })
})

t.test('a close that was overtaken while it waited does not claim to be closed', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1), map: map5 })
  rig.volume.begun.begin()
  const overtaken = t.rejects(rig.close(order(2)), /overtaken/)
  await rig.volumes.reopen({ order: order(3), volumeId: map5.volumeId, closed: order(2) })
  t.equal(rig.fence()?.state, 'open')
  rig.volume.begun.end()
  await overtaken
})

t.test('reopen undoes exactly the close it names, and the first close of several', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1), map: map5 })
  await rig.close(order(2))
  await rig.close(order(3))
  const { volumeId } = map5
  await t.rejects(rig.volumes.reopen({ order: order(4), volumeId, closed: order(3) }), {
    code: 'conflict',
  })
  t.equal(rig.fence()?.state, 'closed', 'the change that the first close was for may be committed')
  await rig.volumes.reopen({ order: order(5), volumeId, closed: order(2) })
  t.equal(rig.fence()?.state, 'open')
  await t.rejects(rig.volumes.reopen({ order: order(6), volumeId, closed: order(2) }), /not at all/)
})

t.test(
  'grow resizes and adds, a segment moved away is dropped, a deleted map drops all',
  async (t) => {
    const rig = await Rig.make()
    await rig.volumes.activate({ order: order(1), map: map5 })
    const grown = testSegment(0x10, 0, 2000, [me])
    const second = testSegment(0x11, 2000, 50, [me])
    const elsewhere = testSegment(0x12, 2050, 50, [other])
    await rig.volumes.activate({
      order: order(2),
      map: testMap({ generation: 6, segments: [grown, second, elsewhere] }),
    })
    t.strictSame([...rig.store.replicas.values()], [2000, 50])
    const moved = testSegment(0x10, 0, 2000, [other])
    await rig.volumes.activate({
      order: order(3),
      map: testMap({ generation: 7, segments: [moved, second] }),
    })
    t.equal(rig.fence(), undefined)
    t.equal(rig.fence(second.segmentId)?.state, 'open')
    await rig.volumes.activate({
      order: order(4),
      map: testMap({ generation: 8, segments: [second], deleted: true }),
    })
    t.equal(rig.store.replicas.size, 0)
    t.equal(rig.volume.views.size, 0)
    t.equal(rig.volume.needsAnswer, false)
    await settle()
    await rig.restart()
    await t.rejects(rig.volumes.activate({ order: order(2), map: map6 }), { code: 'conflict' })
    t.equal(rig.store.replicas.size, 0, 'a delayed order does not bring it back')
    t.strictSame(rig.store.done, [
      'create 10 1000',
      'resize 10 2000',
      'create 11 50',
      'drop 10',
      'drop 11',
    ])
  },
)

t.test('a store of another incarnation is not served until the map names it', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1), map: map5 })
  rig.store.incarnation = 'store-1b'
  rig.volumes.storeChanged()
  t.equal(rig.fence()?.state, 'unconfirmed')
  t.ok(rig.volume.needsAnswer)
  t.match(rig.volume.describe(0), {
    serving: false,
    incarnations: [{ segmentId: first.segmentId, incarnation: 'store-1b' }],
  })
  await rig.volumes.activate({ order: order(2), map: map5 })
  t.equal(rig.fence()?.state, 'unconfirmed', 'a manager that did not hear of it changes nothing')
  const renewed = testSegment(0x10, 0, 1000, [{ ...me, incarnation: 'store-1b' }])
  await rig.volumes.activate({
    order: order(3),
    map: testMap({ generation: 6, segments: [renewed] }),
  })
  t.match(rig.fence(), { state: 'open', generation: 6 })
})

t.test(
  'a replica that vanished from a store that lost nothing is not replaced by an empty one',
  async (t) => {
    const rig = await Rig.make()
    await rig.volumes.activate({ order: order(1), map: map5 })
    await settle()
    rig.store.replicas.clear()
    await rig.restart()
    t.equal(rig.fence()?.state, 'unconfirmed')
    await t.rejects(rig.volumes.activate({ order: order(2), map: map5 }), { code: 'not-a-store' })
    t.not(rig.fence()?.state, 'open')
  },
)

t.test('two maps in a row make and drop one after the other', async (t) => {
  const rig = await Rig.make()
  let open = (): unknown => t.fail('not yet made')
  rig.store.gate = new Promise((resolve) => {
    open = resolve
  })
  const overtaken = t.rejects(rig.volumes.activate({ order: order(1), map: map5 }), /overtaken/)
  const second = rig.volumes.activate({ order: order(2), map: map6 })
  await settle()
  t.strictSame(rig.store.done, ['create 10 1000'], 'the second waits')
  open()
  await overtaken
  await second
  t.strictSame(rig.store.done, ['create 10 1000'], 'and finds the replica made')
  t.match(rig.fence(), { state: 'open', generation: 6 })
})

t.test('an opening that cannot be kept is taken back', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1), map: map5 })
  rig.keyValue.fail = true
  await rig.volumes.activate({ order: order(2), map: map6 })
  t.equal(rig.fence()?.state, 'open', 'served before it is durable')
  await settle()
  await settle()
  t.equal(rig.fence()?.state, 'unconfirmed')
})

t.test('the first map of a volume is durable when it is confirmed', async (t) => {
  const rig = await Rig.make()
  rig.keyValue.hold = true
  const seen = watch(rig.volumes.activate({ order: order(1), map: map5 }))
  await settle()
  t.equal(seen.state, 'pending', 'or a restart would not know that there is something to ask about')
  rig.keyValue.release()
  await settle()
  t.equal(seen.state, 'done')
})

t.test(
  'a first map that was not taken up, closed, restarted: its replica can still be made',
  async (t) => {
    const rig = await Rig.make()
    rig.store.gate = Promise.reject(new StorageError('no-space', 'the disk is full'))
    await t.rejects(rig.volumes.activate({ order: order(1), map: map5 }), { code: 'no-space' })
    await rig.volumes.close({ order: order(2), volumeId: map5.volumeId })
    await rig.restart()
    rig.store.gate = undefined
    await rig.volumes.activate({ order: order(3), map: map6 })
    t.equal(rig.volume.state, 'open')
    rig.store.replicas.clear()
    const lost = rig.volumes.activate({ order: order(4), map: { ...map6, generation: 7 } })
    await t.rejects(lost, { code: 'not-a-store' }, 'but never in the place of one that vanished')
  },
)

t.test('while the store is not open nothing is served and nothing asked', async (t) => {
  const rig = await Rig.make()
  await rig.volumes.activate({ order: order(1), map: map5 })
  rig.store.incarnation = undefined
  rig.volumes.storeChanged()
  t.equal(rig.fence()?.state, 'unconfirmed')
  t.notOk(rig.volume.needsAnswer)
  t.strictSame(rig.volume.describe(0).incarnations, [])
  rig.store.incarnation = 'store-1c'
  rig.volumes.storeChanged()
  t.ok(rig.volume.needsAnswer)
})

t.test('fenced clients and the primary are read from the map', async (t) => {
  const rig = await Rig.make()
  const admissions = [
    { client: testClient, admission: 1, fenced: true },
    { client: otherClient, admission: 2, fenced: false },
  ]
  const asSecondary = testSegment(0x10, 0, 1000, [other, me])
  await rig.volumes.activate({
    order: order(1),
    map: testMap({ segments: [asSecondary], admissions, stalePolicy: 'ignore' }),
  })
  const fence = rig.fence()
  t.strictSame([...(fence?.fencedClients ?? [])], [testClient])
  t.match(fence, { primary: false, stalePolicy: 'ignore' })
  t.equal(fence?.primaryInitiator, `iqn.2026-11.io.palisade:client:${other.serverId}`)
})

t.test('a damaged record stops the server, it is not passed over', async (t) => {
  const rig = await Rig.make()
  rig.keyValue.durable.set('volume/x', Buffer.from('ffffffff', 'hex'))
  await t.rejects(rig.restart(), { code: 'not-a-store' })
})

t.test('a volume of which nothing is held', async (t) => {
  const rig = await Rig.make()
  await t.rejects(rig.close(order(1)), { code: 'not-found' })
  const reopening = rig.volumes.reopen({ order: order(2), volumeId: testUuid(7), closed: order(1) })
  await t.rejects(reopening, { code: 'not-found' })
})

/** A segment as a logical unit: compared twice, counted while it touches the store, never a false GOOD. */
import t from 'tap'
import { StorageError } from '../../../../src/base/errors.ts'
import type { PortalTask } from '../../../../src/portal/portal-host.ts'
import type { Silence } from '../../../../src/scsi/logical-unit.ts'
import type { ScsiResult } from '../../../../src/scsi/result.ts'
import type { Fence } from '../../../../src/volume/generation-header.ts'
import type { VolumeMap } from '../../../../src/volume/map.ts'
import { VolumeTarget } from '../../../../targets/lun/volume-target.ts'
import { HeldVolumes } from '../../../../targets/replica/held-volumes.ts'
import { VolumeRecords } from '../../../../targets/replica/volume-records.ts'
import type { Change, ReplicaStore } from '../../../../targets/store/replica-store.ts'
import { ManualClock, settle } from '../../../support/manual-clock.ts'
import { MemoryKeyValue } from '../../../support/memory-key-value.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import { testClient, testMap, testSegment, testUuid } from '../../../support/volume-maps.ts'

/** A store whose operations end when the test says so. */
class GatedStore implements ReplicaStore {
  readonly blocks = 5000
  readonly blockBytes = 512
  readonly atomicBlocks = 2048
  readonly thin = true
  readonly calls: string[] = []
  readonly #waiting: ((error?: Error) => void)[] = []

  async read(lba: number, blocks: number): Promise<Buffer[]> {
    await this.#gate(`read ${lba} ${blocks}`)
    return [Buffer.alloc(blocks * 512, 7)]
  }
  write(lba: number, data: readonly Buffer[]): Promise<void> {
    const bytes = data.reduce((sum, { length }) => sum + length, 0)
    return this.#gate(`write ${lba} ${bytes / 512}`)
  }
  async update(lba: number, blocks: number, change: Change): Promise<void> {
    await this.#gate(`update ${lba} ${blocks}`)
    change([Buffer.alloc(blocks * 512, 7)])
  }
  writeAtomic(lba: number, data: readonly Buffer[]): Promise<void> {
    const bytes = data.reduce((sum, { length }) => sum + length, 0)
    return this.#gate(`writeAtomic ${lba} ${bytes / 512}`)
  }
  unmap(lba: number, blocks: number): Promise<void> {
    return this.#gate(`unmap ${lba} ${blocks}`)
  }
  flush(): Promise<void> {
    return this.#gate('flush')
  }
  run() {
    return { mapped: true, blocks: this.blocks }
  }

  /** Ends the oldest operation, and lets what waits for it go on. */
  async step(error?: Error): Promise<void> {
    this.#waiting.shift()?.(error)
    await settle()
  }

  #gate(call: string): Promise<void> {
    this.calls.push(call)
    return new Promise((resolve, reject) => {
      this.#waiting.push((error) => (error === undefined ? resolve() : reject(error)))
    })
  }
}

const me = { serverId: testUuid(1), name: 's1', incarnation: 'store-1' }
const segment = testSegment(0x10, 0, 5000, [me])
const map5 = testMap({ generation: 5, segments: [segment] })

async function setUp() {
  const replicas = new Map<string, number>()
  const volumes = await HeldVolumes.load({
    serverId: me.serverId,
    store: {
      incarnation: 'store-1',
      replicaBlocks: (id) => replicas.get(id),
      createReplica: async (id, blocks) => {
        replicas.set(id, blocks)
      },
      resizeReplica: async (id, blocks) => {
        replicas.set(id, blocks)
      },
      dropReplica: async (id) => {
        replicas.delete(id)
      },
    },
    records: new VolumeRecords(new MemoryKeyValue()),
    clock: new ManualClock(),
    log: quietLog,
    changed: () => undefined,
  })
  let number = 0
  const nextOrder = () => ({ term: 1, number: ++number })
  const activate = (map: VolumeMap) => volumes.activate({ order: nextOrder(), map })
  await activate(map5)
  const volume = volumes.get(map5.volumeId)
  if (volume === undefined) throw new Error('no volume')
  const store = new GatedStore()
  const newer: number[] = []
  const target = new VolumeTarget({
    volume,
    replica: () => store,
    newerSeen: ({ map }) => newer.push(map.generation),
  })
  const close = () => volumes.close({ order: nextOrder(), volumeId: map5.volumeId })
  return { volumes, volume, store, target, newer, activate, close }
}

function taskOf(cdb: Buffer, fence: Fence = header(5n)): PortalTask {
  const nexus = { initiatorName: testClient, initiatorPort: `${testClient},i,0x1`, targetName: 't' }
  const session = { nexus, generationVersion: 1 } as PortalTask['session']
  return { nexus, lun: 0, cdb, aborted: false, fence, session, whenAborted: () => undefined }
}

function header(generation: bigint, flags = 0): Fence {
  return { kind: 'header', flags, generation }
}

function cdb(hex: string): Buffer {
  return Buffer.from(hex, 'hex')
}

const write8 = cdb('2a000000000800000800')
const read8 = cdb('28000000000800000800')
const eightBlocks = [Buffer.alloc(8 * 512, 1)]

/** Status, and what the sense says. */
function told(result: ScsiResult | Silence | undefined): string {
  if (result === undefined) return 'passes'
  if (result === 'drop') return 'drop'
  if (result.status !== 0x02) return `status ${result.status}`
  const { key, asc, ascq } = result.sense
  return [key, asc, ascq].map((byte) => byte.toString(16).padStart(2, '0')).join('/')
}

t.test('compared when it arrives and again when the store is to be touched', async (t) => {
  const { target, store, activate, newer } = await setUp()
  const task = taskOf(write8)
  t.equal(told(target.target.arrive(task)), 'passes')
  await activate({ ...map5, generation: 6 })
  t.equal(told(await target.target.execute(task, eightBlocks)), '0b/80/01')
  t.strictSame(store.calls, [], 'the store was not touched')
  t.equal(told(target.target.arrive(taskOf(write8, header(7n)))), '0b/80/02')
  t.strictSame(newer, [6], 'a newer one was told of')
  t.match(target.counters.describe('v', { resyncedBytes: 0, repairedBytes: 0 }), {
    refusals: [
      { reason: 1, count: 1 },
      { reason: 2, count: 1 },
    ],
  })
})

t.test(
  'the store is called in the turn of the comparison, and a close waits for its end',
  async (t) => {
    const { target, store, volume, close } = await setUp()
    const task = taskOf(write8)
    target.target.arrive(task)
    const writing = target.target.execute(task, eightBlocks)
    t.strictSame(store.calls, ['write 8 8'], 'in the same turn')
    t.equal(volume.begun.count, 1)
    let closed = false
    const closing = close().then(() => {
      closed = true
    })
    await settle()
    await settle()
    t.notOk(closed)
    await store.step()
    t.equal(told(await writing), 'status 0')
    await closing
    t.equal(volume.begun.count, 0)
    t.equal(told(await target.target.execute(taskOf(write8), eightBlocks)), '0b/80/03')
  },
)

t.test(
  'FUA, flush, unmap and read: one begun operation each, until the last of it ended',
  async (t) => {
    const { target, store, volume } = await setUp()
    const fua = target.target.execute(taskOf(cdb('2a080000000800000800')), eightBlocks)
    await store.step()
    t.strictSame(store.calls, ['write 8 8', 'flush'])
    t.equal(volume.begun.count, 1, 'not ended before the flush')
    await store.step()
    t.equal(told(await fua), 'status 0')
    const list = cdb(
      '002600200000000000000000000000010000000a000000000000000000000020000000080000000',
    )
    const twoExtents = Buffer.concat([list, Buffer.alloc(40 - list.length)])
    const unmapping = target.target.execute(taskOf(cdb('42000000000000002800')), [twoExtents])
    await store.step(new StorageError('io-error', 'the test'))
    t.equal(told(await unmapping), '03/0c/00')
    t.equal(volume.begun.count, 0)
    const reading = target.target.execute(taskOf(read8), [])
    await store.step()
    const read = await reading
    t.ok(read !== 'drop' && read.status === 0 && Buffer.concat(read.dataIn).length === 4096)
    t.match(target.counters.describe('v', { resyncedBytes: 0, repairedBytes: 0 }), {
      reads: 1,
      readBytes: 4096,
      writes: 1,
      writtenBytes: 4096,
    })
  },
)

t.test('updates: compared and counted like a write, in the same turn', async (t) => {
  const updates: [Buffer, Buffer[], string][] = [
    [cdb('8900000000000000000800000001'.padEnd(32, '0')), [Buffer.alloc(1024, 7)], 'update 8 1'],
    [cdb('8b00000000000000000800000008'.padEnd(32, '0')), eightBlocks, 'update 8 8'],
    [cdb('9c00000000000000000800000008'.padEnd(32, '0')), eightBlocks, 'writeAtomic 8 8'],
  ]
  for (const [update, data, call] of updates) {
    const { target, store, volume, activate } = await setUp()
    const forced = Buffer.from(update)
    forced[1] = 0x08
    const done = target.target.execute(taskOf(forced), data)
    t.strictSame(store.calls.splice(0), [call])
    t.equal(volume.begun.count, 1)
    await store.step()
    t.strictSame(store.calls.splice(0), ['flush'], 'FUA')
    t.equal(volume.begun.count, 1)
    await store.step()
    t.equal(told(await done), 'status 0')
    t.equal(volume.begun.count, 0)
    t.match(target.counters.describe('v', { resyncedBytes: 0, repairedBytes: 0 }), {
      writes: 1,
      writtenBytes: call.endsWith('1') ? 512 : 4096,
    })
    const late = taskOf(update)
    t.equal(told(target.target.arrive(late)), 'passes')
    await activate({ ...map5, generation: 6 })
    t.equal(told(await target.target.execute(late, data)), '0b/80/01')
    t.strictSame(store.calls, [])
  }
  const { target, store } = await setUp()
  const [swap] = updates[0]!
  const other = target.target.execute(taskOf(swap), [Buffer.alloc(1024, 8)])
  await store.step()
  t.equal(told(await other), '0e/1d/00')
  const status = cdb('9e120000000000000008000000180000')
  const told16 = target.target.execute(taskOf(status), [])
  await settle()
  const answer = await told16
  t.ok(answer !== 'drop' && answer.status === 0 && answer.dataIn[0]!.readUInt32BE(16) === 4992)
})

t.test('a read-only volume: servers refuse writes of whoever comes', async (t) => {
  const { target, store, activate } = await setUp()
  await activate({ ...map5, generation: 6, readOnly: true, blocks: 5001 })
  const fence = header(6n)
  t.equal(told(target.target.arrive(taskOf(write8, fence))), '07/27/00')
  t.equal(told(target.target.arrive(taskOf(read8, fence))), 'passes')
  t.strictSame(store.calls, [])
})

t.test('a store that fails is never GOOD', async (t) => {
  const { target, store, volume } = await setUp()
  const cases = [
    [write8, new StorageError('io-error', 'the test'), '03/0c/00'],
    [write8, new StorageError('no-space', 'the test'), '07/27/07'],
    [write8, new StorageError('invalid', 'the test'), '05/21/00'],
    [read8, new StorageError('io-error', 'the test'), '03/11/00'],
    [cdb('35000000000000000000'), new StorageError('io-error', 'the test'), '03/0c/00'],
  ] as const
  for (const [command, error, expected] of cases) {
    const running = target.target.execute(taskOf(command), eightBlocks)
    await store.step(error)
    t.equal(told(await running), expected)
    t.equal(volume.begun.count, 0)
  }
})

t.test(
  'a command of several writes, of which one has begun, is interrupted and not refused',
  async (t) => {
    const { target, store, close } = await setUp()
    // WRITE SAME (10) to the end, of ones: more than one piece of 1 MiB.
    const task = taskOf(cdb('41000000000000000000'))
    t.equal(told(target.target.arrive(task)), 'passes')
    const running = target.target.execute(task, [Buffer.alloc(512, 1)])
    await settle()
    t.strictSame(store.calls, ['write 0 2048'])
    const closing = close()
    await store.step()
    t.equal(told(await running), '0b/80/06')
    t.strictSame(store.calls, ['write 0 2048'], 'the second piece was not begun')
    await closing
  },
)

t.test('policy ignore, and what is not compared', async (t) => {
  const { target, activate } = await setUp()
  await activate({ ...map5, generation: 6, stalePolicy: 'ignore' })
  t.equal(told(target.target.arrive(taskOf(write8))), 'drop')
  t.equal(told(await target.target.execute(taskOf(write8), eightBlocks)), 'drop')
  t.equal(told(target.target.arrive(taskOf(cdb('120000002400')))), 'passes', 'INQUIRY')
  t.equal(told(target.target.arrive(taskOf(cdb('000000000000')))), 'passes', 'TEST UNIT READY')
  t.equal(told(target.target.arrive(taskOf(cdb('25000000000000000000')))), 'drop', 'READ CAPACITY')
})

t.test('units follow the map: numbers, sizes, and their end', async (t) => {
  const { target, activate } = await setUp()
  t.equal(target.targetName, 'iqn.2026-11.io.palisade:s1:vol')
  const second = testSegment(0x11, 5000, 64, [me])
  const [replica] = second.replicas
  if (replica === undefined) throw new Error('no replica')
  const atLun1 = { ...second, replicas: [{ ...replica, lun: 1 }] }
  await activate({ ...map5, generation: 6, segments: [segment, atLun1] })
  const reportLuns = cdb('a00000000000000001000000')
  const listed = await target.target.execute(taskOf(reportLuns), [])
  if (listed === 'drop' || listed.status !== 0) throw new Error('REPORT LUNS failed')
  t.equal(Buffer.concat(listed.dataIn).readUInt32BE(0), 16, 'two units')
  const capacity = async (lun: number): Promise<string> => {
    const task = { ...taskOf(cdb('25000000000000000000'), header(6n)), lun }
    const result = await target.target.execute(task, [])
    return result !== 'drop' && result.status === 0
      ? `last ${Buffer.concat(result.dataIn).readUInt32BE(0)}`
      : told(result)
  }
  t.equal(await capacity(0), 'last 4999')
  t.equal(await capacity(1), 'last 63')
  await activate({ ...map5, generation: 7, segments: [segment], deleted: true })
  t.equal(await capacity(0), '05/25/00')
  t.equal(target.targetName, undefined)
})

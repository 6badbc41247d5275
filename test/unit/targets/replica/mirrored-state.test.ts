/**
 * The state of a volume whose segments have several replicas: what it says of partners and to whom,
 * how servers that are primaries for each other close together, and what a map that is taken up
 * asks of the masks before anything is served.
 */
import t from 'tap'
import { StorageError } from '../../../../src/base/errors.ts'
import { mirror, storageServer } from '../../../../src/base/limits.ts'
import type { ConditionRequest } from '../../../../src/control/messages/client.ts'
import type { PartnerState, SegmentCondition } from '../../../../src/control/messages/server.ts'
import type { VolumeMap } from '../../../../src/volume/map.ts'
import { ConditionReports } from '../../../../targets/replica/condition-reports.ts'
import type { HeldVolume } from '../../../../targets/replica/held-volume.ts'
import { HeldVolumes } from '../../../../targets/replica/held-volumes.ts'
import type { MapChange, VolumeMirrors } from '../../../../targets/replica/volume-mirrors.ts'
import { VolumeRecords } from '../../../../targets/replica/volume-records.ts'
import { ManualClock, settle } from '../../../support/manual-clock.ts'
import { MemoryKeyValue } from '../../../support/memory-key-value.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import { testMap, testSegment, testUuid } from '../../../support/volume-maps.ts'

const me = { serverId: testUuid(1), name: 's1', incarnation: 'store-1' }
const other = { serverId: testUuid(2), name: 's2', incarnation: 'store-2' }
const led = testSegment(0x10, 0, 1000, [me, other])
const followed = testSegment(0x11, 1000, 1000, [other, me])
const map5 = testMap({ generation: 5, segments: [led, followed] })

/** What is said of partners is what the test says. */
class SaidMirrors implements VolumeMirrors {
  said: SegmentCondition[] = []
  readonly prepared: MapChange[] = []
  gate: Promise<void> | undefined

  async prepare(change: MapChange): Promise<void> {
    this.prepared.push(change)
    await this.gate
  }
  look(): void {
    // Nothing follows from it here.
  }
  async settle(): Promise<void> {
    await Promise.resolve()
  }
  conditions(): SegmentCondition[] {
    return this.said
  }
  leaseLeftMs(): number {
    return 1_234.5
  }
}

async function setUp(map: VolumeMap = map5) {
  const clock = new ManualClock()
  const records = new MemoryKeyValue()
  const replicas = new Map<string, number>()
  const mirrors = new SaidMirrors()
  const create = async (id: string, blocks: number) => {
    replicas.set(id, blocks)
  }
  const start = () =>
    HeldVolumes.load({
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
      records: new VolumeRecords(records),
      clock,
      log: quietLog,
      changed: () => undefined,
      mirrors: () => mirrors,
    })
  const volumes = await start()
  let number = 0
  const order = () => ({ term: 1, number: ++number })
  const activate = (next: VolumeMap) => volumes.activate({ order: order(), map: next })
  await activate(map)
  const volume = volumes.get(map.volumeId) as HeldVolume
  const close = () => volumes.close({ order: order(), volumeId: map.volumeId })
  const state = (segmentId: string) => volume.views.get(segmentId)?.fence.state
  return { clock, replicas, mirrors, volume, activate, close, state, start }
}

t.test('a close says what is seen of partners, and for how long a lease may run', async (t) => {
  const { close, mirrors, clock } = await setUp()
  mirrors.said = [conditionOf('silent')]
  const closing = close()
  await clock.advance(storageServer.lingerMs)
  t.match(await closing, {
    generation: 5,
    leaseLeftMs: 1_235,
    segments: [conditionOf('silent')],
    incarnations: [{ incarnation: 'store-1' }, { incarnation: 'store-1' }],
  })
})

t.test('closed to clients at once, to other primaries when all have ended', async (t) => {
  const { close, volume, state, clock } = await setUp()
  volume.begun.begin()
  const closing = close()
  t.equal(state(led.segmentId), 'closed')
  t.equal(state(followed.segmentId), 'open', 'another primary may need it to end its own')
  await clock.advance(storageServer.lingerMs * 3)
  t.equal(state(followed.segmentId), 'open', 'as long as it waits for others itself')
  volume.begun.end()
  await settle()
  for (let i = 0; i < 3; i++) {
    volume.replicated.begin()
    volume.replicated.end()
    await clock.advance(storageServer.lingerQuietMs)
    t.equal(state(followed.segmentId), 'open', 'they still send')
  }
  await clock.advance(storageServer.lingerQuietMs)
  t.equal(state(followed.segmentId), 'closed')
  t.match(await closing, { generation: 5 })
})

t.test('primaries that send on and on are not waited for', async (t) => {
  const { close, volume, state, clock } = await setUp()
  const closing = close()
  for (let ms = 0; ms <= storageServer.lingerMs; ms += storageServer.lingerQuietMs) {
    volume.replicated.begin()
    volume.replicated.end()
    await clock.advance(storageServer.lingerQuietMs)
  }
  t.equal(state(followed.segmentId), 'closed')
  await closing
})

t.test('a server that only follows is closed to all in the turn of the order', async (t) => {
  const { close, state } = await setUp(testMap({ generation: 5, segments: [followed] }))
  const closing = close()
  t.equal(state(followed.segmentId), 'closed')
  await closing
})

t.test('nothing is served under a map before the masks are prepared for it', async (t) => {
  const { activate, mirrors, volume, state, clock } = await setUp()
  t.strictSame(
    [...(mirrors.prepared[0]?.created ?? [])],
    [led.segmentId, followed.segmentId],
    'masks of replicas that are made mean nothing',
  )
  let release = (): void => undefined
  mirrors.gate = new Promise((resolve) => {
    release = resolve
  })
  const activating = activate({ ...map5, generation: 6 })
  await clock.advance(storageServer.lingerMs)
  t.match(mirrors.prepared[1], { from: { generation: 5 }, to: { generation: 6 } })
  t.equal(mirrors.prepared[1]?.created.size, 0)
  t.equal(state(led.segmentId), 'closed')
  release()
  await activating
  t.equal(state(led.segmentId), 'open')
  t.equal(volume.inSyncGeneration(led.segmentId), 6)
})

t.test('a replica that had to be made anew was never in sync, also after a restart', async (t) => {
  const { replicas, volume, start, clock } = await setUp()
  t.equal(volume.inSyncGeneration(led.segmentId), 5)
  replicas.delete(led.segmentId)
  const volumes = await start()
  const again = volumes.get(map5.volumeId) as HeldVolume
  const anotherStore = { ...me, incarnation: 'store-0' }
  const segments = [testSegment(0x10, 0, 1000, [other, anotherStore]), followed]
  const map6 = testMap({ generation: 6, segments })
  const activating = volumes.activate({ order: { term: 2, number: 1 }, map: map6 })
  // The map that is held believes in this very store: nothing is made in the place of what was lost.
  const refused = t.rejects(activating, StorageError)
  await clock.advance(storageServer.lingerMs)
  await refused
  t.equal(again.inSyncGeneration(led.segmentId), 0)
  const restarted = await start()
  t.equal(restarted.get(map5.volumeId)?.inSyncGeneration(led.segmentId), 0)
})

function conditionOf(state: PartnerState): SegmentCondition {
  const none = { behindBytes: 0, totalBytes: 0, bytesPerSecond: 0, copiedBytes: 0 }
  return {
    segmentId: led.segmentId,
    partners: [{ ...none, serverId: other.serverId, state, incarnation: 'store-2' }],
    primarySilent: false,
    comparingBytes: 0,
    diskFailed: false,
  }
}

t.test('what a manager acts on is told at once, progress now and then', async (t) => {
  const { volume, mirrors, clock } = await setUp()
  const told: { atMs: number; state: string | undefined }[] = []
  let reachable = true
  const reports = new ConditionReports({
    configuration: {
      condition: async ({ volume: said }: ConditionRequest) => {
        if (!reachable) throw new StorageError('unreachable', 'the test')
        told.push({ atMs: clock.nowMs(), state: said.segments[0]?.partners[0]?.state })
        return {}
      },
    },
    ...{ serverId: me.serverId, clock, log: quietLog },
    volumes: () => [volume],
    describe: (which) => which.describe(0),
  })
  reports.start()
  await clock.advance(1_000)
  t.strictSame(told, [], 'there is nothing to say')
  mirrors.said = [conditionOf('silent')]
  reports.look(volume)
  await settle()
  t.strictSame(told.splice(0), [{ atMs: 1_000, state: 'silent' }])
  await clock.advance(2_000)
  t.strictSame(told, [], 'told once')
  mirrors.said = [conditionOf('copying')]
  await clock.advance(mirror.conditionLookMs + 2 * mirror.progressMs)
  const times = told.splice(0).map(({ atMs }) => atMs)
  t.ok(times.length >= 2 && times.length <= 4, `told ${times.length} times`)
  t.equal(times[0], 3_000 + mirror.conditionLookMs, 'it looks by itself')
  reachable = false
  mirrors.said = [conditionOf('up-to-date')]
  await clock.advance(1_000)
  reachable = true
  await clock.advance(mirror.conditionRetryMs + mirror.conditionLookMs)
  t.match(told.splice(0), [{ state: 'up-to-date' }], 'and again until somebody has heard it')
  reports.tellAnew()
  await settle()
  t.match(told.splice(0), [{ state: 'up-to-date' }], 'another manager knows nothing of it')
  reports.stop()
  mirrors.said = [conditionOf('silent')]
  await clock.advance(1_000)
  t.strictSame(told, [])
})

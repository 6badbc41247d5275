/** A comparison that an administrator asked for, over closes, changes of map, and copies that are away. */
import t from 'tap'
import { mirror } from '../../../../src/base/limits.ts'
import { Throttle } from '../../../../targets/mirror/throttle.ts'
import { type Bench, Verifier } from '../../../../targets/mirror/verifier.ts'
import { ManualClock, settle } from '../../../support/manual-clock.ts'
import {
  MemoryMirror,
  memoryBlockBytes,
  memoryMasks,
  regionBlocks,
} from '../../../support/memory-mirror.ts'
import { MemoryPartner } from '../../../support/memory-partner.ts'
import { MemoryReplica } from '../../../support/memory-replica.ts'
import { quietLog } from '../../../support/quiet-log.ts'
import { testUuid } from '../../../support/volume-maps.ts'

const regionCount = 8
const blocks = regionCount * regionBlocks
const allBytes = blocks * memoryBlockBytes

interface Rig {
  readonly verifier: Verifier
  readonly primary: MemoryMirror
  readonly partner: MemoryPartner
  readonly clock: ManualClock
  readonly bench: (partners?: readonly MemoryPartner[]) => Bench
}

async function rig(): Promise<Rig> {
  const primary = new MemoryMirror({ blocks, masks: await memoryMasks(blocks) })
  const clock = new ManualClock()
  const partner = new MemoryPartner({
    serverId: testUuid(2),
    store: new MemoryReplica({ blocks }),
    masks: await memoryMasks(blocks),
    digests: primary.digests,
  })
  primary.inSync = [partner]
  const throttle = new Throttle(clock, 0)
  const bench = (partners: readonly MemoryPartner[] = [partner]) => {
    const { store, regions, copy, locks } = primary
    return { partners, store, regions, copy, locks, throttle, log: quietLog }
  }
  return { verifier: new Verifier(clock), primary, partner, clock, bench }
}

async function settled(): Promise<void> {
  for (let turns = 0; turns < 500; turns++) await settle()
}

t.test('it begins when asked and served, and says what it found', async (t) => {
  const { verifier, partner, bench } = await rig()
  t.match(verifier.report(), { state: 'none' })
  verifier.serve(bench())
  t.match(verifier.report(), { state: 'none' }, 'nobody asked')
  partner.store.put(2 * regionBlocks, Buffer.alloc(memoryBlockBytes, 'rotten'))
  verifier.start(false)
  t.match(verifier.report(), { state: 'running' })
  await settled()
  t.match(verifier.report(), {
    state: 'done',
    comparedBytes: allBytes,
    differingPages: 1,
    repairedPages: 0,
    named: [{ serverId: testUuid(2) }],
  })
  verifier.serve(bench())
  t.match(verifier.report(), { state: 'done', differingPages: 1 }, 'kept under another map')
  verifier.start(true)
  await settled()
  t.match(verifier.report(), { state: 'done', differingPages: 1, repairedPages: 1 })
  verifier.forget()
  t.match(verifier.report(), { state: 'none', differingPages: 0, named: [] })
})

t.test('it rests while the volume is closed, and goes on where it was', async (t) => {
  const { verifier, primary, partner, bench } = await rig()
  partner.store.put(regionBlocks, Buffer.alloc(memoryBlockBytes, 'rotten'))
  const lock = primary.locks.write(4 * regionBlocks, 1)
  verifier.serve(bench())
  verifier.start(false)
  await settled()
  t.match(verifier.report(), { state: 'running', comparedBytes: allBytes / 2, differingPages: 1 })
  verifier.rest()
  if (!(lock instanceof Promise)) lock()
  await settled()
  t.match(verifier.report(), { state: 'running', comparedBytes: allBytes / 2 }, 'closed')
  t.ok(primary.locks.idle)
  verifier.serve(bench())
  await settled()
  const found = { state: 'done', comparedBytes: allBytes, differingPages: 1 }
  t.match(verifier.report(), found, 'nothing counts twice')
})

t.test('a copy that is away is tried again for a while', async (t) => {
  const { verifier, partner, clock, bench } = await rig()
  partner.cut()
  verifier.serve(bench())
  verifier.start(false)
  for (let tries = 1; tries < mirror.verifyTries; tries++) {
    await settled()
    t.match(verifier.report(), { state: 'running' }, `after try ${tries}`)
    await clock.advance(mirror.retryLongestMs)
  }
  await settled()
  t.match(verifier.report(), { state: 'failed', cause: /the session ended/ })
  verifier.serve(bench([]))
  t.match(verifier.report(), { state: 'failed' }, 'until somebody asks again')
  verifier.start(false)
  t.match(verifier.report(), { state: 'alone' })
})

t.test('one that comes back in time is compared', async (t) => {
  const { verifier, partner, clock, bench } = await rig()
  partner.cut()
  verifier.serve(bench())
  verifier.start(false)
  await settled()
  await partner.connect()
  await clock.advance(mirror.retryLongestMs)
  await settled()
  t.match(verifier.report(), { state: 'done', comparedBytes: allBytes })
})

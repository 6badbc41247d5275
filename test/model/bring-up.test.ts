/**
 * Random histories of a mirrored segment: clients write while a replica is brought up, or marked
 * regions are compared, and sessions are cut before and after what they carried had its effect.
 * When a replica is called up to date, and after a comparison, copies are equal byte for byte
 * outside writes that are not answered yet.
 */
import t from 'tap'
import type { Random } from '../../src/ports/random.ts'
import { BringUp } from '../../targets/mirror/bring-up.ts'
import { Comparison } from '../../targets/mirror/comparison.ts'
import { Throttle } from '../../targets/mirror/throttle.ts'
import { ManualClock, settle } from '../support/manual-clock.ts'
import {
  MemoryMirror,
  memoryBlockBytes,
  memoryMasks,
  regionBlocks,
} from '../support/memory-mirror.ts'
import { MemoryPartner } from '../support/memory-partner.ts'
import { MemoryReplica } from '../support/memory-replica.ts'
import { quietLog } from '../support/quiet-log.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { testUuid } from '../support/volume-maps.ts'

t.setTimeout(600_000)

const regionCount = 20
/** The last region and the last page are short. */
const blocks = regionCount * regionBlocks - 1000
const seeds = Number(process.env.SEEDS ?? 12)
const firstSeed = Number(process.env.SEED ?? 1)

interface World {
  readonly random: Random
  readonly clock: ManualClock
  readonly primary: MemoryMirror
  readonly pause: () => Promise<void>
  readonly partner: (number: number) => Promise<MemoryPartner>
  /** Clients; they end when told. */
  readonly clients: Client[]
}

async function newWorld(seed: number): Promise<World> {
  const random = seededRandom(seed)
  const pause = async (): Promise<void> => {
    if (random.below(2) > 0) return
    for (let turns = 1 + random.below(3); turns > 0; turns--) await settle()
  }
  const clock = new ManualClock()
  const primary = new MemoryMirror({ blocks, masks: await memoryMasks(blocks), pause, clock })
  const partner = async (number: number): Promise<MemoryPartner> =>
    new MemoryPartner({
      serverId: testUuid(number),
      store: new MemoryReplica({ blocks, blockBytes: memoryBlockBytes, pause }),
      masks: await memoryMasks(blocks),
      digests: primary.digests,
      pause,
      happens: () => random.below(2) === 0,
    })
  return { random, clock, primary, pause, partner, clients: [] }
}

let stamp = 0
function content(count: number): Buffer {
  stamp += 1
  return Buffer.alloc(count * memoryBlockBytes, `${stamp} `)
}

/** Few places, so that they meet: at edges of pages, pieces, regions and the replica. */
function somewhere(random: Random): { lba: number; count: number } {
  const count = 1 + random.below(20)
  const near = random.below(regionCount) * regionBlocks + random.below(2) * 256
  const lba = near + random.below(24) - 12
  return { lba: Math.max(0, Math.min(lba, blocks - count)), count }
}

class Client {
  #stopped = false
  readonly ended: Promise<void>

  constructor(world: World) {
    this.ended = this.#run(world)
  }

  stop(): Promise<void> {
    this.#stopped = true
    return this.ended
  }

  async #run({ random, primary, pause }: World): Promise<void> {
    while (!this.#stopped) {
      const { lba, count } = somewhere(random)
      if (random.below(8) === 0) await primary.unmap(lba, count)
      else await primary.write(lba, content(count))
      if (random.below(12) === 0) await primary.clear(random.below(regionCount))
      await pause()
    }
  }
}

function startClients(world: World, count: number): void {
  for (let i = 0; i < count; i++) world.clients.push(new Client(world))
}

async function stopClients(world: World): Promise<void> {
  await Promise.all(world.clients.splice(0).map((client) => client.stop()))
}

/** Lets time and turns pass, and cuts sessions now and then while `faults`, until it is so. */
async function until(
  world: World,
  condition: () => boolean,
  faults: readonly MemoryPartner[] = [],
): Promise<void> {
  let cuts = 0
  for (let turn = 0; !condition(); turn++) {
    if (turn > 40_000) throw new Error('it never happens')
    const partner = faults[world.random.below(Math.max(1, faults.length))]
    if (partner !== undefined && cuts < 8 && world.random.below(150) === 0) {
      cuts++
      partner.cut()
      await world.pause()
      await partner.connect()
    }
    if (turn % 8 === 0) await world.clock.advance(5)
    else await settle()
  }
}

function fill(world: World, copies: readonly MemoryReplica[]): void {
  for (let i = 0; i < 30; i++) {
    const { lba, count } = somewhere(world.random)
    const data = content(count)
    for (const copy of copies) copy.put(lba, Buffer.from(data))
  }
}

interface Return {
  readonly world: World
  readonly back: MemoryPartner
  readonly states: string[]
  readonly alarms: string[]
  readonly wrong: number[]
  readonly bringUp: BringUp
}

/** A replica was away while clients wrote, and is brought up by a primary with `others` in sync. */
async function returning(
  seed: number,
  others: number,
  meddle: (back: MemoryPartner, world: World) => void = () => undefined,
): Promise<Return> {
  const world = await newWorld(seed)
  const { primary, random, clock } = world
  const back = await world.partner(9)
  for (let i = 0; i < others; i++) primary.inSync.push(await world.partner(2 + i))
  fill(world, [primary.store, back.store, ...primary.inSync.map(({ store }) => store)])
  // It left in generation 1, with some writes that may have reached only a part of all.
  for (let i = 0; i < 3; i++) {
    const { lba, count } = somewhere(random)
    const { firstRegion, endRegion } = primary.regions.of({ lba, blocks: count })
    if (random.below(2) === 0) await primary.masks.mark(firstRegion, endRegion, [])
    else await back.heldMasks.mark(firstRegion, endRegion, [])
    back.store.put(lba, content(count))
  }
  await primary.masks.leave(back.serverId, 1)
  primary.generation = 2
  primary.behind = [back]
  back.generation = 2
  for (const partner of primary.inSync) {
    partner.generation = 2
    partner.behind = [back.serverId]
  }
  startClients(world, 1)
  await until(world, () => primary.store.readsBlocks >= 0 && stamp % 20 === 0)
  await stopClients(world)
  meddle(back, world)
  startClients(world, 3)
  const states: string[] = []
  const alarms: string[] = []
  const wrong: number[] = []
  const bringUp: BringUp = new BringUp({
    partner: back,
    inSync: primary.inSync,
    generation: 2,
    store: primary.store,
    masks: primary.masks,
    activity: primary.activity,
    regions: primary.regions,
    copy: primary.copy,
    locks: primary.locks,
    throttle: new Throttle(clock, 0),
    clock,
    random,
    log: { ...quietLog, error: (event) => alarms.push(event) },
    flushOwn: () => primary.store.flush(),
    changed: () => {
      states.push(bringUp.state)
      if (bringUp.state === 'up-to-date') wrong.push(...primary.differences(back))
    },
  })
  primary.bringUp = bringUp
  return { world, back, states, alarms, wrong, bringUp }
}

/** The primary's machine dies: pages that differ then, although no mask of either says so. */
function uncovered(primary: MemoryMirror, back: MemoryPartner): number[] {
  primary.store.loseUnflushed()
  return primary.store.differences(back.store).filter((page) => {
    const region = Math.floor(page / 64)
    return !primary.masks.inSync.has(region) && !back.heldMasks.inSync.has(region)
  })
}

async function end({ world, bringUp }: Return): Promise<void> {
  await stopClients(world)
  bringUp.stop()
  await until(world, () => world.primary.locks.idle)
  await bringUp.ended
}

t.test('a replica that was away is equal when it is up to date, whatever fails', async (t) => {
  let attempts = 0
  let forwarded = 0
  let lost = 0
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    const all = await returning(seed, seed % 2)
    const { world, back, bringUp, wrong } = all
    const faulty = [back, ...world.primary.inSync]
    for (let cuts = 0; cuts < 2; cuts++) {
      for (let i = 0; i < 60; i++) await settle()
      if (seed % 4 < 2) back.cut()
      else await back.die()
      await world.pause()
      await back.connect()
    }
    await until(world, () => bringUp.state === 'up-to-date', seed % 3 === 0 ? faulty : [])
    // And stays so under writes, as long as nothing fails.
    for (let i = 0; i < 40; i++) await settle()
    wrong.push(...world.primary.differences(back))
    await stopClients(world)
    wrong.push(...world.primary.differences(back))
    lost += uncovered(world.primary, back).length
    if (wrong.length > 0) t.fail(`seed ${seed}: pages ${wrong.join(' ')} differ`)
    if (all.alarms.length > 0) t.fail(`seed ${seed}: an alarm without a reason`)
    attempts += all.states.filter((state) => state === 'copying').length
    forwarded += world.primary.forwarded
    await end(all)
  }
  t.ok(attempts > seeds, `${attempts} attempts`)
  t.ok(forwarded > seeds, `${forwarded} writes of clients meanwhile`)
  t.equal(lost, 0, 'whatever the primary loses with its machine is marked where it is up to date')
})

t.test('a label that is not exactly its own generation: everything is compared', async (t) => {
  for (const [i, generation] of [0, 2, 7].entries()) {
    const outside: number[] = []
    const all = await returning(100 + i, 1, (back, { primary }) => {
      back.inSyncGeneration = generation
      for (let region = 0; region < regionCount; region++) {
        if (primary.masks.lacks(back.serverId)!.has(region)) continue
        outside.push(region)
        back.store.put(region * regionBlocks + 20, content(1))
      }
    })
    t.ok(outside.length > 0)
    await until(all.world, () => all.bringUp.state === 'up-to-date')
    t.same(all.wrong, [], `in sync in ${generation}`)
    t.same(all.alarms, [], 'nothing was claimed of it')
    t.equal(all.bringUp.progress.totalBytes, blocks * memoryBlockBytes)
    await end(all)
  }
})

t.test('drbd#145: a mask that says too little is found out by the sample', async (t) => {
  const all = await returning(200, 1, (back, { primary }) => {
    // The survivor forgot what the other one lacks, and calls it clean.
    const { serverId } = back
    primary.masks.clear([...primary.masks.lacks(serverId)!], { inSync: true, lacks: [serverId] })
    for (let region = 0; region < regionCount; region++) {
      back.store.put(region * regionBlocks + 20, content(2))
    }
  })
  await until(all.world, () => all.bringUp.state === 'up-to-date')
  t.same(all.wrong, [])
  t.equal(all.alarms.length, 1)
  await stopClients(all.world)
  t.same(all.world.primary.differences(all.back), [])
  await end(all)
})

t.test('after an alarm every later attempt is a full one, whoever is primary', async (t) => {
  const all = await returning(300, 1, (back, { primary }) => {
    const { serverId } = back
    const what = { inSync: true, lacks: [serverId] }
    for (const masks of [primary.masks, primary.inSync[0]!.heldMasks]) {
      masks.clear([...masks.lacks(serverId)!], what)
    }
    for (let region = 0; region < regionCount; region++) {
      back.store.put(region * regionBlocks + 20, content(2))
    }
  })
  const { world, back, bringUp } = all
  await stopClients(world)
  await until(world, () => all.alarms.length === 1)
  back.cut()
  const [other] = world.primary.inSync
  await until(world, () => other!.heldMasks.lacks(back.serverId)?.count === regionCount)
  await until(world, () => bringUp.state === 'behind')
  await back.connect()
  await until(world, () => bringUp.state === 'up-to-date')
  t.same(all.wrong, [])
  t.equal(all.alarms.length, 1)
  t.equal(bringUp.progress.totalBytes, blocks * memoryBlockBytes)
  await end(all)
})

t.test('only what is marked is looked at and sent', async (t) => {
  const world = await newWorld(400)
  const { primary, random, clock } = world
  const back = await world.partner(9)
  for (let region = 0; region < regionCount; region++) {
    for (const { put } of [primary.store, back.store].map((store) => ({
      put: (data: Buffer) => store.put(region * regionBlocks, data),
    }))) {
      put(Buffer.alloc(8 * 65_536, `region ${region} `))
    }
  }
  await primary.masks.leave(back.serverId, 1)
  primary.behind = [back]
  back.marksInSync = false
  await primary.write(5 * regionBlocks + 3, content(20))
  await primary.unmap(7 * regionBlocks, 64)
  const bringUp = new BringUp({
    partner: back,
    inSync: [],
    generation: 1,
    store: primary.store,
    masks: primary.masks,
    activity: primary.activity,
    regions: primary.regions,
    copy: primary.copy,
    locks: primary.locks,
    throttle: new Throttle(clock, 0),
    clock,
    random,
    log: quietLog,
    flushOwn: () => primary.store.flush(),
    changed: () => undefined,
  })
  await until(world, () => bringUp.state === 'up-to-date')
  t.same(primary.differences(back), [])
  t.equal(bringUp.progress.totalBytes, 2 * regionBlocks * memoryBlockBytes)
  t.equal(bringUp.progress.copiedBytes, 2 * 65_536, 'two pages, and four holes')
  t.equal(back.resyncBytes, 2 * 65_536)
  t.notOk(back.store.pages.has((7 * regionBlocks) / 16), 'thin stays thin')
  t.equal(back.calls.filter((call) => call === 'unmap').length, 1)
  bringUp.stop()
  await bringUp.ended
})

t.test('what may differ among copies in sync is equal before a client sees it', async (t) => {
  let compared = 0
  let asked = 0
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    const world = await newWorld(1000 + seed)
    const { primary, random, clock } = world
    primary.inSync = [await world.partner(2), await world.partner(3)]
    const copies = [primary, ...primary.inSync]
    const gone = testUuid(9)
    fill(
      world,
      copies.map(({ store }) => store),
    )
    const marked = new Set<number>()
    // Writes that reached some copies, each marked by whom it reached.
    for (let i = 0; i < 10; i++) {
      const { lba, count } = somewhere(random)
      const { firstRegion, endRegion } = primary.regions.of({ lba, blocks: count })
      const data = content(count)
      for (const copy of copies) {
        if (random.below(2) === 0) continue
        const masks = copy instanceof MemoryPartner ? copy.heldMasks : copy.masks
        await masks.mark(firstRegion, endRegion, [])
        for (let region = firstRegion; region < endRegion; region++) marked.add(region)
        if (random.below(3) > 0) copy.store.put(lba, data)
      }
    }
    for (const partner of primary.inSync) partner.behind = [gone]
    const comparison = new Comparison({
      masks: primary.masks,
      partners: primary.inSync,
      behind: [gone],
      generation: 1,
      regions: primary.regions,
      copy: primary.copy,
      locks: primary.locks,
      clock,
      log: quietLog,
    })
    primary.comparison = comparison
    const served: number[] = []
    const reads = async (): Promise<void> => {
      while (!comparison.done) {
        const region = random.below(regionCount)
        const wait = comparison.ensure(region, region + 1)
        if (wait !== undefined) asked++
        await wait
        const own = new Set<number>()
        for (const partner of primary.inSync) {
          for (const page of primary.differences(partner)) own.add(Math.floor(page / 64))
        }
        if (own.has(region)) served.push(region)
        await world.pause()
      }
    }
    startClients(world, 2)
    const reader = reads()
    await until(world, () => comparison.done, seed % 2 === 0 ? primary.inSync : [])
    await reader
    compared += comparison.progress.regions
    await stopClients(world)
    for (const partner of primary.inSync) served.push(...primary.differences(partner))
    if (served.length > 0) t.fail(`seed ${seed}: ${served.join(' ')} differ`)
    for (const copy of copies) {
      const masks = copy instanceof MemoryPartner ? copy.heldMasks : copy.masks
      const missing = [...marked].filter((region) => masks.lacks(gone)?.has(region) !== true)
      if (missing.length > 0) t.fail(`seed ${seed}: who is gone may lack ${missing} as well`)
    }
  }
  t.ok(compared > seeds, `${compared} regions`)
  t.ok(asked > 0, `${asked} requests waited`)
})

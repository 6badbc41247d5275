/**
 * A real storage server under stamped writes: killed at random instants, every acknowledged write
 * is there after the restart; without power at random points, every flushed write is, and no block
 * shows what another owner of its page wrote; a sync that failed is never followed by GOOD.
 */
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { seededFractions } from '../support/seeded-random.ts'
import { ServerUnderTest } from '../support/server-under-test.ts'
import { loadBlocks, StampLoad } from '../support/stamp-load.ts'
import { TestManager } from '../support/test-manager.ts'

const lossyRoot = fileURLToPath(new URL('../support/main-lossy-target.js', import.meta.url))
const kills = 50
const powerLosses = 200
const failedSyncs = 4

/** A session with the volume once it is served again, whatever its generation is then. */
async function reconnect(server: ServerUnderTest, manager: TestManager, volumeId: string) {
  const map = manager.maps.get(volumeId)
  if (map === undefined) throw new Error('the volume is gone')
  const disk = await server.connect(map)
  for (;;) {
    const now = manager.maps.get(volumeId) ?? map
    disk.generation = BigInt(now.generation)
    const { how } = await disk.read(0, 1)
    if (how === 'good') return { disk, map: now }
    if (!how.startsWith('refused')) throw new Error(`reading after the restart: ${how}`)
    await sleep(2)
  }
}

t.setTimeout(600_000)
const timeout = 600_000

t.test(
  'killed at 50 random instants: every acknowledged write is there',
  { timeout },
  async (t) => {
    const seed = randomInt(2 ** 31)
    t.comment(`seed ${seed}`)
    const random = seededFractions(seed)
    const manager = await TestManager.start()
    const server = await ServerUnderTest.start({ manager })
    t.teardown(async () => {
      await server.stop()
      await manager.stop()
    })
    const { volumeId, generation } = await server.createVolume(loadBlocks)
    const load = new StampLoad(random)
    let { disk, map } = await reconnect(server, manager, volumeId)
    for (let kill = 1; kill <= kills; kill++) {
      const afterMs = Math.floor(random() * 120)
      const running = load.run(disk)
      await sleep(afterMs)
      await server.kill()
      await running
      await server.start()
      ;({ disk, map } = await reconnect(server, manager, volumeId))
      t.strictSame(await load.check(disk, 'kill'), [], `kill ${kill} after ${afterMs} ms`)
    }
    t.equal(map.generation, generation, 'nothing was lost, so nothing had to change')
    t.ok(load.acknowledged > kills, `${load.acknowledged} commands were acknowledged`)
    await disk.close()
  },
)

t.test(
  '200 losses of power: flushed data are there, no former owner shows',
  { timeout },
  async (t) => {
    const seed = randomInt(2 ** 31)
    t.comment(`seed ${seed}`)
    const random = seededFractions(seed)
    const manager = await TestManager.start()
    const server = await ServerUnderTest.start({ manager, root: [lossyRoot] })
    t.teardown(async () => {
      await server.stop()
      await manager.stop()
    })
    const { volumeId, generation } = await server.createVolume(loadBlocks)
    const load = new StampLoad(random)
    let { disk, map } = await reconnect(server, manager, volumeId)
    const faults: string[] = []
    for (let loss = 1; loss <= powerLosses; loss++) {
      const running = load.run(disk)
      await sleep(Math.floor(random() * 60))
      if (loss % 10 > 0) await server.losePower()
      else {
        await server.kill()
        await server.start({ PALISADE_TEST_SEED: String(seed + loss) })
      }
      await disk.close()
      await running
      ;({ disk, map } = await reconnect(server, manager, volumeId))
      const found = await load.check(disk, 'crash')
      faults.push(...found.map((fault) => `loss ${loss}: ${fault}`))
    }
    t.strictSame(faults, [])
    t.ok(map.generation >= generation + powerLosses, 'each loss made a new incarnation known')
    t.ok(load.acknowledged > powerLosses, `${load.acknowledged} commands were acknowledged`)
    await disk.close()
  },
)

t.test(
  'a failed sync is answered, and never followed by GOOD in that generation',
  { timeout },
  async (t) => {
    const random = seededFractions(7)
    const manager = await TestManager.start()
    const server = await ServerUnderTest.start({ manager, root: [lossyRoot] })
    t.teardown(async () => {
      await server.stop()
      await manager.stop()
    })
    const { volumeId } = await server.createVolume(loadBlocks)
    for (let failing = 1; failing <= failedSyncs; failing++) {
      await server.kill()
      const env = {
        PALISADE_TEST_SEED: String(failing),
        PALISADE_TEST_FAIL_FLUSH: String(failing + 2),
      }
      await server.start(env)
      const { disk, map } = await reconnect(server, manager, volumeId)
      const flushes: string[] = []
      const load = new StampLoad(random, { flushed: (how) => flushes.push(how) })
      load.witness.settle(await load.stamps(disk))
      await load.run(disk)
      // The load has ended because the store failed; with its generation nothing is GOOD again.
      const again = [
        await disk.flush(),
        await disk.write(0, Buffer.alloc(512)),
        await disk.read(0, 1),
      ]
      for (const { how } of again) t.match(how, /^refused [13]$/, `sync ${failing} failed`)
      const failed = flushes.findIndex((how) => how !== 'good')
      t.ok(failed >= 0, `a flush was told: ${flushes[failed]}`)
      t.notOk(flushes.slice(failed).includes('good'), 'no flush after it was GOOD')
      await disk.close()
      const next = await reconnect(server, manager, volumeId)
      t.ok(next.map.generation > map.generation, 'served again under a new generation')
      const segment = next.map.segments[0]
      t.ok((segment?.epoch ?? 0) > (map.segments[0]?.epoch ?? 0), 'and a new epoch')
      t.strictSame(await load.check(next.disk, 'crash'), [], 'what was flushed is there')
      await next.disk.close()
    }
  },
)

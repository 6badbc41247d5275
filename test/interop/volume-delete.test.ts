/**
 * The end of a volume: deleted when the last initiator has gone from the shim, not before, unless
 * by force; then its pages are given back, and who gets them next finds zeros.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { smallestBlockBytes as blockBytes, pageBytes } from '../../src/base/limits.ts'
import { volumeIqn } from '../../src/volume/names.ts'
import { HandCluster, type HandShim } from '../support/hand-cluster.ts'
import { describe } from '../support/initiator.ts'
import { qemuIo, readPattern, writePattern } from '../support/qemu-io.ts'
import { QemuWriter } from '../support/qemu-writer.ts'

const MIB = 1024 * 1024
const capacityBytes = 16 * MIB
const servers = 2
/** Nearly all that there is: what comes next has to take the same pages. */
const sizeBytes = 30 * MIB
const pageBlocks = pageBytes / blockBytes
const deadlineMs = 30_000

t.setTimeout(240_000)

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + deadlineMs
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`never: ${what}`)
    await sleep(20)
  }
}

async function setUp(t: Test) {
  const cluster = await HandCluster.start({ servers, capacity: String(capacityBytes) })
  t.teardown(() => cluster.stop())
  return { cluster, shim: await cluster.startShim('shim') }
}

/** Created, and known to the shim. */
async function create(cluster: HandCluster, shim: HandShim, name: string): Promise<string> {
  await cluster.verb(['volume', 'create', name, '--size', String(sizeBytes), '--stripe', '2'])
  await until('the shim offers it', async () => {
    return cluster.front(shim, name).then(
      () => true,
      () => false,
    )
  })
  return `iscsi://${shim.portal}/${volumeIqn(name)}/0`
}

/** No session of the shim is left at any server. */
function detached(cluster: HandCluster): Promise<void> {
  return until('the shim has left the servers', async () => {
    const told = await Promise.all(cluster.servers.map((server) => cluster.describe(server)))
    return told.every(({ volumes }) => volumes.every(({ sessions }) => sessions === 0))
  })
}

const remove = (cluster: HandCluster, name: string, ...force: string[]) =>
  cluster.verb(['volume', 'delete', name, ...force])

async function allFree(cluster: HandCluster): Promise<void> {
  for (const { name } of cluster.servers) {
    await until(`${name} has its pages back`, async () => {
      const shown = (await cluster.verb(['server', 'show', name])) as Record<string, number>
      return shown.freeBytes === capacityBytes && shown.plannedBytes === 0
    })
  }
}

t.test('in use while an initiator is attached, however it leaves', async (t) => {
  const { cluster, shim } = await setUp(t)
  const url = await create(cluster, shim, 'used')
  const polite = await cluster.attach(shim, 'used', 'polite')
  const rude = await cluster.attach(shim, 'used', 'rude')
  const stock = await QemuWriter.open({ url, offsetBytes: 0, slots: 1, slotBytes: MIB })
  t.teardown(() => stock.close())
  t.match(await stock.command('write -P 170 0 1M'), /wrote 1048576/)
  const refused = () => t.rejects(remove(cluster, 'used'), /in use/)
  await refused()
  t.strictSame(await polite.read(0, 1), [0xaaaaaaaa], 'it goes on')
  polite.leg.close()
  await polite.leg.ended
  await refused()
  await stock.close()
  await refused()
  const flying = rude.write(0, 8, 1)
  // Without a logout, as when its host dies.
  rude.leg.close()
  t.match(describe(await flying.answer), /^(good|lost)$/)
  await detached(cluster)
  t.equal((await cluster.front(shim, 'used')).sessions, 0)
  await remove(cluster, 'used')
  await t.rejects(cluster.verb(['volume', 'show', 'used']), /exit [1-9]/)
  await until('the shim forgets it', async () => {
    return cluster.front(shim, 'used').then(
      () => false,
      () => true,
    )
  })
})

t.test('its pages are given back, and whoever gets them finds zeros', async (t) => {
  const { cluster, shim } = await setUp(t)
  for (const round of [1, 2, 3]) {
    const former = await create(cluster, shim, `former-${round}`)
    await qemuIo(former, [writePattern(0xaa, 0, sizeBytes), readPattern(0xaa, 0, sizeBytes)])
    await detached(cluster)
    await remove(cluster, `former-${round}`)
    // At once in two rounds: then pages are still on their way back when they are asked for.
    if (round === 1) await allFree(cluster)
    await create(cluster, shim, `next-${round}`)
    const next = await cluster.attach(shim, `next-${round}`, `next-${round}`)
    const blocks = sizeBytes / blockBytes
    const writes: Promise<unknown>[] = []
    for (let lba = 5; lba < blocks; lba += pageBlocks) writes.push(next.write(lba, 1, 7).answer)
    await Promise.all(writes)
    const wrong: string[] = []
    for (let lba = 0; lba < blocks; lba += 2048) {
      const stamps = await next.read(lba, 2048)
      stamps.forEach((stamp, i) => {
        if (stamp !== ((lba + i) % pageBlocks === 5 ? 7 : 0)) wrong.push(`${lba + i}: ${stamp}`)
      })
    }
    t.strictSame(wrong.slice(0, 5), [], `round ${round}: zeros, and what was written`)
    next.leg.close()
    await detached(cluster)
    await remove(cluster, `next-${round}`)
  }
  await allFree(cluster)
})

t.test('deleted by force under a session that stays', async (t) => {
  const { cluster, shim } = await setUp(t)
  await create(cluster, shim, 'forced')
  const initiator = await cluster.attach(shim, 'forced', 'stays')
  let stopped = false
  const ends = new Set<string>()
  const writing = (async () => {
    for (let stamp = 1; !stopped; stamp++) {
      ends.add(describe(await initiator.write(stamp % 4096, 8, stamp).answer))
    }
  })()
  await until('it writes', async () => ends.has('good'))
  await remove(cluster, 'forced', '--force')
  const gone = 'sense 5/25/0'
  await until('it hears that the unit is gone', async () => ends.has(gone))
  ends.clear()
  await sleep(0)
  stopped = true
  await writing
  t.strictSame([...ends], [gone], 'and nothing else from then on')
  t.equal(describe(await initiator.testUnitReady().answer), gone)
  t.ok(initiator.leg.open, 'the session is still there')
  await allFree(cluster)
  initiator.leg.close()
  await initiator.leg.ended
})

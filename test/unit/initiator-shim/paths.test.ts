/**
 * The shim in a whole cluster in memory, while direct paths are reset, stopped, hang and are
 * released: nothing fails, nothing is lost, and nothing comes after its time.
 */
import t, { type Test } from 'tap'
import type { PathStatus } from '../../../src/control/messages/shim.ts'
import { describe, type Initiator } from '../../support/initiator.ts'
import { MemoryCluster } from '../../support/memory-cluster.ts'
import { seededRandom } from '../../support/seeded-random.ts'

const mib = 1024 * 1024
const rounds = 100
/** For a machine that does much else. */
const patienceMs = 170_000
t.setTimeout(patienceMs)
const slots = 16
const slotBlocks = 8

async function started(t: Test, servers = 1) {
  const volume = { name: 'v', sizeBytes: 6 * mib, ...(servers > 1 && { stripe: servers }) }
  const cluster = await MemoryCluster.start({ servers, volumes: [volume] })
  t.teardown(() => cluster.stop())
  return { cluster, initiator: await cluster.attach('v') }
}

async function path(cluster: MemoryCluster): Promise<PathStatus> {
  const { volumes } = await cluster.status()
  return volumes[0]!.paths[0]!
}

const isDirect = async (cluster: MemoryCluster) => (await path(cluster)).route === 'direct'

/** Writes slots one after the other until stopped, each with a stamp of its own. */
class Writer {
  readonly acknowledged = new Map<number, number>()
  readonly answers = new Map<string, number>()
  longestMs = 0
  #stamp = 1
  #stopping = false
  readonly #done: Promise<void>

  constructor(cluster: MemoryCluster, initiator: Initiator) {
    this.#done = this.#run(cluster, initiator)
  }

  stop(): Promise<void> {
    this.#stopping = true
    return this.#done
  }

  async #run(cluster: MemoryCluster, initiator: Initiator): Promise<void> {
    while (!this.#stopping) {
      const stamp = this.#stamp++
      const slot = stamp % slots
      const startMs = cluster.clock.nowMs()
      const answer = describe(await initiator.write(slot * slotBlocks, slotBlocks, stamp).answer)
      this.longestMs = Math.max(this.longestMs, cluster.clock.nowMs() - startMs)
      this.answers.set(answer, (this.answers.get(answer) ?? 0) + 1)
      if (answer === 'good') this.acknowledged.set(slot, stamp)
    }
  }
}

/** Slots that do not hold what was acknowledged last. */
async function wrongSlots(cluster: MemoryCluster, initiator: Initiator, expected: Writer) {
  const wrong: string[] = []
  for (const [slot, stamp] of expected.acknowledged) {
    const read = await cluster.run(initiator.read(slot * slotBlocks, slotBlocks))
    if (read.some((each) => each !== stamp)) wrong.push(`slot ${slot}: ${read}, not ${stamp}`)
  }
  return wrong
}

t.test('reads, writes, flushes and discards over three servers', async (t) => {
  const { cluster, initiator } = await started(t, 3)
  t.equal(describe(await cluster.run(initiator.write(100, 600, 7).answer)), 'good')
  t.equal(describe(await cluster.run(initiator.write(128, 3, 9).answer)), 'good')
  const stamps = await cluster.run(initiator.read(99, 602))
  const expected = [0, ...Array(28).fill(7), 9, 9, 9, ...Array(569).fill(7), 0]
  t.strictSame(stamps, expected)
  t.equal(describe(await cluster.run(initiator.flush().answer)), 'good')
  const { volumes } = await cluster.status()
  t.strictSame(
    volumes[0]!.paths.map(({ route }) => route),
    ['direct', 'direct', 'direct'],
  )
  const commands = volumes[0]!.paths.map(({ direct }) => direct.commands)
  initiator.leg.close()
  await cluster.pass(20)
  const [left] = (await cluster.status()).volumes
  t.strictSame(
    left!.paths.map(({ route, direct }) => [route, direct.commands]),
    commands.map((count) => ['none', count]),
    'nobody is attached: no sessions, and the counters stay',
  )
})

t.test('a path that is reset: no error, a stall below 1 s', async (t) => {
  const { cluster, initiator } = await started(t)
  const writer = new Writer(cluster, initiator)
  for (let i = 0; i < 10; i++) {
    await cluster.pass(100)
    cluster.servers[0]!.relay.reset()
  }
  await cluster.pass(100)
  await cluster.run(writer.stop())
  t.strictSame([...writer.answers.keys()], ['good'])
  t.ok(writer.longestMs < 1_000, `${writer.longestMs} ms`)
  t.ok((await path(cluster)).breaks >= 5)
  t.strictSame(await wrongSlots(cluster, initiator, writer), [])
})

/** What the manager was told of ways to the only server, the newest last. */
async function told(cluster: MemoryCluster): Promise<string[]> {
  const { reports, managementPath } = await cluster.run(cluster.admin.status({}, 1_000))
  return reports.map(({ portal, reachable }) => {
    const isRelayed = managementPath.includes(portal)
    return `${isRelayed ? 'management' : 'direct'} ${reachable}`
  })
}

t.test('a path that is gone: over the management path, and back when it is there', async (t) => {
  const { cluster, initiator } = await started(t)
  const { relay } = cluster.servers[0]!
  const writer = new Writer(cluster, initiator)
  await cluster.pass(100)
  await relay.stop()
  await cluster.until(async () => (await path(cluster)).route === 'management')
  await cluster.pass(2_000)
  t.ok((await path(cluster)).management.commands > 10)
  t.strictSame(
    await told(cluster),
    ['direct false', 'management true'],
    'the manager was told, also that there is another way',
  )
  await relay.resume()
  await cluster.until(() => isDirect(cluster))
  await cluster.pass(50)
  t.strictSame(await told(cluster), ['management true', 'direct true'])
  const before = (await path(cluster)).direct.commands
  await cluster.pass(100)
  await cluster.run(writer.stop())
  t.ok((await path(cluster)).direct.commands > before)
  t.equal((await path(cluster)).returns, 1)
  t.strictSame([...writer.answers.keys()], ['good'])
  t.ok(writer.longestMs < 1_000, `${writer.longestMs} ms`)
  t.strictSame(await wrongSlots(cluster, initiator, writer), [])
})

t.test('a way through the manager that ends is told of as well', async (t) => {
  const { cluster, initiator } = await started(t)
  const server = cluster.servers[0]!
  t.equal(describe(await cluster.run(initiator.write(0, 1, 1).answer)), 'good')
  await server.relay.stop()
  await cluster.until(async () => (await path(cluster)).route === 'management')
  await server.stop()
  await cluster.until(async () => (await path(cluster)).route === 'none')
  await cluster.pass(50)
  t.strictSame(await told(cluster), ['direct false', 'management false'])
  await server.start()
  await cluster.until(async () => (await path(cluster)).route === 'management')
  await cluster.pass(50)
  t.strictSame(await told(cluster), ['direct false', 'management true'])
})

t.test(
  'a primary that only its partner hears: what it owes is sent to its successor',
  async (t) => {
    const volume = { name: 'v', sizeBytes: 6 * mib, mirror: 2 }
    const cluster = await MemoryCluster.start({ servers: 2, volumes: [volume] })
    t.teardown(() => cluster.stop())
    const initiator = await cluster.attach('v')
    const writer = new Writer(cluster, initiator)
    await cluster.pass(3_000)
    const { server } = await path(cluster)
    const primary = cluster.servers.find(({ name }) => name === server)!
    primary.relay.hang()
    cluster.rpc.cut(primary.name, true)
    await cluster.pass(10_000)
    await cluster.run(writer.stop())
    t.strictSame([...writer.answers.keys()], ['good'])
    t.ok(writer.longestMs > 1_000, 'it was waited for')
    t.ok(writer.longestMs < 5_000, `${writer.longestMs} ms`)
    primary.relay.release()
    cluster.rpc.cut(primary.name, false)
    await cluster.pass(100)
    t.strictSame(await wrongSlots(cluster, initiator, writer), [])
  },
)

/** One round of a path that hangs with writes in it, which are followed by others of the same slots. */
async function hangAndRelease(cluster: MemoryCluster, initiator: Initiator, seed: number) {
  const random = seededRandom(seed)
  const { relay } = cluster.servers[0]!
  const writer = new Writer(cluster, initiator)
  await cluster.pass(random.below(40))
  // Beside the writer's, others that are in the hung path, cut off at any byte.
  const late = Array.from({ length: 4 }, (_, i) =>
    initiator.write((slots + i) * slotBlocks, slotBlocks, 1_000_000 + i),
  )
  for (let turn = random.below(3); turn > 0; turn--) await cluster.clock.advance(0)
  relay.hang()
  const hungAtMs = cluster.clock.nowMs()
  await cluster.until(async () => (await path(cluster)).route === 'management')
  const switchedMs = cluster.clock.nowMs() - hungAtMs
  for (const { answer } of late) await cluster.run(answer)
  for (let i = 0; i < 4; i++) {
    const over = initiator.write((slots + i) * slotBlocks, slotBlocks, 2_000_000 + i)
    await cluster.run(over.answer)
  }
  await cluster.pass(random.below(20))
  const { heldBytes } = relay
  relay.release()
  await cluster.pass(20)
  await cluster.run(writer.stop())
  const wrong = await wrongSlots(cluster, initiator, writer)
  for (let i = 0; i < 4; i++) {
    const read = await cluster.run(initiator.read((slots + i) * slotBlocks, slotBlocks))
    if (read.some((each) => each !== 2_000_000 + i)) wrong.push(`late ${i}: ${read}`)
  }
  await cluster.until(() => isDirect(cluster))
  return { wrong, writer, heldBytes, switchedMs }
}

const released = 'a path that hangs and is released, a hundred times: no block changes'
t.test(released, { timeout: patienceMs }, async (t) => {
  const { cluster, initiator } = await started(t)
  const wrong: string[] = []
  let heldRounds = 0
  let longestMs = 0
  for (let seed = 1; seed <= rounds; seed++) {
    const round = await hangAndRelease(cluster, initiator, seed)
    wrong.push(...round.wrong.map((each) => `seed ${seed}: ${each}`))
    if (round.heldBytes > slotBlocks * 512) heldRounds++
    longestMs = Math.max(longestMs, round.writer.longestMs, round.switchedMs)
    t.strictSame([...round.writer.answers.keys()], ['good'], `seed ${seed}`)
  }
  t.strictSame(wrong, [])
  t.ok(heldRounds >= 50, `writes were held in ${heldRounds} rounds`)
  t.ok(longestMs < 5_000, `longest stall ${longestMs} ms`)
  t.comment(`writes held in ${heldRounds} of 100 rounds, longest stall ${longestMs} ms`)
})

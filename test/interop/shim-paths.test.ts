/**
 * Real processes, stock initiators, and paths that are cut: the direct path of the shim is reset,
 * stopped, hangs and is released; the shim is killed with writes in flight; an initiator's
 * connection breaks again and again. No error, nothing lost, nothing that comes after its time.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { PathStatus } from '../../src/control/messages/shim.ts'
import { volumeIqn } from '../../src/volume/names.ts'
import { HandCluster, type HandShim, realNetwork } from '../support/hand-cluster.ts'
import { describe, type Initiator } from '../support/initiator.ts'
import { QemuWriter } from '../support/qemu-writer.ts'
import { Relay } from '../support/relay.ts'

const MIB = 1024 * 1024
const slotBlocks = 16
const volume = 'data'
const deadlineMs = 30_000
const patienceMs = 280_000
t.setTimeout(2 * patienceMs)

/** One storage server whose direct path can be cut, and a relay before the shim's own portal. */
class PathCluster {
  readonly #cluster: HandCluster
  readonly #shim: HandShim
  /** Before the storage server's portal. */
  readonly path: Relay
  /** Before the shim's portal. */
  readonly door: Relay

  private constructor(cluster: HandCluster, shim: HandShim, relays: { path: Relay; door: Relay }) {
    this.#cluster = cluster
    this.#shim = shim
    this.path = relays.path
    this.door = relays.door
  }

  static async start(t: Test): Promise<PathCluster> {
    const cluster = await HandCluster.start({ servers: 1 })
    t.teardown(() => cluster.stop())
    const policies = { stripe: 0, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
    const request = { name: volume, sizeBytes: 32 * MIB, partitions: [], ...policies }
    await cluster.admin.createVolume(request, deadlineMs)
    const { junction } = cluster.servers[0]!
    junction.diverts = () => true
    const shim = await cluster.startShim('shim')
    const door = await Relay.open(realNetwork, shim.portal)
    t.teardown(() => door.stop())
    return new PathCluster(cluster, shim, { path: junction.side, door })
  }

  async openWriter(t: Test, offsetBytes = 16 * MIB): Promise<QemuWriter> {
    const url = `iscsi://${this.door.address}/${volumeIqn(volume)}/0`
    const slots = { offsetBytes, slots: 32, slotBytes: 8192 }
    const writer = await QemuWriter.open({ url, ...slots })
    t.teardown(() => writer.close())
    return writer
  }

  attach(isid: number): Promise<Initiator> {
    return this.#cluster.attach(this.#shim, volume, 'many', isid)
  }

  async pathStatus(): Promise<PathStatus | undefined> {
    return (await this.#cluster.front(this.#shim, volume)).paths[0]
  }

  /** Waits until commands go this way. */
  async routed(route: 'direct' | 'management'): Promise<void> {
    const deadline = Date.now() + deadlineMs
    while ((await this.pathStatus())?.route !== route) {
      if (Date.now() > deadline) throw new Error(`never ${route}: ${this.#shim.process.stderr}`)
      await sleep(20)
    }
  }

  /**
   * Waits for so many commands more on the direct path. Counted there and not by what the writer
   * was answered: what was in flight when the counter was read had been counted when it was sent.
   */
  async moreDirect(count: number): Promise<boolean> {
    const deadline = Date.now() + deadlineMs
    const before = (await this.pathStatus())!.direct.commands
    while ((await this.pathStatus())!.direct.commands < before + count) {
      if (Date.now() > deadline) return false
      await sleep(20)
    }
    return true
  }

  async killShim(): Promise<void> {
    this.#shim.process.kill('SIGKILL')
    await this.#shim.process.exited
  }

  restartShim(): Promise<void> {
    return this.#cluster.restartShim(this.#shim)
  }
}

/** The longest command from now on. */
async function longestDuring(writer: QemuWriter, run: () => Promise<void>): Promise<number> {
  const from = writer.latenciesMs.length
  await run()
  const before = writer.acknowledgedWrites
  while (writer.acknowledgedWrites < before + 2) await sleep(5)
  return Math.max(...writer.latenciesMs.slice(from))
}

/** So many connections were made since the beginning. */
async function connected({ door }: PathCluster, count: number): Promise<void> {
  const deadline = Date.now() + deadlineMs
  while (door.accepted < count) {
    if (Date.now() > deadline) throw new Error(`${door.accepted} connections, not ${count}`)
    await sleep(5)
  }
}

/** As many commands more as the number says: traffic goes on. */
async function moreWrites(writer: QemuWriter, count: number): Promise<void> {
  const before = writer.acknowledgedWrites
  while (writer.acknowledgedWrites < before + count && writer.errors.length === 0) await sleep(5)
}

t.test('the direct path is reset, stopped, and hangs', { timeout: patienceMs }, async (t) => {
  const cluster = await PathCluster.start(t)
  const writer = await cluster.openWriter(t)
  writer.start()
  await moreWrites(writer, 20)
  await cluster.routed('direct')

  const resetMs = await longestDuring(writer, async () => cluster.path.reset())
  t.ok(resetMs < 1_000, `a reset path: longest stall ${resetMs.toFixed(0)} ms`)

  const stoppedMs = await longestDuring(writer, async () => {
    await cluster.path.stop()
    await cluster.routed('management')
    await moreWrites(writer, 20)
  })
  t.ok(stoppedMs < 1_000, `a stopped path: longest stall ${stoppedMs.toFixed(0)} ms`)
  const relayed = (await cluster.pathStatus())!.management.commands
  t.ok(relayed >= 20, `${relayed} commands over the management path`)

  await cluster.path.resume()
  await cluster.routed('direct')
  t.ok(await cluster.moreDirect(20), 'direct again')

  const hungMs = await longestDuring(writer, async () => {
    cluster.path.hang()
    await cluster.routed('management')
  })
  t.ok(hungMs < 5_000, `a hung path: longest stall ${hungMs.toFixed(0)} ms`)
  cluster.path.release()
  await cluster.routed('direct')
  await moreWrites(writer, 20)

  await writer.stop()
  t.strictSame(writer.errors, [])
  t.strictSame(await writer.verify(), [])
  t.comment(`longest stall: reset ${resetMs.toFixed(0)} ms, stopped ${stoppedMs.toFixed(0)} ms`)
  t.comment(`hung ${hungMs.toFixed(0)} ms; ${writer.acknowledgedWrites} writes`)
})

const slots = 20

/** Writes every slot at once. */
async function writeSlots(initiator: Initiator, stamp: number): Promise<string[]> {
  const tasks = Array.from({ length: slots }, (_, slot) =>
    initiator.write(slot * slotBlocks, slotBlocks, stamp + slot),
  )
  return Promise.all(tasks.map(async ({ answer }) => describe(await answer)))
}

/** Slots that hold anything else than this. */
async function wrongSlots(initiator: Initiator, stamp: number): Promise<string[]> {
  const wrong: string[] = []
  for (let slot = 0; slot < slots; slot++) {
    const stamps = await initiator.read(slot * slotBlocks, slotBlocks)
    if (stamps.some((each) => each !== stamp + slot)) wrong.push(`slot ${slot}: ${stamps}`)
  }
  return wrong
}

/** Commands have left the shim and are kept back by the relay. */
async function heldBack(cluster: PathCluster): Promise<void> {
  while (cluster.path.heldBytes < slots * slotBlocks * 512) await sleep(1)
}

const hung = 'a hung path is released: what it held, a hundred writes, changes no block'
t.test(hung, { timeout: patienceMs }, async (t) => {
  const cluster = await PathCluster.start(t)
  const initiator = await cluster.attach(1)
  for (let round = 1; round <= 5; round++) {
    await writeSlots(initiator, round * 1000)
    await cluster.routed('direct')
    cluster.path.hang()
    const first = writeSlots(initiator, round * 1000 + 100)
    await heldBack(cluster)
    t.same(new Set(await first), new Set(['good']), 'over the management path')
    t.same(new Set(await writeSlots(initiator, round * 1000 + 200)), new Set(['good']))
    cluster.path.release()
    t.strictSame(await wrongSlots(initiator, round * 1000 + 200), [])
    await cluster.routed('direct')
    t.strictSame(await wrongSlots(initiator, round * 1000 + 200), [], 'a while later')
  }
})

const killed = 'a shim killed with writes in flight: what is sent again and later wins'
t.test(killed, { timeout: patienceMs }, async (t) => {
  const cluster = await PathCluster.start(t)
  for (let round = 1; round <= 5; round++) {
    const doomed = await cluster.attach(1)
    await writeSlots(doomed, round * 1000)
    await cluster.routed('direct')
    cluster.path.hang()
    const first = writeSlots(doomed, round * 1000 + 100)
    await heldBack(cluster)
    await cluster.killShim()
    t.same(new Set(await first), new Set(['lost']))
    await cluster.restartShim()
    const initiator = await cluster.attach(2)
    t.same(new Set(await writeSlots(initiator, round * 1000 + 200)), new Set(['good']))
    cluster.path.release()
    t.strictSame(await wrongSlots(initiator, round * 1000 + 200), [])
    await cluster.routed('direct')
    t.strictSame(await wrongSlots(initiator, round * 1000 + 200), [], 'a while later')
    initiator.leg.close()
  }
})

const initiators = 10
const breaks = 10
const broken = 'libiscsi whose connection breaks, a hundred times: no error, its later writes win'
t.test(broken, { timeout: patienceMs }, async (t) => {
  const cluster = await PathCluster.start(t)
  const open = (i: number) => cluster.openWriter(t, 16 * MIB + i * MIB)
  const writers = await Promise.all(Array.from({ length: initiators }, (_, i) => open(i)))
  for (const writer of writers) writer.start()
  // libiscsi comes back no sooner than some seconds after its last attempt: several at a time.
  for (let i = 0; i < breaks; i++) {
    // An answer that was on its way before the last reset is no sign of a new connection.
    await connected(cluster, initiators * (i + 1))
    await Promise.all(writers.map((writer) => moreWrites(writer, 1 + (i % 3))))
    cluster.door.reset()
  }
  await connected(cluster, initiators * (breaks + 1))
  await Promise.all(writers.map((writer) => moreWrites(writer, 40)))
  for (const writer of writers) {
    await writer.stop()
    t.strictSame(writer.errors, [])
    t.strictSame(await writer.verify(), [])
  }
  t.comment(`${cluster.door.accepted} connections`)
})

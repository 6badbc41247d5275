/**
 * A storage server loses its power, or a sync of its disk fails, while initiators are attached to a
 * shim. What was flushed is there. Every session hears of it by a unit attention, and whoever wrote
 * what no flush had covered gets WRITE ERROR at the next flush, once; nobody else does.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { volumeIqn } from '../../src/volume/names.ts'
import { HandCluster, type HandServer, type HandShim } from '../support/hand-cluster.ts'
import { describe, type Initiator } from '../support/initiator.ts'
import { QemuWriter } from '../support/qemu-writer.ts'

const lossyRoot = fileURLToPath(new URL('../support/main-lossy-target.js', import.meta.url))
const MIB = 1024 * 1024
const volume = 'data'
const stripe = 2
/** A stripe unit and a half, so that every range lies on both servers. */
const rangeBlocks = 192
const good = 'good'
const powerOn = 'sense 6/29/0'
const writeError = 'sense 3/c/0'
/** As qemu prints it. */
const stockWriteError = /SYNCHRONIZECACHE10 failed: .*\(3\).*0x0c00/
const powerLosses = 10
const failedSyncs = 4
const deadlineMs = 30_000
const patienceMs = 240_000

t.setTimeout(2 * patienceMs)

async function setUp(t: Test) {
  const cluster = await HandCluster.start({ servers: stripe, serverRoot: lossyRoot })
  t.teardown(() => cluster.stop())
  const policies = { partitions: [], stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
  const request = { name: volume, sizeBytes: 16 * MIB, stripe, ...policies }
  await cluster.admin.createVolume(request, deadlineMs)
  const shim = await cluster.startShim('shim')
  return { cluster, shim }
}

/** The epoch of the segment that each server holds. */
async function epochs({ admin }: HandCluster): Promise<Map<string, number>> {
  const { map } = await admin.showVolume({ name: volume }, deadlineMs)
  return new Map(map.segments.map(({ replicas, epoch }) => [replicas[0]?.server ?? '', epoch]))
}

/** Waits until the loss is known: to the manager, to the servers and to the shim. */
async function lossKnown(cluster: HandCluster, shim: HandShim, server: HandServer, epoch: number) {
  const deadline = Date.now() + deadlineMs
  for (;;) {
    const { map, status } = await cluster.admin.showVolume({ name: volume }, deadlineMs)
    const segment = map.segments.find(({ replicas }) => replicas[0]?.server === server.name)
    const settled = status.change === '' && status.behind.length === 0
    const { generation } = await cluster.front(shim, volume)
    if ((segment?.epoch ?? 0) > epoch && settled && generation === map.generation) return
    if (Date.now() > deadline) throw new Error(`no new epoch: ${JSON.stringify(status)}`)
    await sleep(10)
  }
}

/** A region of the volume that one initiator alone writes, and what it knows of it. */
class Region {
  readonly initiator: Initiator
  readonly #lba: number
  stamp = 0

  constructor(initiator: Initiator, lba: number) {
    this.initiator = initiator
    this.#lba = lba
  }

  /** Takes the conditions that come first; answers how often power on was told. */
  async attentions(): Promise<number> {
    for (let told = 0; ; told++) {
      const said = describe(await this.initiator.testUnitReady().answer)
      if (said === good) return told
      if (said !== powerOn) throw new Error(`a unit attention of another kind: ${said}`)
    }
  }

  async write(): Promise<string> {
    this.stamp++
    return describe(await this.initiator.write(this.#lba, rangeBlocks, this.stamp).answer)
  }

  async flush(): Promise<string> {
    return describe(await this.initiator.flush().answer)
  }

  /** Different stamps found, ascending. */
  async stamps(): Promise<number[]> {
    const stamps = await this.initiator.read(this.#lba, rangeBlocks)
    return [...new Set(stamps)].sort((left, right) => left - right)
  }
}

/** Logged in after the loss. */
async function judgeLate(t: Test, late: Region): Promise<void> {
  t.equal(await late.attentions(), 0, 'who logs in afterwards hears nothing')
  t.equal(await late.flush(), good, 'and its flush is good')
  late.initiator.leg.close()
}

let initiators = 0

async function region(cluster: HandCluster, shim: HandShim, lba: number): Promise<Region> {
  return new Region(await cluster.attach(shim, volume, `power-${++initiators}`), lba)
}

const lost = `${powerLosses} losses of power: what was not flushed is told, once, to whom it concerns`
t.test(lost, { timeout: patienceMs }, async (t) => {
  const { cluster, shim } = await setUp(t)
  /** Flushes, then writes more; all its writes are covered by that flush; writes nothing. */
  const loser = await region(cluster, shim, 0)
  const covered = await region(cluster, shim, 1024)
  const idle = await region(cluster, shim, 2048)
  const url = `iscsi://${shim.portal}/${volumeIqn(volume)}/0`
  const stock = await QemuWriter.open({ url, offsetBytes: 8 * MIB, slots: 1, slotBytes: 65_536 })
  t.teardown(() => stock.close())
  let heldFlushes = 0

  for (let round = 1; round <= powerLosses; round++) {
    const server = cluster.servers[round % stripe]!
    const before = await epochs(cluster)
    t.strictSame(
      [await covered.write(), await loser.write(), await loser.flush()],
      [good, good, good],
    )
    const durable = loser.stamp
    t.equal(await loser.write(), good)
    t.match(await stock.command(`write -P ${round} 8M 128k`), /wrote 131072/)

    const powerBack = cluster.losePower(server)
    // Every second time a flush is on the way while nobody serves.
    const held = round % 2 === 0 ? loser.flush() : undefined
    await powerBack
    await lossKnown(cluster, shim, server, before.get(server.name) ?? 0)
    const after = await epochs(cluster)
    for (const [name, epoch] of after) {
      t.equal(epoch > (before.get(name) ?? 0), name === server.name, `epoch at ${name}: ${epoch}`)
    }

    await judgeLate(t, await region(cluster, shim, 0))
    const first = await held
    t.equal(await loser.attentions(), 1, 'the session that stood hears of it')
    if (first === good) t.strictSame(await loser.stamps(), [loser.stamp], 'flushed just before')
    else t.equal(first ?? (await loser.flush()), writeError, 'the next flush fails')
    if (first === writeError) heldFlushes++
    t.equal(await loser.flush(), good, 'the one after that is good')
    const found = await loser.stamps()
    t.ok(
      found.every((stamp) => stamp >= durable),
      `flushed ${durable}, found ${found}`,
    )
    for (const other of [covered, idle]) {
      t.equal(await other.attentions(), 1)
      t.equal(await other.flush(), good, 'nothing of it was lost')
      t.strictSame(await other.stamps(), [other.stamp])
    }
    t.match(await stock.flush(), stockWriteError, 'a stock initiator is told')
    t.notMatch(await stock.flush(), /fail|error/i, 'once')
  }
  t.ok(heldFlushes > 0, `${heldFlushes} flushes were held over a loss of power`)
  const shown = (await cluster.verb(['volume', 'show', volume])) as {
    readonly segments: readonly { readonly epoch: number }[]
  }
  for (const { epoch } of shown.segments) t.ok(epoch >= powerLosses / stripe, `epoch ${epoch}`)
})

const failed = 'a failed sync is never followed by GOOD before its error was told'
t.test(failed, { timeout: patienceMs }, async (t) => {
  const { cluster, shim } = await setUp(t)
  const flushing = await region(cluster, shim, 0)
  const other = await region(cluster, shim, 1024)
  for (let failing = 1; failing <= failedSyncs; failing++) {
    const server = cluster.servers[failing % stripe]!
    const killed = (await epochs(cluster)).get(server.name) ?? 0
    await cluster.restartServer(server, {
      PALISADE_TEST_SEED: String(failing),
      PALISADE_TEST_FAIL_FLUSH: String(failing + 8),
    })
    await lossKnown(cluster, shim, server, killed)
    // A SIGKILL loses what was not flushed, too: that is told first.
    for (const each of [flushing, other]) {
      await each.attentions()
      await each.flush()
    }
    const epoch = (await epochs(cluster)).get(server.name) ?? 0
    let durable = 0
    let told = good
    for (let flushes = 0; told === good && flushes < 50; flushes++) {
      durable = flushing.stamp
      // A sync of the server's own may be the one that fails: then the attention comes first.
      for (const each of [flushing, other]) while ((await each.write()) === powerOn);
      do told = await flushing.flush()
      while (told === powerOn)
    }
    t.equal(told, writeError, `sync ${failing + 8} failed: the flush that needed it says so`)
    await lossKnown(cluster, shim, server, epoch)
    await other.attentions()
    t.equal(await other.flush(), writeError, 'and so does the next one of whoever else had written')
    t.equal(await other.flush(), good)
    await flushing.attentions()
    t.match(await flushing.flush(), /^(good|sense 3\/c\/0)$/, 'its writes had failed to be flushed')
    t.equal(await flushing.flush(), good)
    const found = await flushing.stamps()
    t.ok(
      found.every((stamp) => stamp >= durable),
      `flushed ${durable}, found ${found}`,
    )
    t.equal(await flushing.write(), good)
    t.strictSame([await flushing.flush(), await flushing.stamps()], [good, [flushing.stamp]])
  }
})

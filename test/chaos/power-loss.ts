/**
 * Everything loses its power at once: storage servers, manager and shim are killed at a random
 * instant, and the disks of the servers lose any part of what was not flushed. Then all are started
 * again, in any order, and nobody helps. What was flushed is there, and the copies are equal.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { HandCluster, type HandShim } from '../support/hand-cluster.ts'
import { seededFractions } from '../support/seeded-random.ts'
import { type Ended, FencedDisk } from '../support/server-under-test.ts'
import { loadBlocks, StampLoad } from '../support/stamp-load.ts'

const lossyRoot = fileURLToPath(new URL('../support/main-lossy-target.js', import.meta.url))
const volume = 'data'
const deadlineMs = 30_000
const servedMs = 60_000

export interface PowerLossOptions {
  readonly seed: number
  readonly losses: number
  readonly tell: (loss: number, servedAfterMs: number) => void
}

/** What was wrong, in words; empty when all is well. */
export async function losePower({ seed, losses, tell }: PowerLossOptions): Promise<string[]> {
  const random = seededFractions(seed)
  const cluster = await HandCluster.start({ servers: 2, serverRoot: lossyRoot })
  try {
    const policies = { stripe: 0, stalePolicy: 'reject', holdMs: 0, leaseMs: 0 } as const
    const sizeBytes = loadBlocks * 512
    const request = { name: volume, sizeBytes, partitions: [], mirror: 2, ...policies }
    await cluster.admin.createVolume(request, deadlineMs)
    const shim = await cluster.startShim('shim')
    const load = new StampLoad(random)
    const faults: string[] = []
    for (let loss = 1; loss <= losses; loss++) {
      const { disk, servedAfterMs } = await served(cluster, shim, loss)
      tell(loss, servedAfterMs)
      // The first round has nothing to judge; it finds an empty volume.
      faults.push(...(await load.check(disk, 'crash')).map((fault) => `loss ${loss}: ${fault}`))
      const running = load.run(disk)
      await sleep(random() * 300)
      await everythingDies(cluster, shim)
      await running
      await everythingStarts(cluster, shim, { random, seed: seed + loss })
    }
    const { disk } = await served(cluster, shim, losses + 1)
    faults.push(...(await load.check(disk, 'crash')).map((fault) => `in the end: ${fault}`))
    disk.leg.close()
    await copiesMeet(cluster)
    // Ends with an error where the copies differ.
    await cluster.verb(['volume', 'verify', volume])
    if (load.acknowledged < losses) faults.push(`only ${load.acknowledged} commands were answered`)
    return faults
  } finally {
    await cluster.stop()
  }
}

/** A session in which the volume can be read. */
async function served(
  cluster: HandCluster,
  shim: HandShim,
  isid: number,
): Promise<{ disk: FencedDisk; servedAfterMs: number }> {
  const startedMs = performance.now()
  let last = ''
  while (performance.now() - startedMs < servedMs) {
    try {
      const { leg } = await cluster.attach(shim, volume, 'power', isid % 250)
      const disk = new FrontDisk(leg)
      const { how } = await disk.read(0, 1)
      if (how === 'good') return { disk, servedAfterMs: performance.now() - startedMs }
      last = how
      leg.close()
    } catch (error) {
      last = String(error)
    }
    await sleep(20)
  }
  throw new Error(`not served ${servedMs} ms after the power came back: ${last}`)
}

async function everythingDies(cluster: HandCluster, shim: HandShim): Promise<void> {
  const processes = [cluster.manager, shim.process, ...cluster.servers.map((each) => each.process)]
  for (const process of processes) process.kill('SIGKILL')
  await Promise.all(processes.map(({ exited }) => exited))
}

interface Chance {
  readonly random: () => number
  readonly seed: number
}

async function everythingStarts(
  cluster: HandCluster,
  shim: HandShim,
  { random, seed }: Chance,
): Promise<void> {
  const env = { PALISADE_TEST_SEED: String(seed) }
  const starts = [
    () => cluster.startManager(),
    () => cluster.restartShim(shim),
    ...cluster.servers.map((server) => () => cluster.restartServer(server, env)),
  ]
  await Promise.all(
    starts.map(async (start) => {
      await sleep(random() * 500)
      await start()
    }),
  )
}

async function copiesMeet(cluster: HandCluster): Promise<void> {
  const deadline = Date.now() + servedMs
  for (;;) {
    const { volumes } = await cluster.admin.status({}, deadlineMs)
    const replicas = volumes.flatMap((each) => each.replicas)
    if (replicas.length === 2 && replicas.every(({ state }) => state === 'in-sync')) return
    if (Date.now() > deadline) throw new Error(`copies stay apart: ${JSON.stringify(replicas)}`)
    await sleep(50)
  }
}

/** Reads again after a unit attention: the loss may have become known only after the login. */
class FrontDisk extends FencedDisk {
  override async read(lba: number, blocks: number): Promise<Ended> {
    const ended = await super.read(lba, blocks)
    return /sense 70..06/.test(ended.how) ? this.read(lba, blocks) : ended
  }
}

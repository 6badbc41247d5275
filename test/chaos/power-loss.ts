/**
 * Everything loses its power at once, again and again: storage servers, manager and shim are killed,
 * and of what the servers had not flushed any part, or nothing, is on their disks afterwards
 * (support/main-lossy-target.ts). It happens at any moment: under load, while volumes and maps are
 * changed, while a copy is missing or is brought up, while everything is being started. Then all are
 * started again, in any order, and nobody helps. What was flushed is there, what was answered about
 * volumes holds, and the copies become equal.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { HandCluster, type HandShim } from '../support/hand-cluster.ts'
import { seededFractions } from '../support/seeded-random.ts'
import { type Ended, FencedDisk } from '../support/server-under-test.ts'
import { loadBlocks, StampLoad } from '../support/stamp-load.ts'
import { Administrator, volume } from './administrator.ts'
import { drawMoments, type Moment } from './power-moments.ts'

const lossyRoot = fileURLToPath(new URL('../support/main-lossy-target.js', import.meta.url))
const servedMs = 60_000
const longestStartMs = 500
/** By the middle of it processes have begun to find each other. */
const longestBringUpMs = 3_000

export interface Life {
  /** What went on when the power failed. */
  readonly moment: string
  /** From the power's return; absent where it failed again before that. */
  readonly servedAfterMs: number | undefined
  readonly ms: number
  /** What had gone wrong by its beginning, in words. */
  readonly wrong: readonly string[]
}

export interface PowerLossOptions {
  readonly seed: number
  readonly losses: number
  readonly tell: (life: Life, index: number) => void
  readonly signal?: AbortSignal
}

/** What was wrong, in words; empty when all is well. Rejects where a life could not be lived. */
export async function losePower(options: PowerLossOptions): Promise<string[]> {
  const { seed, signal } = options
  const cluster = await HandCluster.start({ servers: 2, serverRoot: lossyRoot })
  const interrupted = new Promise<never>((_, reject) => {
    const end = (): void => reject(new Error('interrupted'))
    if (signal?.aborted === true) end()
    signal?.addEventListener('abort', end)
  })
  const running = cluster.startShim('shim').then((shim) => {
    return new PowerLosses(cluster, shim, seededFractions(seed)).run(options)
  })
  try {
    return await Promise.race([running, interrupted])
  } finally {
    await cluster.kill()
    await running.catch(() => undefined)
  }
}

class PowerLosses {
  readonly #cluster: HandCluster
  readonly #shim: HandShim
  readonly #random: () => number
  readonly #load: StampLoad
  readonly #administrator: Administrator
  readonly #wrong: string[] = []
  #logins = 0

  constructor(cluster: HandCluster, shim: HandShim, random: () => number) {
    this.#cluster = cluster
    this.#shim = shim
    this.#random = random
    this.#load = new StampLoad(random)
    this.#administrator = new Administrator(cluster)
  }

  async run({ losses, tell }: PowerLossOptions): Promise<string[]> {
    await this.#administrator.create(volume, loadBlocks * 512)
    let starting = Promise.resolve()
    for (const [index, moment] of drawMoments(losses, this.#random).entries()) {
      const beganMs = performance.now()
      const before = this.#wrong.length
      const servedAfterMs = await this.#live(moment, starting)
      const wrong = this.#wrong.slice(before)
      tell({ moment: moment.name, servedAfterMs, ms: performance.now() - beganMs, wrong }, index)
      starting = this.#everythingStarts()
      // The next life waits for it, or has the power fail before.
      starting.catch(() => undefined)
    }
    await starting
    const { disk } = await this.#judge('in the end')
    disk.leg.close()
    if (this.#load.acknowledged < losses) {
      this.#wrong.push(`only ${this.#load.acknowledged} commands were answered`)
    }
    return this.#wrong
  }

  /** Ends when nothing has power any more; when the volume was served, or undefined. */
  async #live(moment: Moment, starting: Promise<void>): Promise<number | undefined> {
    if (moment.act === undefined) {
      await sleep(this.#random() * longestBringUpMs)
      await this.#everythingDies(starting)
      return undefined
    }
    await starting
    const { disk, servedAfterMs } = await this.#judge(`before "${moment.name}"`)
    const load = this.#load
    const act = moment.act({
      cluster: this.#cluster,
      administrator: this.#administrator,
      random: this.#random,
      load: () => load.run(disk),
      rest: () => load.rest(),
    })
    await act.reached
    await this.#everythingDies(Promise.resolve())
    await act.ended
    return servedAfterMs
  }

  /** What must be there is, without anybody's help; and the copies become equal. */
  async #judge(when: string): Promise<{ disk: FencedDisk; servedAfterMs: number }> {
    const served = await this.#served()
    const faults = await this.#load.check(served.disk, 'crash')
    faults.push(...(await this.#administrator.check()))
    this.#wrong.push(...faults.map((fault) => `${when}: ${fault}`))
    return served
  }

  /** A session in which the volume can be read. */
  async #served(): Promise<{ disk: FencedDisk; servedAfterMs: number }> {
    const startedMs = performance.now()
    let last = ''
    while (performance.now() - startedMs < servedMs) {
      try {
        const isid = ++this.#logins % 250
        const { leg } = await this.#cluster.attach(this.#shim, volume, 'power', isid)
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

  /** SIGPWR: any part of what a server has not flushed is on its disk; SIGKILL: nothing of it. */
  async #everythingDies(starting: Promise<void>): Promise<void> {
    const { manager, servers } = this.#cluster
    const signal = this.#random() < 0.5 ? 'SIGPWR' : 'SIGKILL'
    for (const server of servers) server.process.kill(signal)
    for (const process of [manager, this.#shim.process]) process.kill('SIGKILL')
    // Those that were to be started yet have not died: they are, at once.
    await Promise.allSettled([starting])
    const all = [manager, this.#shim.process, ...servers.map((each) => each.process)]
    all.push(this.#cluster.manager)
    for (const process of all) process.kill('SIGKILL')
    await Promise.all(all.map(({ exited }) => exited))
  }

  async #everythingStarts(): Promise<void> {
    const cluster = this.#cluster
    const seed = String(Math.floor(this.#random() * 2 ** 31))
    const starts = [
      () => cluster.startManager(),
      () => cluster.restartShim(this.#shim),
      ...cluster.servers.map((server) => () => {
        return cluster.restartServer(server, { PALISADE_TEST_SEED: seed })
      }),
    ]
    const delays = starts.map(() => this.#random() * longestStartMs)
    const started = await Promise.allSettled(
      starts.map((start, i) => sleep(delays[i]).then(() => start())),
    )
    for (const each of started) if (each.status === 'rejected') throw each.reason
  }
}

/** Reads again after a unit attention: the loss may have become known only after the login. */
class FrontDisk extends FencedDisk {
  override async read(lba: number, blocks: number): Promise<Ended> {
    const ended = await super.read(lba, blocks)
    return /sense 70..06/.test(ended.how) ? this.read(lba, blocks) : ended
  }
}

/**
 * Faults, one after the other, under a load that knows what it wrote (scene.ts). After each fault
 * the cluster gets the time to bring its copies together again, and has to use it: the next one
 * finds everything in sync and every path in use.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { seededFractions } from '../support/seeded-random.ts'
import { type Fault, serverFaults } from './faults.ts'
import { gatewayFaults } from './gateway-faults.ts'
import { type Load, Scene } from './scene.ts'
import type { Round } from './stalls.ts'

const answeredMs = 30_000
const longStallMs = 3_000

export const faults: readonly Fault[] = [...serverFaults, ...gatewayFaults]

export interface ChaosResult {
  readonly rounds: readonly Round[]
  readonly errors: readonly string[]
  /** Acknowledged writes that were read back as something else, during the load or after it. */
  readonly stale: readonly string[]
  readonly commands: number
}

export interface ChaosOptions {
  readonly seed: number
  /** Only gateways in front, no shim. */
  readonly gatewaysOnly?: boolean
  /** Which kinds; all that the front ends are there for by default. */
  readonly kinds?: readonly Fault[]
  /** Drawn by chance, every kind equally often; without it each kind once, in its order. */
  readonly rounds?: number
  /** The longest time for which something is dead or cut off. What is stopped is so for 10 s. */
  readonly longestMs?: number
  readonly tell: (round: Round, index: number) => void
  /** Called after rounds with a long stall, with what all processes have said up to then. */
  readonly slow?: (index: number, said: string) => void
  /** Ends everything at once; the promise rejects then. */
  readonly signal?: AbortSignal
}

/** Rejects where a round could not be done; what was done until then has been told. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { signal } = options
  let scene: Scene | undefined
  const running = run(options, (made) => {
    scene = made
    if (signal?.aborted === true) throw new Error('interrupted')
  })
  const interrupted = new Promise<never>((_, reject) => {
    signal?.addEventListener('abort', () => reject(new Error('interrupted')))
  })
  try {
    return await Promise.race([running, interrupted])
  } catch (error) {
    // Interrupted while the cluster was being started: that ends it by itself.
    if (scene === undefined) await running.catch(() => undefined)
    await scene?.kill()
    await running.catch(() => undefined)
    throw error
  }
}

async function run(options: ChaosOptions, made: (scene: Scene) => void): Promise<ChaosResult> {
  const { seed, rounds, tell, slow, gatewaysOnly = false, longestMs = 8_000 } = options
  const random = seededFractions(seed)
  const scene = await Scene.set(
    { shim: !gatewaysOnly, gateways: true, random, longestMs, logs: slow !== undefined },
    made,
  )
  for (const load of scene.loads) load.start()
  await Promise.all(scene.loads.map((load) => more(load, 2)))
  await scene.healthy()
  const kinds = faultsFor(options)
  const done: Round[] = []
  for (const fault of rounds === undefined ? kinds : draw(kinds, rounds, random)) {
    const round = await runRound(scene, fault).catch((error: unknown) => {
      throw new Error(`round ${done.length + 1}, ${fault.name}: ${String(error)}`)
    })
    tell(round, done.length)
    if (round.stallMs > longStallMs) slow?.(done.length, scene.cluster.said())
    done.push(round)
  }
  const result = await judge(scene, done)
  await scene.stop()
  return result
}

/** Those that the front ends are there for. */
function faultsFor({ gatewaysOnly = false, kinds = faults }: ChaosOptions): Fault[] {
  return kinds.filter(({ needs }) => needs !== 'shim' || !gatewaysOnly)
}

async function runRound(scene: Scene, fault: Fault): Promise<Round> {
  const { loads, host } = scene
  const from = loads.map(({ latenciesMs }) => latenciesMs.length)
  const moves = host?.afterMoveMs.length ?? 0
  const beganMs = performance.now()
  await fault.run(scene)
  const undoneMs = performance.now()
  await scene.healthy()
  const recoveryMs = performance.now() - undoneMs
  // Commands that began before the end of the fault have their latency only when they have ended.
  await Promise.all(loads.map((load) => more(load, 2)))
  const parked = (await host?.settle()) ?? 0
  const stallMs = Math.max(...loads.map(({ latenciesMs }, i) => longest(latenciesMs, from[i])))
  const moved = host !== undefined && host.afterMoveMs.length > moves
  const afterMoveMs = moved ? longest(host.afterMoveMs, moves) : undefined
  return { fault, faultMs: undoneMs - beganMs, stallMs, afterMoveMs, recoveryMs, parked }
}

function longest(latenciesMs: readonly number[], from = 0): number {
  return latenciesMs.slice(from).reduce((most, each) => Math.max(most, each), 0)
}

async function more(load: Load, writes: number): Promise<void> {
  const until = load.acknowledgedWrites + writes
  const deadline = Date.now() + answeredMs
  while (load.acknowledgedWrites < until) {
    if (Date.now() > deadline) throw new Error(`no write was answered for ${answeredMs} ms`)
    await sleep(5)
  }
}

async function judge({ loads }: Scene, rounds: readonly Round[]): Promise<ChaosResult> {
  for (const load of loads) await load.stop()
  const stale = loads.flatMap((load) => load.stale)
  for (const [i, load] of loads.entries()) {
    for (const slot of await load.verify()) stale.push(`load ${i}: slot ${slot} in the end`)
  }
  const errors = loads.flatMap((load) => load.errors)
  const commands = loads.reduce((sum, { latenciesMs }) => sum + latenciesMs.length, 0)
  return { rounds, errors, stale, commands }
}

/** Every kind equally often, in any order. */
function draw(kinds: readonly Fault[], count: number, random: () => number): Fault[] {
  const drawn = Array.from({ length: count }, (_, i) => kinds[i % kinds.length]!)
  for (let i = count - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1))
    const kept = drawn[i]!
    drawn[i] = drawn[other]!
    drawn[other] = kept
  }
  return drawn
}

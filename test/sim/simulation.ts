/**
 * One seed: a cluster is made, initiators work while faults come and go; then everything is healed,
 * all that was asked must be answered, all is read once more, and the history must have an order.
 */
import { checkHistory } from './checks/history-check.ts'
import { checkReplicas } from './checks/replicas-check.ts'
import type { Violation } from './checks/violations.ts'
import { Cluster } from './cluster/cluster.ts'
import { strike } from './faults/faults.ts'
import { text } from './load/sim-initiator.ts'
import { drawPlan, type Plan, planText } from './plan.ts'
import { type ThemeName, themeNames, themes } from './themes.ts'
import type { Chance } from './world/chance.ts'
import { World } from './world/world.ts'

export interface SimulationOptions {
  readonly seed: number
  readonly mirrors?: boolean
  /** In the place of the one that the seed would draw; `mix`: none. */
  readonly theme?: ThemeName | 'mix'
  /** In the place of what the seed would draw. */
  readonly scenario?: Scenario
  readonly print?: (line: string) => void
}

export interface Scenario {
  /** Over what the seed draws. */
  readonly plan: Partial<Plan>
  /** What happens, and when. */
  readonly script: (cluster: Cluster) => void
}

export interface Result {
  readonly seed: number
  readonly plan: string
  readonly violations: readonly Violation[]
  readonly fingerprint: string
  readonly events: number
  readonly operations: number
  readonly virtualMs: number
  readonly notes: readonly string[]
}

/** Long enough for every hold, lease and retry that is left when faults are over. */
const recoveryMs = 60_000

export async function simulate(options: SimulationOptions): Promise<Result> {
  const { seed, mirrors = false, print, scenario } = options
  const world = new World(seed, print)
  const theme = scenario === undefined ? drawTheme(world.chance.fork('theme'), options) : undefined
  const themePlan = theme === undefined ? {} : themes[theme].plan(world.chance.fork('theme plan'))
  const drawn = drawPlan(world.chance.fork('plan'), mirrors)
  const plan: Plan = { ...drawn, ...themePlan, ...scenario?.plan }
  const text = theme === undefined ? planText(plan) : `theme ${theme}`
  world.note(`seed ${seed}: ${text}`)
  const cluster = new Cluster(world, plan)
  const { violations, history } = cluster
  const stray = (error: unknown): void => violations.report('stray promise', error)
  process.on('unhandledRejection', stray)
  try {
    await cluster.start()
    if (scenario !== undefined) scenario.script(cluster)
    else if (theme === undefined) scheduleFaults(cluster, plan)
    else themes[theme].run(cluster, world.chance.fork('theme run'))
    await world.run(() => violations.all.length > 0, plan.loadMs)
    if (violations.all.length === 0) await settle(cluster)
    if (violations.all.length === 0 && plan.volumes.some(({ mirror }) => mirror > 1)) {
      await checkReplicas(cluster)
    }
    checkHistory(history, violations)
  } catch (error) {
    violations.report('simulator', error)
  } finally {
    process.off('unhandledRejection', stray)
  }
  return {
    seed,
    plan: text,
    violations: violations.all,
    fingerprint: world.fingerprint,
    events: world.events,
    operations: history.operations.size,
    virtualMs: world.nowMs,
    notes: world.notes,
  }
}

/** One seed of three has the mix of all faults. */
function drawTheme(
  chance: Chance,
  { theme, mirrors = false }: SimulationOptions,
): ThemeName | undefined {
  if (theme !== undefined) return theme === 'mix' ? undefined : theme
  return chance.below(3) === 0 ? undefined : chance.pick(themeNames(mirrors))
}

function scheduleFaults(cluster: Cluster, plan: Plan): void {
  const { world } = cluster
  if (plan.faults.length === 0) return
  const chance = world.chance.fork('schedule')
  let atMs = 0
  for (let number = 1; ; number++) {
    atMs += chance.between(0, 2 * plan.faultEveryMs)
    if (atMs >= plan.loadMs) return
    const name = chance.pick(plan.faults)
    const own = world.chance.fork(`fault ${number}`)
    world.after(atMs, () => strike(name, cluster, own))
  }
}

/** Faults are over: everybody is answered, and everything can be read. */
async function settle(cluster: Cluster): Promise<void> {
  const { world, initiators, violations, fences } = cluster
  cluster.heal()
  for (const initiator of initiators) initiator.stopLoad()
  const quiet = (): boolean => initiators.every(({ idle }) => idle) && fences.pending === 0
  if (!(await world.run(quiet, recoveryMs))) {
    const stuck = initiators.flatMap(({ open, options }) =>
      [...open.keys()].map((operation) => `${options.name} ${operation.number} ${text(operation)}`),
    )
    const calls = fences.pending > 0 ? [`${fences.pending} calls of the administrator`] : []
    violations.add('progress', `not answered after faults: ${[...stuck, ...calls].join(', ')}`)
    return
  }
  for (const initiator of initiators) {
    const all = initiator.readAll().then(() => initiator.flush())
    let done = false
    void all.then(() => {
      done = true
    })
    if (!(await world.run(() => done, recoveryMs))) {
      violations.add('progress', `${initiator.options.name} cannot read everything after faults`)
      return
    }
  }
}

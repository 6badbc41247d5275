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
  /** One copy of everything, or several at times; otherwise the seed decides. */
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
  readonly script: (cluster: Cluster) => void | Promise<void>
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
  const { seed, print, scenario } = options
  const world = new World(seed, print)
  const { theme, mirrors } = drawKind(world.chance.fork('theme'), options)
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
    const over = begin(cluster, { theme, scenario, plan })
    await world.run(() => over() || violations.all.length > 0, plan.loadMs)
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

interface Kind {
  /** None: the mix of all faults. */
  readonly theme: ThemeName | undefined
  readonly mirrors: boolean
}

/** What a seed draws where nothing is asked for: one of four has the mix of all faults. */
function drawKind(chance: Chance, { theme, mirrors, scenario }: SimulationOptions): Kind {
  const isMix = chance.below(4) === 0
  const drawn = chance.pick(themeNames(mirrors))
  const copies = mirrors ?? chance.happens(0.7)
  if (scenario !== undefined || theme === 'mix' || (theme === undefined && isMix)) {
    return { theme: undefined, mirrors: copies }
  }
  const name = theme ?? drawn
  return { theme: name, mirrors: themes[name].mirrors }
}

/** The theme that a seed draws by itself. */
export function drawnTheme(seed: number): ThemeName | undefined {
  return drawKind(new World(seed).chance.fork('theme'), { seed }).theme
}

interface Story {
  readonly theme: ThemeName | undefined
  readonly scenario: Scenario | undefined
  readonly plan: Plan
}

/** What is to happen happens from now on; returns whether all of it has. */
function begin(cluster: Cluster, story: Story): () => boolean {
  let over = false
  play(cluster, story)?.then(
    () => {
      over = true
    },
    (error: unknown) => cluster.violations.report('script', error),
  )
  return () => over
}

function play(cluster: Cluster, { theme, scenario, plan }: Story): ReturnType<Scenario['script']> {
  if (scenario !== undefined) return scenario.script(cluster)
  if (theme !== undefined) return themes[theme].run(cluster, cluster.world.chance.fork('theme run'))
  scheduleFaults(cluster, plan)
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

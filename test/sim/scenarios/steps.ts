/**
 * A schedule that once mattered, step by step, on one server and through one client: nobody works by
 * himself. It is run for a few seeds, because what becomes of operations that are cut off is drawn.
 */
import type { Test } from 'tap'
import { pageBytes } from '../../../src/base/limits.ts'
import { sectorBytes } from '../load/stamps.ts'
import type { Plan } from '../plan.ts'
import { simulate } from '../simulation.ts'
import { Script } from '../themes/script.ts'
import { weights } from '../themes/theme.ts'

const seeds = 6
const pages = 4
export const pageBlocks = pageBytes / sectorBytes
export const portals = ['s1a', 's1b']

const plan: Partial<Plan> = {
  servers: 1,
  shims: 1,
  gateways: 0,
  initiators: 1,
  workers: 0,
  volumes: [{ name: 'v1', pages, stripe: 0, mirror: 1, leaseMs: 0 }],
  places: Array.from({ length: pages }, (_, i) => i * pageBlocks),
  capacityPages: 1_000,
  clocksDiffer: false,
  patienceMs: 30_000,
  pings: 0,
  aborts: 0,
  newIsids: 0,
  frontPortals: 1,
  weights: weights({}),
  loadMs: 4_000,
}

/** Everything that was asked was answered, and what was seen can be explained. */
export async function sound(
  t: Test,
  own: Partial<Plan>,
  steps: (script: Script) => Promise<void>,
): Promise<void> {
  for (let seed = 1; seed <= seeds; seed++) {
    let left = true
    const { violations } = await simulate({
      seed,
      scenario: {
        plan: { ...plan, ...own },
        script: (cluster) => {
          const script = new Script(cluster, cluster.world.chance.fork('steps'))
          steps(script).then(
            () => {
              left = false
            },
            (error: unknown) => cluster.violations.report('steps', error),
          )
        },
      },
    })
    t.same(violations, [], `seed ${seed}`)
    t.notOk(left, 'all steps were taken')
  }
}

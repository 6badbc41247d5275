/** Two servers that may both believe that they serve the volume, as scripts: a client for each of them. */
import t, { type Test } from 'tap'
import type { Cluster } from '../cluster/cluster.ts'
import type { Plan } from '../plan.ts'
import { simulate } from '../simulation.ts'
import { managers, others, part, primaryOf, weights } from '../themes/theme.ts'

t.setTimeout(240_000)

const plan: Partial<Plan> = {
  servers: 2,
  shims: 2,
  gateways: 0,
  initiators: 1,
  /** The first client reads, and the other one writes. */
  readers: 1,
  volumes: [{ name: 'v1', pages: 2, stripe: 0, mirror: 2, leaseMs: 3_000 }],
  workers: 2,
  thinkMs: 40,
  weights: weights({}),
  capacityPages: 1_000,
  clocksDiffer: false,
  patienceMs: 30_000,
  hotPlaces: 1,
  loadMs: 6_000,
}

/** The reader sees nothing old, and the other copy came to serve while the faults went on. */
async function sound(t: Test, script: (cluster: Cluster) => void): Promise<void> {
  const said: string[] = []
  const print = (line: string): void => void said.push(line)
  const { violations, operations } = await simulate({ seed: 1, print, scenario: { plan, script } })
  t.same(violations, [])
  t.ok(operations > 50, 'initiators were at work')
  const changed = said.findIndex((line) => /map changed .*generation=2/.test(line))
  t.ok(changed > 0 && changed < said.findIndex((line) => line.includes('faults are over')))
}

/** The primary has the reader and nobody else; what the writer has begun there ends first. */
function cutOff(cluster: Cluster, ms: number): void {
  const primary = primaryOf(cluster)
  const rest = others(cluster, primary).map(({ name }) => name)
  part(cluster, [primary.name], ['c2'], ms)
  cluster.world.after(80, () => part(cluster, [primary.name, 'c1'], [...managers, ...rest], ms))
}

await t.test('a primary that is cut off stops by its clock', (t) =>
  sound(t, (cluster) => {
    cluster.world.after(600, () => cutOff(cluster, 5_000))
  }),
)

await t.test('so, and its boot clock stands still while it is looked at again and again', (t) =>
  sound(t, (cluster) => {
    cluster.world.after(500, () => primaryOf(cluster).machine.stopBootClock(5_500))
    cluster.world.after(600, () => cutOff(cluster, 5_000))
  }),
)

await t.test('so, and the other copy began anew: it may have confirmed a moment ago', (t) =>
  sound(t, (cluster) => {
    const { world } = cluster
    world.after(600, () => {
      const [other] = others(cluster, primaryOf(cluster))
      cutOff(cluster, 5_000)
      world.after(80, () => other!.kill())
      world.after(100, () => other!.start())
    })
  }),
)

/** Changes of a configuration with their messages in the wrong order, as scripts: one server, two clients. */
import t, { type Test } from 'tap'
import type { Cluster } from '../cluster/cluster.ts'
import type { Plan } from '../plan.ts'
import { simulate } from '../simulation.ts'
import { managers, part, weights } from '../themes/theme.ts'

t.setTimeout(240_000)

const plan: Partial<Plan> = {
  servers: 1,
  shims: 2,
  gateways: 0,
  initiators: 1,
  volumes: [{ name: 'v1', pages: 2, stripe: 0, mirror: 1, leaseMs: 0 }],
  workers: 2,
  thinkMs: 40,
  weights: weights({ write: 2 }),
  capacityPages: 1_000,
  clocksDiffer: false,
  patienceMs: 30_000,
  hotPlaces: 1,
  loadMs: 4_500,
}

/** One in which a call that was given up comes late; others are lost. */
const seed = 2

/** Nothing of a fenced client has an effect any more; what was said on the way has to be there. */
async function sound(
  t: Test,
  expected: readonly (string | RegExp)[],
  script: (cluster: Cluster) => void,
): Promise<void> {
  const said: string[] = []
  const print = (line: string): void => void said.push(line)
  const { violations, operations } = await simulate({ seed, print, scenario: { plan, script } })
  t.same(violations, [])
  t.ok(operations > 50, 'initiators were at work')
  const text = said.join('\n')
  for (const each of expected) t.match(text, each)
}

/** The activate of a change is given up after its deadline, and comes a little later. */
function lateActivate({ world, links, fences }: Cluster): void {
  fences.fenceClient(1, 2, 60)
  world.after(40, () => {
    world.after(1_100, links.slow(['m'], ['s1'], 1_300))
  })
}

/** What follows the close of this fence takes two seconds to the server. */
function fenceWithSlowEnd(cluster: Cluster): void {
  const { world, links, fences, manager } = cluster
  part(cluster, ['c1'], managers, 4_000)
  manager.store.faults.slowMs = 150
  fences.fenceClient(1, 1, 2_000)
  world.after(8, () => cluster.undoLater(2_000, links.slow(['m'], ['s1'], 2_000)))
}

await t.test(
  'an activate comes after its deadline, when the next change has closed the server',
  (t) =>
    sound(t, ['fence c1: done'], (cluster) => {
      cluster.world.after(300, () => lateActivate(cluster))
      cluster.world.after(1_560, () => fenceWithSlowEnd(cluster))
    }),
)

await t.test('so, and the server was killed in between: it is closed all the same', (t) =>
  sound(t, ['fence c1: done', 's1: killed'], (cluster) => {
    const { world, servers } = cluster
    world.after(300, () => lateActivate(cluster))
    world.after(1_460, () => fenceWithSlowEnd(cluster))
    world.after(1_475, () => servers[0]!.kill())
    world.after(1_480, () => servers[0]!.start())
  }),
)

await t.test(
  'a server that was declared dead returns, and only an unknowing client reaches it',
  (t) =>
    sound(t, ['declare s1 dead: done', 'fence c1: done'], (cluster) => {
      const { world, fences, servers } = cluster
      world.after(500, () => {
        part(cluster, ['c1'], managers, 4_000)
        servers[0]!.kill()
        fences.declareDead('s1')
      })
      world.after(700, () => fences.fenceClient(1, 1, 3_000))
      world.after(1_000, () => {
        part(cluster, ['s1'], managers, 2_000)
        servers[0]!.start()
      })
    }),
)

await t.test('a manager goes on after its successor has undone the close of its change', (t) =>
  sound(t, [/fence c1: (?!done)/], (cluster) => {
    const { world, links, fences, manager } = cluster
    world.after(500, () => {
      part(cluster, ['c1'], managers, 4_000)
      cluster.undoLater(100, links.slow(['s1'], ['m'], 100))
      fences.fenceClient(1, 1, 2_000)
    })
    world.after(560, () => manager.replace(600))
    // It is not told by the server in time that another one gives orders there now.
    world.after(900, () => cluster.undoLater(1_800, links.hold(['s1'], ['m'])))
  }),
)

await t.test('a client is fenced and let in again while its writes wait for their way', (t) =>
  sound(t, ['fence c1: done', 'admit c1: done', 'failed: fenced'], (cluster) => {
    cluster.world.after(500, () => part(cluster, ['c1'], ['s1a', 's1b', ...managers], 1_500))
    cluster.world.after(800, () => cluster.fences.fenceClient(1, 1, 20, true))
  }),
)

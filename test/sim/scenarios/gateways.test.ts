/**
 * An initiator with two paths to a volume on one server, through two gateways or to two portals of
 * one shim: schedules in which what it sent on one, or wrote there, must not be forgotten or come late.
 */
import t, { type Test } from 'tap'
import type { Cluster } from '../cluster/cluster.ts'
import type { Plan } from '../plan.ts'
import { simulate } from '../simulation.ts'
import { activeGateway, managers, part, weights } from '../themes/theme.ts'

t.setTimeout(240_000)

const plan: Partial<Plan> = {
  servers: 1,
  shims: 0,
  gateways: 2,
  initiators: 1,
  workers: 2,
  thinkMs: 20,
  volumes: [{ name: 'v1', pages: 2, stripe: 0, mirror: 1, leaseMs: 0 }],
  capacityPages: 1_000,
  clocksDiffer: false,
  fast: true,
  hotPlaces: 1,
  aborts: 0,
  asksForPath: 0,
  patienceMs: 300,
  loadMs: 6_000,
  weights: weights({ write: 2 }),
}

/** With several seeds: what matters is who comes first, by less than a millisecond. */
async function sound(
  t: Test,
  own: Partial<Plan>,
  script: (cluster: Cluster) => void,
): Promise<void> {
  for (const seed of [1, 2, 3]) {
    const scenario = { plan: { ...plan, ...own }, script }
    const { violations, operations } = await simulate({ seed, scenario })
    t.same(violations, [], `seed ${seed}`)
    t.ok(operations > 50, 'initiators were at work')
  }
}

function reset(cluster: Cluster, gateway: string): void {
  for (const machine of cluster.initiatorMachines(gateway)) {
    cluster.network.resetBetween(machine, gateway)
  }
}

await t.test('a command waits in one gateway until the other counts as lost, which goes on', (t) =>
  sound(t, {}, (cluster) => {
    const { world, links, gateways } = cluster
    world.after(300, () => {
      const active = activeGateway(cluster)
      const other = gateways.find((each) => each !== active)!
      // It serves, and the manager does not hear of it.
      part(cluster, [active.name], managers, 5_000)
      world.after(2_300, () => reset(cluster, active.name))
      // The initiator goes to the other one, and returns before anybody there notices.
      const initiators = cluster.initiatorMachines(active.name)
      world.after(2_340, () => links.slow(initiators, [other.name], 2_000))
    })
  }),
)

await t.test('a command is in a gateway that stands still, and its initiator at the other', (t) =>
  sound(t, { asksForPath: 1 }, (cluster) => {
    const { world, gateways } = cluster
    for (const atMs of [500, 2_500, 4_500]) {
      world.after(atMs, () => activeGateway(cluster).process?.stop(1_500))
    }
    world.after(3_500, () => gateways[0]!.process?.stop(700))
  }),
)

await t.test('what was written through one gateway is lost, and flushed through the other', (t) => {
  const load = weights({ read: 3, write: 1, flush: 0.2 })
  return sound(t, { asksForPath: 1, weights: load, patienceMs: 600, hotPlaces: 4 }, (cluster) => {
    const { world, servers, links } = cluster
    const [server] = servers
    for (const [lostAtMs, leftAtMs] of [
      // Before the initiator leaves the first one, and after.
      [1_000, 1_100],
      [3_500, 3_400],
    ] as const) {
      world.after(leftAtMs, () => {
        const { name } = activeGateway(cluster)
        const initiators = cluster.initiatorMachines(name)
        cluster.undoLater(1_300, links.hold(initiators, [name]))
        reset(cluster, name)
      })
      world.after(lostAtMs, () => {
        server!.machine.losePower()
        cluster.undoLater(300, () => {
          server!.machine.powerOn()
          server!.start()
        })
      })
    }
  })
})

await t.test(
  'one of two sessions with a shim ends, and what it sent is slow at the server',
  (t) => {
    const ways = { shims: 1, gateways: 0, frontPortals: 2, portalsAtOnce: true, failsBack: 1 }
    return sound(t, { ...ways, patienceMs: 20_000, thinkMs: 10 }, (cluster) => {
      const { world, servers, network } = cluster
      for (const { disk } of servers) disk.faults.slowMs = 200
      for (let atMs = 400; atMs < 5_000; atMs += 620) {
        world.after(atMs, () => {
          for (const machine of cluster.initiatorMachines('c1'))
            network.resetBetween(machine, 'c1b')
        })
      }
    })
  },
)

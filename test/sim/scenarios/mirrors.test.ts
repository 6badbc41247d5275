/** Schedules that once mattered, as scripts: on two copies on two servers. */
import t, { type Test } from 'tap'
import type { Cluster } from '../cluster/cluster.ts'
import type { Plan } from '../plan.ts'
import { simulate } from '../simulation.ts'

const plan: Partial<Plan> = {
  servers: 2,
  shims: 1,
  initiators: 2,
  volumes: [{ name: 'v1', pages: 70, stripe: 0, mirror: 2, leaseMs: 0 }],
  capacityPages: 1_000,
  clocksDiffer: false,
  patienceMs: 30_000,
  loadMs: 9_000,
}

async function sound(t: Test, script: (cluster: Cluster) => void): Promise<void> {
  const { violations, operations } = await simulate({ seed: 1, scenario: { plan, script } })
  t.same(violations, [])
  t.ok(operations > 20, 'initiators were at work')
}

await t.test('the primary is killed, and the other one after its return', (t) =>
  sound(t, ({ world, servers: [one, other] }) => {
    world.after(1_000, () => one!.kill())
    world.after(2_500, () => one!.start())
    world.after(6_000, () => other!.kill())
    world.after(7_000, () => other!.start())
  }),
)

await t.test('the primary stands still for longer than its lease, then goes on', (t) =>
  sound(t, ({ world, servers }) => {
    for (const { process } of servers.slice(0, 1)) world.after(1_000, () => process!.stop(6_000))
  }),
)

await t.test('the machine of the primary is suspended: only one of its clocks goes on', (t) =>
  sound(t, ({ world, servers: [one] }) => {
    world.after(1_000, () => one!.machine.suspend(5_000))
  }),
)

await t.test('a reboot within the time of its detection', (t) =>
  sound(t, ({ world, servers: [one, other] }) => {
    for (const [atMs, server] of [
      [1_000, one!],
      [4_000, other!],
    ] as const) {
      world.after(atMs, () => server.machine.losePower())
      world.after(atMs + 100, () => {
        server.machine.powerOn()
        server.start()
      })
    }
  }),
)

await t.test('what the copies send each other is held one way, then the manager as well', (t) =>
  sound(t, ({ world, links, servers: [one, other] }) => {
    world.after(1_000, () => {
      const heal = links.hold([one!.name], [other!.name])
      world.after(4_000, heal)
    })
    world.after(2_000, () => {
      const heal = links.hold(['m', 'ma'], [one!.name])
      world.after(4_000, heal)
    })
  }),
)

await t.test('a loss of power everywhere, and the machines return one by one', (t) =>
  sound(t, (cluster) => {
    const { world, servers, manager } = cluster
    world.after(2_000, () => {
      for (const { machine } of [...servers, manager]) machine.losePower()
    })
    servers.forEach((server, i) => {
      world.after(3_000 + 1_500 * i, () => {
        server.machine.powerOn()
        server.start()
      })
    })
    world.after(4_000, () => {
      manager.machine.powerOn()
      manager.start()
    })
  }),
)

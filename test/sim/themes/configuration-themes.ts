/** Schedules against configuration changes: clients that are fenced, servers and managers that forget. */
import { dense, managers, part, slowOne, type Theme, weights } from './theme.ts'

/** Data are on their way when their client is fenced. */
export const fenced: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 2, write: 1, large: chance.pick([0, 1, 3]) })
    return dense(chance, { weights: load, loadMs: 7_000, servers: chance.pick([1, 2]) }, 1)
  },
  run: (cluster, chance) => {
    const { world, links } = cluster
    for (let atMs = 300; atMs < 6_000; atMs += chance.between(900, 2_000)) {
      world.after(atMs, () => {
        const ms = chance.between(30, 400)
        cluster.undoLater(1_500, links.slow(['c1'], ['s1', 's2'], ms))
        if (chance.happens(0.5)) part(cluster, ['c1'], managers, chance.between(100, 1_500))
        if (chance.happens(0.5)) slowOne(cluster, chance)
        world.after(chance.between(20, 500), () =>
          cluster.fences.fenceClient(1, 1, chance.pick([3, 30, 900])),
        )
      })
    }
  },
}

/** A server forgets, between close and commit, that it is closed. */
export const closedAndGone: Theme = {
  mirrors: false,
  plan: (chance) => dense(chance, { loadMs: 8_000, servers: 1, weights: weights({ read: 2 }) }, 1),
  run: (cluster, chance) => {
    const { world, manager, servers } = cluster
    world.after(chance.between(500, 1_500), () => {
      const server = servers[0]!
      const lateMs = chance.between(400, 1_500)
      part(cluster, ['c1'], managers, 6_000)
      manager.store.faults.slowMs = lateMs
      cluster.undoLater(2_500, () => {
        manager.store.faults.slowMs = 0
      })
      cluster.fences.fenceClient(1, 1, 4_000)
      world.after(chance.skewed(0.3, 100), () => {
        if (chance.happens(0.5)) server.machine.losePower()
        else server.kill()
        cluster.undoLater(chance.between(5, 80), () => {
          server.machine.powerOn()
          server.start()
        })
      })
      world.after(chance.between(100, 400), () => part(cluster, [server.name], managers, 4_000))
    })
  },
}

/** One manager stands still in the middle of a change, and its successor makes another one. */
export const twoManagers: Theme = {
  mirrors: false,
  plan: (chance) =>
    dense(
      chance,
      { loadMs: 9_000, servers: chance.pick([1, 2]), weights: weights({ read: 2 }) },
      1,
    ),
  run: (cluster, chance) => {
    const { world, manager, links } = cluster
    for (const atMs of [500, 4_500]) {
      world.after(atMs, () => {
        part(cluster, ['c1'], managers, 3_500)
        const slow = chance.happens(0.6)
        if (slow) cluster.undoLater(400, links.slow(['m'], ['s1'], chance.between(50, 1_500)))
        cluster.fences.fenceClient(1, 2, 40)
        world.after(chance.skewed(0.3, 60), () => manager.replace(chance.between(50, 1_500)))
        for (const ms of [150, 700, 1_400]) {
          world.after(ms, () => cluster.fences.fenceClient(1, 1, 2_000))
        }
      })
    }
  },
}

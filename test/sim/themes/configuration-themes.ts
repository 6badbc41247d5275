/** Schedules against configuration changes: clients that are fenced, servers and managers that forget. */
import type { Cluster } from '../cluster/cluster.ts'
import { MistakenSender } from '../load/mistaken-sender.ts'
import type { Chance } from '../world/chance.ts'
import { dense, managers, part, slowOne, type Theme, weights } from './theme.ts'

/** What a client sends is slow while it is fenced, and it may know nothing of that. */
const fenced: Theme = {
  mirrors: false,
  plan: (chance) => dense(chance, { loadMs: 4_000, servers: 1, weights: weights({ read: 2 }) }, 1),
  run: (cluster, chance) => {
    const { world, links } = cluster
    for (const atMs of [200, 2_000]) {
      world.after(atMs, () => {
        cluster.undoLater(1_500, links.slow(['c1'], ['s1'], chance.between(30, 400)))
        if (chance.happens(0.7)) part(cluster, ['c1'], managers, chance.between(300, 1_500))
        if (chance.happens(0.3)) slowOne(cluster, chance)
        world.after(chance.between(20, 500), () =>
          cluster.fences.fenceClient(1, 1, chance.pick([30, 900])),
        )
      })
    }
  },
}

/** Commands have come and their data are on the way when their client is fenced; another one reads. */
const dataUnderWay: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 0, write: 0.3, large: 3 })
    const volumes = [{ name: 'v1', pages: 6, stripe: 0, mirror: 1, leaseMs: 0 }]
    const size = { servers: 1, volumes, workers: 4, readers: 1 }
    return dense(chance, { ...size, weights: load, loadMs: 3_200 }, 1)
  },
  run: (cluster, chance) => {
    const { world, links } = cluster
    world.after(100, () => {
      cluster.undoLater(3_000, links.slow(['c2'], ['s1'], chance.between(60, 250)))
    })
    for (const atMs of [300, 1_300, 2_300]) {
      world.after(atMs + chance.between(0, 200), () => {
        if (chance.happens(0.8)) part(cluster, ['c2'], managers, 450)
        cluster.fences.fenceClient(1, 2, 400)
      })
    }
  },
}

/** The store is slow: what a client has begun there ends after its fence could have returned. */
const fencedWhileSlow: Theme = {
  mirrors: false,
  plan: (chance) => {
    const load = weights({ read: 2, write: 2 })
    return dense(chance, { weights: load, loadMs: 3_500, servers: 1, workers: 3 }, 1)
  },
  run: (cluster, chance) => {
    const { world } = cluster
    for (const atMs of [200, 1_700]) {
      world.after(atMs, () => {
        slowOne(cluster, chance)
        world.after(chance.between(50, 600), () => cluster.fences.fenceClient(1, 1, 700))
      })
    }
  },
}

/** What is told to the server after its close comes late; the client knows nothing at all. */
function bringAlongLate(cluster: Cluster, ms: number): void {
  const { world, links, manager, fences } = cluster
  manager.store.faults.slowMs = 150
  fences.fenceClient(1, 1, 3_000)
  // The close is answered by now, and the commit under way.
  world.after(8, () => cluster.undoLater(ms, links.slow(['m'], ['s1'], ms)))
  cluster.undoLater(300, () => {
    manager.store.faults.slowMs = 0
  })
}

/** The decision was made, and the server that is closed has not heard of it. */
const closedForLong: Theme = {
  mirrors: false,
  plan: (chance) => dense(chance, { loadMs: 3_500, servers: 1 }, 1),
  run: (cluster, chance) => {
    cluster.world.after(chance.between(200, 500), () => {
      part(cluster, ['c1'], managers, 4_000)
      bringAlongLate(cluster, chance.between(1_400, 2_200))
    })
  },
}

/** An activate that was given up comes when the next change has closed the server. */
const lateActivateOf = ({ restart }: { readonly restart: boolean }): Theme => ({
  mirrors: false,
  plan: (chance) => dense(chance, { loadMs: 5_500, servers: 1, workers: 3 }, 1),
  run: (cluster, chance) => {
    const { world, links, fences, manager } = cluster
    world.after(chance.between(200, 500), () => {
      const beforeMs = restart ? chance.between(150, 350) : chance.between(15, 250)
      const lateMs = chance.between(1_150, 1_400) + beforeMs
      fences.fenceClient(1, 2, 60)
      // To let a client in is a commit and an activate, and this one is late.
      world.after(40, () => {
        world.after(lateMs - beforeMs + 15, links.slow(['m'], ['s1'], lateMs))
      })
      // The next change may be another manager's.
      if (chance.happens(0.3)) world.after(150, () => manager.replace(chance.between(50, 500)))
      world.after(400, () => part(cluster, ['c1'], managers, 5_000))
      world.after(lateMs + 60 - beforeMs, () => {
        bringAlongLate(cluster, chance.between(1_500, 2_200))
        if (restart) world.after(chance.between(9, 20), () => restartSoon(cluster, chance))
      })
    })
  },
})

function restartSoon(cluster: Cluster, chance: Chance): void {
  const [server] = cluster.servers
  server!.kill()
  cluster.undoLater(chance.between(2, 20), () => server!.start())
}

const lateActivate = lateActivateOf({ restart: false })

/** So, and the server forgets in between that it is closed. */
const closedAndGone = lateActivateOf({ restart: true })

/** A server that was declared dead comes back, and hears of nobody but a client that knows nothing. */
const declaredDead: Theme = {
  mirrors: false,
  plan: (chance) => dense(chance, { loadMs: 4_500, servers: 1 }, 1),
  run: (cluster, chance) => {
    const { world, fences, servers } = cluster
    const server = servers[0]!
    world.after(chance.between(200, 600), () => {
      part(cluster, ['c1'], managers, 5_000)
      server.kill()
      world.after(chance.between(20, 200), () => fences.declareDead(server.name))
      world.after(300, () => fences.fenceClient(1, 1, 3_500))
      world.after(600, () => {
        part(cluster, [server.name], managers, chance.between(1_500, 2_500))
        cluster.undoLater(chance.between(10, 100), () => server.start())
      })
    })
  },
}

/** A client is fenced and let in again while what it was asked waits for the way to the server. */
const letInAgain: Theme = {
  mirrors: false,
  plan: (chance) => dense(chance, { loadMs: 3_500, servers: 1, weights: weights({ write: 2 }) }, 1),
  run: (cluster, chance) => {
    const { world, fences } = cluster
    world.after(chance.between(200, 500), () => {
      const ms = chance.between(500, 2_000)
      part(cluster, ['c1'], ['s1a', 's1b'], ms)
      if (chance.happens(0.5)) part(cluster, ['c1'], managers, ms)
      world.after(chance.between(100, 400), () => {
        fences.fenceClient(1, 1, chance.between(3, 60), true)
      })
    })
  },
}

/** A manager stands still between close and commit; its successor undoes the close. */
const lateManager: Theme = {
  mirrors: false,
  plan: (chance) => dense(chance, { loadMs: 3_600, servers: 1 }, 1),
  run: (cluster, chance) => {
    const { world, links, fences, manager } = cluster
    world.after(chance.between(200, 500), () => {
      part(cluster, ['c1'], managers, 4_500)
      const slowMs = chance.between(40, 150)
      cluster.undoLater(slowMs, links.slow(['s1'], ['m'], slowMs))
      fences.fenceClient(1, 1, 2_500)
      world.after(chance.between(5, slowMs * 0.9), () => manager.replace(chance.between(450, 800)))
      // It is not told by the server in time that another one gives orders there now.
      world.after(400, () => cluster.undoLater(1_800, links.hold(['s1'], ['m'])))
    })
  },
}

/** Somebody who is shut out knows the newest generation all the same. */
const mistakenClient: Theme = {
  mirrors: false,
  plan: (chance) => dense(chance, { loadMs: 1_500, servers: 1 }, 1),
  run: (cluster, chance) => {
    const sender = new MistakenSender(cluster)
    const [server] = cluster.servers
    cluster.world.after(chance.between(100, 400), () => {
      void sender.beFenced().then(() => sender.sendTo(server!, { kind: 'write', flags: 0 }, 700))
    })
  },
}

export const configurationThemes = {
  fenced,
  dataUnderWay,
  fencedWhileSlow,
  closedForLong,
  lateActivate,
  closedAndGone,
  declaredDead,
  letInAgain,
  lateManager,
  mistakenClient,
}

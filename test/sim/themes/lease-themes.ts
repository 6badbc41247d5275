/** Schedules against leases: two sides that each believe they serve the volume. */
import { FenceFlag } from '../../../src/volume/generation-header.ts'
import type { Cluster } from '../cluster/cluster.ts'
import type { SimServer } from '../cluster/sim-server.ts'
import { MistakenSender } from '../load/mistaken-sender.ts'
import { Script, scripted } from './script.ts'
import { dense, managers, others, part, primaryOf, type Theme } from './theme.ts'

/** The first client and the primary still have each other, and both have nobody else. */
const oldViewOf = ({ beats }: { readonly beats: boolean }): Theme => ({
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 5_500, readers: 1 }, 2, chance.pick([1_000, 2_500])),
  run: (cluster, chance) => {
    cluster.world.after(chance.between(300, 900), () => {
      const primary = primaryOf(cluster)
      const ms = chance.between(3_500, 4_800)
      cutOff(cluster, primary, { beats, ms })
    })
  },
})

/** What the other client has begun there ends first: otherwise the reader waits for it. */
function cutOff(
  cluster: Cluster,
  primary: SimServer,
  { beats, ms }: { readonly beats: boolean; readonly ms: number },
): void {
  const rest = others(cluster, primary).map(({ name }) => name)
  part(cluster, [primary.name], ['c2'], ms)
  cluster.world.after(80, () => {
    part(cluster, [primary.name, 'c1'], [...managers, ...(beats ? [] : rest)], ms)
    part(cluster, ['c1'], rest, ms)
  })
}

/** So, and the primary stood still while answers to its heartbeats were on their way. */
const pausedPrimary: Theme = {
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 7_500, readers: 1 }, 2, chance.pick([1_500, 2_500])),
  run: (cluster, chance) => {
    const { world, links } = cluster
    world.after(400, () => {
      const primary = primaryOf(cluster)
      const rest = others(cluster, primary).map(({ name }) => name)
      const slowMs = chance.between(150, 500)
      cluster.undoLater(9_000, links.slow(rest, [primary.name], slowMs))
      world.after(chance.between(300, 800), () => {
        const ms = chance.between(3_000, 3_800)
        primary.process?.stop(ms)
        part(cluster, [primary.name, 'c1'], managers, ms + 3_000)
        part(cluster, [primary.name], ['c2'], ms + 3_000)
        part(cluster, ['c1'], rest, ms + 3_000)
        world.after(slowMs, () => part(cluster, [primary.name], rest, ms + 3_000))
      })
    })
  },
}

/** So, and the clock by which the primary counts its lease does not say that time goes by. */
const stoppedClock: Theme = {
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 5_000, readers: 1 }, 2, chance.pick([500, 1_000])),
  run: (cluster, chance) => {
    cluster.world.after(chance.between(300, 900), () => {
      const primary = primaryOf(cluster)
      primary.machine.stopBootClock(6_000)
      cluster.world.after(chance.between(0, 300), () => {
        cutOff(cluster, primary, { beats: false, ms: 6_000 })
      })
    })
  },
}

/** Somebody reads from a replica that is behind, and names the generation that it has. */
const mistakenReader: Theme = {
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 3_500 }, 2, 500),
  run: (cluster, chance) => {
    const sender = new MistakenSender(cluster)
    cluster.world.after(chance.between(100, 400), () => {
      const [one, other] = cluster.servers
      part(cluster, [one!.name], [other!.name], 3_500)
      for (const server of cluster.servers) {
        sender.sendTo(server, { kind: 'read', flags: 0 }, 3_000)
      }
    })
  },
}

/** Somebody who is no primary sends what only a primary may. */
const mistakenPrimary: Theme = {
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 1_500 }, 2, 500),
  run: (cluster, chance) => {
    const sender = new MistakenSender(cluster)
    cluster.world.after(chance.between(100, 400), () => {
      const [secondary] = others(cluster, primaryOf(cluster))
      sender.sendTo(secondary!, { kind: 'write', flags: FenceFlag.replication }, 700)
    })
  },
}

/** The one that confirmed a lease begins anew and does not remember it. */
const restartedConfirmer: Theme = {
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 5_500, readers: 1 }, 2, 3_500),
  run: (cluster, chance) => {
    const { world } = cluster
    world.after(chance.between(300, 900), () => {
      const primary = primaryOf(cluster)
      const rest = others(cluster, primary)
      part(cluster, [primary.name, 'c1'], [...managers, ...rest.map(({ name }) => name)], 4_500)
      part(cluster, [primary.name], ['c2'], 4_500)
      for (const server of rest) {
        server.kill()
        world.after(chance.between(5, 60), () => server.start())
      }
    })
  },
}

/** Longer than the longest stall that is aimed at. */
const inTimeMs = 5_000

/**
 * The two copies do not hear each other, and both answer the manager. Mostly it is the primary that
 * nobody reaches: what it says of its partner must not leave clients with it.
 */
const unheardPrimary: Theme = {
  mirrors: true,
  plan: (chance) => {
    const leaseMs = chance.pick([500, 2_000])
    const volumes = [{ name: 'v1', pages: 2, stripe: 0, mirror: 2, leaseMs }]
    const own = { volumes, places: [chance.below(64)], shims: 1 + chance.below(2) }
    return scripted(chance, { copies: 2, regions: 1 }, { ...own, capacityPages: 100 })
  },
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    await script.write(script.places)
    await script.pass(chance.between(0, 1_500))
    withoutData(cluster, primaryOf(cluster), chance.happens(0.8) ? 'everybody' : 'servers')
    await script.pass(chance.pick([0, chance.between(0, 2_500)]))
    await writtenInTime(script)
  },
}

async function writtenInTime({ cluster, initiator, places }: Script): Promise<void> {
  const { world, violations } = cluster
  const beganMs = world.nowMs
  let answered = false
  world.after(inTimeMs, () => {
    if (!answered) violations.add('progress', `a write was not answered for ${inTimeMs} ms`)
  })
  await initiator.write(places[0]!)
  answered = true
  world.note(`a write was answered after ${(world.nowMs - beganMs).toFixed(0)} ms`)
}

/** What comes to its portals from these is lost, and what it sends to those of other servers. */
function withoutData(cluster: Cluster, server: SimServer, from: 'everybody' | 'servers'): void {
  const rest = others(cluster, server)
  const servers = rest.map(({ name }) => name)
  const clients = cluster.shims.map(({ name }) => name)
  const lost = from === 'everybody' ? [...servers, ...clients, ...managers] : servers
  part(cluster, hosts(server), lost, Number.MAX_SAFE_INTEGER)
  part(cluster, [server.name], rest.flatMap(hosts), Number.MAX_SAFE_INTEGER)
}

function hosts({ portals }: SimServer): string[] {
  return portals.map((portal) => portal.split(':')[0]!)
}

const oldView = oldViewOf({ beats: false })
const oldViewThatBeats = oldViewOf({ beats: true })

export const leaseThemes = {
  pausedPrimary,
  stoppedClock,
  mistakenReader,
  mistakenPrimary,
  restartedConfirmer,
  unheardPrimary,
  oldView,
  oldViewThatBeats,
}

/** Schedules against leases: two sides that each believe they serve the volume. */
import { dense, managers, others, part, primaryOf, type Theme } from './theme.ts'

/** The first client and the primary still have each other, and both have nobody else. */
const oldViewOf = ({ beats }: { readonly beats: boolean }): Theme => ({
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 9_000, readers: 1 }, 2, chance.pick([1_000, 5_000])),
  run: (cluster, chance) => {
    cluster.world.after(chance.between(300, 900), () => {
      const primary = primaryOf(cluster)
      const ms = chance.between(4_000, 8_000)
      const rest = others(cluster, primary).map(({ name }) => name)
      part(cluster, [primary.name, 'c1'], [...managers, ...(beats ? [] : rest)], ms)
      part(cluster, [primary.name], ['c2'], ms)
      part(cluster, ['c1'], rest, ms)
    })
  },
})

/** So, and the primary stood still while answers to its heartbeats were on their way. */
export const pausedPrimary: Theme = {
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 12_000, readers: 1 }, 2, chance.pick([1_500, 2_500])),
  run: (cluster, chance) => {
    const { world, links } = cluster
    world.after(400, () => {
      const primary = primaryOf(cluster)
      const rest = others(cluster, primary).map(({ name }) => name)
      const slowMs = chance.between(150, 500)
      cluster.undoLater(9_000, links.slow(rest, [primary.name], slowMs))
      world.after(chance.between(300, 1_500), () => {
        const ms = chance.between(3_000, 5_500)
        primary.process?.stop(ms)
        part(cluster, [primary.name, 'c1'], managers, ms + 3_000)
        part(cluster, [primary.name], ['c2'], ms + 3_000)
        part(cluster, ['c1'], rest, ms + 3_000)
        world.after(slowMs, () => part(cluster, [primary.name], rest, ms + 3_000))
      })
    })
  },
}

/** The one that confirmed a lease begins anew and does not remember it. */
export const restartedConfirmer: Theme = {
  mirrors: true,
  plan: (chance) => dense(chance, { loadMs: 10_000, readers: 1 }, 2, 5_000),
  run: (cluster, chance) => {
    const { world } = cluster
    world.after(chance.between(500, 1_500), () => {
      const primary = primaryOf(cluster)
      const rest = others(cluster, primary)
      part(cluster, [primary.name, 'c1'], [...managers, ...rest.map(({ name }) => name)], 7_000)
      part(cluster, [primary.name], ['c2'], 7_000)
      for (const server of rest) {
        server.kill()
        world.after(chance.between(5, 60), () => server.start())
      }
    })
  },
}

export const oldView = oldViewOf({ beats: false })
export const oldViewThatBeats = oldViewOf({ beats: true })

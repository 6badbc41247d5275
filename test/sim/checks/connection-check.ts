/**
 * A connection that nothing disturbs stands. Asked where a schedule leaves a client's session alone,
 * and something that is long out of date arrives at its server: that must not end it (design,
 * section 8: a login that was itself delayed must not end its successor).
 */
import type { Cluster } from '../cluster/cluster.ts'

const stepMs = 50
/** A probe of a portal is shorter. */
const olderMs = 50
const watchedMs = 300

/** The connections of the client that are no probes now must be there for a while. */
export function watchConnection(cluster: Cluster, client: string, hosts: readonly string[]): void {
  const { world, network, violations } = cluster
  const before = network.standing(client, hosts)
  world.after(olderMs, () => {
    const watched = network.standing(client, hosts).filter((each) => before.includes(each))
    world.note(`${client}: ${watched.length} connections are to stand`)
    for (let ms = stepMs; ms <= watchedMs; ms += stepMs) {
      world.after(ms, () => {
        const standing = network.standing(client, hosts)
        const lost = watched.filter((each) => !standing.includes(each))
        if (lost.length === 0 || violations.all.length > 0) return
        violations.add('session', `${client} lost a session that nothing disturbed`)
      })
    }
  })
}

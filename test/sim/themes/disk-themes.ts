/**
 * Schedules against disks that do other than they say. Blocks carry no checksums of ours: what a disk
 * wrote to the wrong place is found by comparing copies, and a copy that is read by nobody meanwhile
 * shows it to nobody.
 */
import { StorageError } from '../../../src/base/errors.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { Script, scripted, soon } from './script.ts'
import { dense, type Theme, weights } from './theme.ts'

const callMs = 5_000
const lookMs = 50

/** Some of what the second copy was to hold is elsewhere on its disk; later it is the only copy. */
const misdirected: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 4 }, { clearing: soon }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [primary, other] = script.copies
    await script.write(chance.some(script.places))
    const { faults } = other!.disk
    faults.misdirected = 1 + chance.below(3)
    while (faults.misdirected > 0) await script.write([chance.pick(script.places)])
    await verify(cluster, script)
    if (script.isInSync(other!)) await script.gone(primary!)
  },
}

/**
 * The manager gets an old copy of its store back, of before one copy was dropped and the rest went on.
 * It says so, and the operator makes a new one from what the servers keep.
 */
const restoredManager: Theme = {
  mirrors: true,
  plan: (chance) => {
    return dense(chance, { loadMs: 9_000, weights: weights({ flush: 0.2 }), gateways: 0 }, 2, 500)
  },
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const { manager, fences } = cluster
    await script.pass(chance.between(100, 400))
    const old = manager.store.backUp()
    const [primary, other] = chance.shuffled(script.copies)
    await script.gone(primary!)
    await script.pass(chance.between(50, 500))
    if (chance.happens(0.5)) await script.back(primary!)
    if (chance.happens(0.5)) other!.kill()
    manager.kill()
    manager.store.restore(old)
    manager.start()
    for (const server of cluster.servers) script.restart(server)
    if (chance.happens(0.5)) fences.fence(chance)
    await script.pass(chance.between(500, 3_000))
    await rebuilt(cluster, script)
  },
}

/** The same, and the server that went on is slow to tell: a change is asked for before it does. */
const restoredUnheard: Theme = {
  ...restoredManager,
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const { manager, fences, links } = cluster
    await script.pass(chance.between(100, 400))
    const old = manager.store.backUp()
    const [primary, other] = script.copies
    await script.gone(primary!)
    await script.pass(chance.between(50, 500))
    manager.kill()
    manager.store.restore(old)
    const slowMs = chance.between(100, 700)
    cluster.undoLater(2_000, links.slow([other!.name], ['m'], slowMs))
    script.restart(primary!)
    await script.pass(chance.between(0, 300))
    manager.start()
    await script.pass(chance.between(3, 50))
    for (const { number } of cluster.volumes) fences.fenceClient(number, 1, chance.between(5, 500))
    await script.pass(chance.between(500, 2_000))
    await rebuilt(cluster, script)
  },
}

async function rebuilt({ manager, servers, world }: Cluster, script: Script): Promise<void> {
  for (;;) {
    try {
      await manager.rebuild(servers.map(({ control }) => control))
      return
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      world.note(`operator: not rebuilt: ${error.message}`)
      await script.pass(200)
    }
  }
}

async function verify({ admin, violations }: Cluster, script: Script): Promise<void> {
  const request = { name: 'v1', repair: true }
  let reply = await admin.verifyVolume({ ...request, start: true }, callMs)
  const states = (): string[] => reply.segments.map(({ verification }) => verification.state)
  while (states().includes('running')) {
    await script.pass(lookMs)
    reply = await admin.verifyVolume({ ...request, start: false }, callMs)
  }
  const repaired = reply.segments.some(({ verification }) => verification.repairedPages > 0)
  if (!repaired) violations.add('verify', `found nothing to repair: ${states().join(' ')}`)
}

export const diskThemes = { misdirected, restoredManager, restoredUnheard }

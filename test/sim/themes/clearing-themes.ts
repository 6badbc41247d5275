/** Schedules against marks that are taken back too early: a later loss of power finds none. */
import { clearedMs, letGo, Script, scripted, soon } from './script.ts'
import type { Theme } from './theme.ts'

/** What a mark said is gone from the disks as well: another mark was made durable after it. */
async function losePowerUnmarked(script: Script): Promise<void> {
  const { cluster, chance, places } = script
  await script.write(places.slice(-1))
  await script.pass(chance.between(1, 40))
  for (const server of cluster.servers) server.machine.losePower()
  await script.pass(chance.between(50, 300))
  for (const server of cluster.servers) script.restart(server)
}

/** Nothing was flushed when the marks went, and each machine loses something else. */
const takenBack: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 6 }, { clearing: soon }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const { places } = script
    await script.write(places)
    // Pages that are there already: what is written into them is lost on each disk by itself.
    await script.initiator.flush()
    await script.pass(clearedMs + chance.between(0, 200))
    await script.write(places.slice(0, -1))
    await script.pass(clearedMs + chance.between(0, 100))
    await losePowerUnmarked(script)
  },
}

/** A region is written again while everything is being flushed for the sake of its mark. */
const writtenMeanwhile: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 6 }, { clearing: soon }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const { places } = script
    const [primary, other] = script.copies
    await script.write(places)
    const slowMs = chance.between(120, 240)
    cluster.undoLater(3_000, cluster.links.slow([primary!.name], [other!.name], slowMs))
    await script.pass(chance.between(100, 450))
    await script.write(places.slice(0, -1))
    await script.pass(chance.between(0, slowMs))
    await losePowerUnmarked(script)
  },
}

/** A write overtakes what takes the mark back before it, and is on one copy only in the end. */
const overtaken: Theme = {
  mirrors: true,
  plan: (chance) => {
    return scripted(chance, { copies: 3, regions: 4 }, { clearing: soon, weights: letGo })
  },
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const { places } = script
    const [primary, ...others] = script.copies
    const half = chance.pick(others)
    await script.write(places)
    await script.initiator.flush()
    await script.pass(clearedMs)
    await script.write(places)
    await script.pass(chance.between(soon.idleMs, soon.idleMs + soon.intervalMs))
    const goOn = half.disk.hold('pages')
    cluster.undoLater(8_000, goOn)
    void script.write(places)
    await script.pass(170)
    script.loseClient()
    for (const server of [primary!, half]) server.kill()
    goOn()
    await script.pass(20)
    script.restart(half)
    await script.until(() => !script.isPrimary(primary!))
  },
}

export const clearingThemes = { takenBack, writtenMeanwhile, overtaken }

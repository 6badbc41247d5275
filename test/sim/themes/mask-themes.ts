/**
 * Schedules against what replicas note of each other: a copy comes back, and what it lacks is copied
 * by the masks. Where there are many regions, the sample that is always compared seldom has the one
 * that matters.
 */
import type { SimServer } from '../cluster/sim-server.ts'
import { clearedMs, letGo, Script, scripted, soon } from './script.ts'
import { part, type Theme } from './theme.ts'

const manyRegions = 44
/** No more than are compared as a sample. */
const fewRegions = 8

/** Everything is flushed, on every copy, and no mark is left. */
async function fill(script: Script): Promise<void> {
  await script.write(script.places)
  await script.initiator.flush()
  await script.pass(clearedMs + script.chance.between(0, 100))
}

/** The one that noted what a copy lacks is away while more is written, and is the primary later. */
const keeperAway: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 3, regions: manyRegions }, { clearing: soon }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [keeper, ...others] = script.copies
    const [absent, heir] = chance.shuffled(others) as [SimServer, SimServer]
    const [first, second] = chance.shuffled(script.places)
    await fill(script)
    await script.gone(absent)
    await script.write([first!])
    await script.gone(keeper!)
    await script.write([second!])
    await script.back(keeper!)
    await script.pass(clearedMs + chance.between(0, 100))
    await script.gone(heir)
    await script.back(absent)
  },
}

/** A copy comes back with what it had before the generation changed, and before a write. */
const olderStore: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: manyRegions }, { clearing: soon }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [, other] = script.copies
    await fill(script)
    const putBack = other!.backUp()
    await script.gone(other!)
    await script.back(other!)
    await losesAWrite(script, other!, putBack)
  },
}

/** So, and nothing but its content says that it is old. */
const oldStore: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: fewRegions }, { clearing: soon }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [, other] = script.copies
    await fill(script)
    await losesAWrite(script, other!, other!.backUp())
  },
}

async function losesAWrite(script: Script, other: SimServer, putBack: () => void): Promise<void> {
  await script.write([script.chance.pick(script.places)])
  await script.pass(clearedMs + script.chance.between(0, 100))
  other.machine.losePower()
  putBack()
  await script.until(() => !script.isInSync(other))
  await script.back(other)
}

/** A write is on one copy only when the other one is dropped, and nobody sends it again. */
const unsent: Theme = {
  mirrors: true,
  plan: (chance) => {
    return scripted(chance, { copies: 2, regions: manyRegions }, { clearing: soon, weights: letGo })
  },
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [primary, other] = script.copies
    await fill(script)
    const goOn = cluster.links.hold([primary!.name], [other!.name])
    cluster.undoLater(8_000, goOn)
    void script.write([chance.pick(script.places)])
    await script.pass(chance.between(3, 12))
    script.loseClient()
    await script.until(() => !script.isInSync(other!))
    goOn()
    await script.until(() => script.isInSync(other!))
  },
}

/** A copy that is up to date, and not in sync yet, misses a write: so does the mask of who sent it. */
const notSetAgain: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: manyRegions }, { clearing: soon }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [primary, other] = script.copies
    await fill(script)
    await script.gone(other!)
    // It is brought up, and the manager does not hear that it could be in sync.
    cluster.undoLater(9_000, cluster.links.hold([primary!.name], ['m']))
    script.restart(other!)
    await script.pass(chance.between(300, 900))
    part(cluster, [primary!.name], [other!.name], 2_000)
    await script.write([chance.pick(script.places)])
    await script.pass(1_500)
  },
}

/** What a copy lacks is known to the primary alone, and that one goes away. */
const primaryKnew: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 3, regions: manyRegions }, { clearing: soon }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [primary, ...others] = script.copies
    const absent = chance.pick(others)
    await fill(script)
    await script.gone(absent)
    await script.write([chance.pick(script.places)])
    await script.pass(clearedMs + chance.between(0, 100))
    await script.gone(primary!)
    await script.back(absent)
  },
}

export const maskThemes = { keeperAway, olderStore, oldStore, unsent, notSetAgain, primaryKnew }

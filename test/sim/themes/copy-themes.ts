/** Schedules against masks, labels and comparison: what may differ between copies. */
import { letGo, Script, scripted } from './script.ts'
import { dense, slowOne, stopAll, type Theme, weights } from './theme.ts'

/** Writes that are on one copy only when everything stops. */
const halfWritten: Theme = {
  mirrors: true,
  plan: (chance) => {
    const load = weights({ letGo: 1, large: 0.3, flush: chance.pick([0, 0.5]) })
    const hot = { hotPlaces: 5, thinkMs: 60 }
    return dense(chance, { ...hot, weights: load, loadMs: 3_000, workers: 3 }, 2, 500)
  },
  run: (cluster, chance) => {
    for (const atMs of [500, 2_400]) {
      cluster.world.after(atMs, () => slowOne(cluster, chance))
      cluster.world.after(atMs + chance.between(20, 500), () => stopAll(cluster, chance))
    }
  },
}

/** Writes to one place are under way at once: which of them is the last one is the same everywhere. */
const atOnce: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 4 }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const { disk } = chance.pick(cluster.servers)
    await script.write(script.places)
    disk.faults.lateMs = chance.pick([0, 5, 50])
    for (let i = 0; i < 3; i++) {
      const often = [...script.places, ...script.places, ...script.places]
      await script.write(chance.shuffled(often))
    }
  },
}

/** The first write ever in a region is on one copy only, and its mark is not on the disk yet. */
const firstWrites: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 2 }, { weights: letGo }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [primary, other] = script.copies
    const [first, second] = script.places
    await script.write([first!])
    const unmark = primary!.disk.hold(script.maskFile)
    const goOn = cluster.links.hold([primary!.name], [other!.name])
    cluster.undoLater(3_000, unmark)
    void script.write([second!])
    await script.pass(chance.between(3, 12))
    script.loseClient()
    primary!.kill()
    unmark()
    goOn()
    await script.pass(chance.between(5, 200))
    script.restart(primary!)
    await script.pass(chance.between(300, 600))
  },
}

/** A write is on the primary alone, which is lost with it: nobody may have seen it. */
const seenTooEarly: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 1 }, { shims: 2, weights: letGo }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [primary, other] = script.copies
    const [lba] = script.places
    await script.write([lba!])
    cluster.undoLater(9_000, cluster.links.hold([primary!.name], [other!.name]))
    void script.write([lba!])
    await script.pass(chance.between(2, 8))
    void script.reader.read(lba!)
    await script.pass(chance.between(5, 200))
    script.loseClient()
    await script.gone(primary!)
    await script.reader.read(lba!)
  },
}

/** So, and nobody may have been told that it was written. */
const answeredTooEarly: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 2 }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [primary, other] = script.copies
    await script.write(script.places)
    cluster.undoLater(9_000, cluster.links.hold([primary!.name], [other!.name]))
    void script.write(script.places)
    await script.pass(chance.between(5, 200))
    await script.gone(primary!)
    await script.initiator.read(script.places[0]!)
  },
}

/** What was flushed must be on the disk of the copy that is left, whose machine loses its power. */
const flushedOnOne: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 5 }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [primary, other] = script.copies
    await script.write(script.places)
    await script.pass(5_500)
    await script.write(script.places)
    await script.initiator.flush()
    await script.pass(chance.between(0, 100))
    await script.gone(primary!)
    other!.machine.losePower()
    await script.pass(chance.between(20, 200))
    script.restart(other!)
    await Promise.all(script.places.map((lba) => script.initiator.read(lba)))
  },
}

/** Between close and activate the primary loses what it had not flushed: the manager has not heard. */
const newStore: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 5 }, { shims: 2 }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const { links, manager, fences } = cluster
    const [primary] = script.copies
    await script.write(script.places)
    await script.initiator.flush()
    await script.write(script.places)
    manager.store.faults.slowMs = 400
    fences.fenceClient(1, 2, 100)
    await script.pass(chance.between(8, 40))
    primary!.machine.losePower()
    await script.pass(chance.between(1, 10))
    script.restart(primary!)
    cluster.undoLater(1_500, links.slow([primary!.name], ['m'], chance.between(100, 400)))
    await Promise.all(script.places.map((lba) => script.initiator.read(lba)))
  },
}

/** A close gives up on a write that did not reach the other copy, which stays in sync. */
const givenUp: Theme = {
  mirrors: true,
  plan: (chance) => scripted(chance, { copies: 2, regions: 2 }, { shims: 2, weights: letGo }),
  run: async (cluster, chance) => {
    const script = new Script(cluster, chance)
    const [primary, other] = script.copies
    const [lba] = script.places
    await script.write([lba!])
    cluster.undoLater(500, cluster.links.slow([primary!.name], [other!.name], 80))
    void script.write([lba!])
    await script.pass(chance.between(3, 20))
    cluster.fences.fenceClient(1, 2, 100)
    await script.pass(chance.between(5, 40))
    cluster.network.resetBetween(primary!.name, other!.name)
    script.loseClient()
    await script.pass(2_000)
  },
}

export const copyThemes = {
  halfWritten,
  atOnce,
  firstWrites,
  seenTooEarly,
  answeredTooEarly,
  flushedOnOne,
  newStore,
  givenUp,
}

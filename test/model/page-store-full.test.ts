/**
 * The page store with no room at every single operation of its disks, for a while or for good, and
 * then stopped by loss of power, by the death of the process, or not at all. What found no room is
 * refused with part of it written; nothing else may be lost, and the store never stops.
 */
import t from 'tap'
import { StorageError } from '../../src/base/errors.ts'
import type { PageStore } from '../../targets/store/page-store.ts'
import { BlockWitness } from '../support/block-witness.ts'
import { seededFractions } from '../support/seeded-random.ts'
import {
  pageBlocks,
  reuseFaults,
  StoreMachine,
  stamped,
  stampsOf,
} from '../support/store-machine.ts'

const pages = 5
const workers = 2
const shareBlocks = pageBlocks / workers
const capacityPages = 9

class Workload {
  readonly witnesses = new Map([
    ['disk', new BlockWitness(pages * pageBlocks)],
    ['churn', new BlockWitness(3 * pageBlocks)],
  ])
  refused = 0
  store: PageStore | undefined
  readonly #random: () => number
  #stamp = 0

  constructor(random: () => number) {
    this.#random = random
  }

  async run(machine: StoreMachine): Promise<void> {
    machine.capacityPages = capacityPages
    this.store = await machine.open()
    for (const [id, { blocks }] of this.witnesses) await this.store.createReplica(id, blocks)
    const jobs = Array.from({ length: workers }, (_, index) => this.#worker(index))
    await Promise.all([...jobs, this.#churn(), this.#clock(machine)])
  }

  /** In its own blocks of every page, so that pages are shared and blocks are not. */
  async #worker(index: number): Promise<void> {
    const disk = this.store!.replica('disk')!
    for (let step = 0; step < 7; step++) {
      const page = Math.floor(this.#random() * (pages - 1))
      const lba = page * pageBlocks + index * shareBlocks + Math.floor(this.#random() * 20)
      const blocks = 1 + Math.floor(this.#random() * 20)
      const atomic = this.#random() < 0.3
      await this.#attempt('disk', lba, blocks, ++this.#stamp, (stamp) =>
        atomic
          ? disk.writeAtomic!(lba, [stamped(stamp, blocks)])
          : disk.write(lba, [stamped(stamp, blocks)]),
      )
      if (this.#random() < 0.4) await this.#flush()
    }
  }

  /** Pages change their owners. */
  async #churn(): Promise<void> {
    const churn = this.store!.replica('churn')!
    const { blocks } = churn
    for (let round = 0; round < 3; round++) {
      await this.#attempt('churn', 0, blocks, ++this.#stamp, (stamp) =>
        churn.write(0, [stamped(stamp, blocks)]),
      )
      if (this.#random() < 0.5) await this.#flush()
      await this.#attempt('churn', 0, 2 * pageBlocks, 0, () => churn.unmap(0, 2 * pageBlocks))
      // Acknowledged after a page was to be freed, and was perhaps not.
      await this.#attempt('churn', 9, 30, ++this.#stamp, (stamp) =>
        churn.write(9, [stamped(stamp, 30)]),
      )
    }
    await this.#flush()
  }

  async #clock(machine: StoreMachine): Promise<void> {
    for (let step = 0; step < 3; step++) await machine.clock.advance(5_000)
  }

  async #attempt(
    id: string,
    lba: number,
    blocks: number,
    stamp: number,
    change: (stamp: number) => Promise<void>,
  ): Promise<void> {
    const acknowledged = this.witnesses.get(id)!.writing(lba, blocks, stamp)
    if (await this.#granted(change(stamp))) acknowledged()
  }

  async #flush(): Promise<void> {
    const acknowledgements = [...this.witnesses.values()].map((witness) => witness.flushing())
    if (!(await this.#granted(this.store!.flush()))) return
    for (const acknowledged of acknowledgements) acknowledged()
  }

  async #granted(asked: Promise<void>): Promise<boolean> {
    try {
      await asked
      return true
    } catch (error) {
      if (!(error instanceof StorageError && error.code === 'no-space')) throw error
      this.refused++
      return false
    }
  }
}

/** Operations up to when the replicas are there, and in all. */
async function countOperations(seed: number): Promise<{ first: number; last: number }> {
  const made = new StoreMachine(seededFractions(seed))
  made.capacityPages = capacityPages
  const store = await made.open()
  for (const id of ['disk', 'churn']) await store.createReplica(id, pageBlocks)
  const first = made.plan.operations + 1
  const machine = new StoreMachine(seededFractions(seed))
  await new Workload(seededFractions(seed)).run(machine)
  return { first, last: machine.plan.operations }
}

async function judge(
  store: PageStore,
  { witnesses }: Workload,
  how: 'afterCrash' | 'afterKill',
): Promise<string[]> {
  const faults: string[] = []
  for (const [id, witness] of witnesses) {
    const stamps = stampsOf(await store.replica(id)!.read(0, witness.blocks))
    faults.push(...witness[how](stamps).map((fault) => `${id}: ${fault}`))
  }
  return faults
}

type How = 'crash' | 'kill' | 'room again'

async function fullAt(at: number, seed: number, how: How): Promise<string[]> {
  const random = seededFractions(seed * 6_133 + at)
  const fullUntil = at + 1 + Math.floor(random() ** 2 * 40)
  const crashAt = at + 1 + Math.floor(random() * 30)
  const stops = how === 'room again' ? {} : { crashAt }
  const machine = new StoreMachine(random, { fullFrom: at, fullUntil, ...stops })
  const workload = new Workload(seededFractions(seed))
  const ended = workload.run(machine)
  await Promise.race([ended, machine.plan.crashed])
  const { failure, incarnation } = workload.store!
  if (failure !== undefined) return [`it stopped: ${failure.message}`]
  if (how === 'room again') return roomAgain(machine, workload)
  await machine[how]()
  const store = await machine.open()
  const faults = await judge(store, workload, how === 'crash' ? 'afterCrash' : 'afterKill')
  if ((store.incarnation === incarnation) !== (how === 'kill')) faults.push('incarnation')
  faults.push(...(await reuseFaults(store)))
  await store.close()
  return faults
}

async function roomAgain(machine: StoreMachine, workload: Workload): Promise<string[]> {
  const store = workload.store!
  while (machine.plan.isFull) await machine.metadata.transact({}).catch(() => undefined)
  const faults = await judge(store, workload, 'afterKill')
  await store.flush()
  await store.replica('disk')!.write(0, [stamped(0xffff, pageBlocks)])
  const witness = workload.witnesses.get('disk')!
  witness.writing(0, pageBlocks, 0xffff)()
  await store.flush()
  const mapped = store.replicas().reduce((sum, { mappedPages }) => sum + mappedPages, 0)
  const waiting = store.allocatedPages - mapped
  if (waiting > 0) faults.push(`${waiting} pages are nobody's`)
  await store.close()
  // Closed in order, so nothing is lost with the power.
  await machine.crash()
  const after = await machine.open()
  faults.push(...(await judge(after, workload, 'afterKill')))
  if (after.incarnation !== store.incarnation) faults.push('another incarnation')
  faults.push(...(await reuseFaults(after)))
  await after.close()
  return faults
}

for (const how of ['crash', 'kill', 'room again'] as const) {
  t.test(`no room at every operation, then ${how}`, { timeout: 120_000 }, async (t) => {
    for (const seed of [1, 2]) {
      const { first, last } = await countOperations(seed)
      t.ok(last - first > 40, `${last - first} operations with seed ${seed}`)
      const wrong: string[] = []
      for (let at = first; at < last; at++) {
        const faults = await fullAt(at, seed, how)
        if (faults.length > 0) wrong.push(`operation ${at}: ${faults.slice(0, 3)}`)
      }
      t.same(wrong, [], `seed ${seed}`)
    }
  })
}

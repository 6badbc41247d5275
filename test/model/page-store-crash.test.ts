/**
 * The page store stopped at every single operation of its disks, by loss of power and by the death
 * of the process, and with every single sync failing. What is read afterwards is judged block by
 * block.
 */
import t from 'tap'
import { StorageError } from '../../src/base/errors.ts'
import type { PageStore } from '../../targets/store/page-store.ts'
import type { ReplicaStore } from '../../targets/store/replica-store.ts'
import { BlockWitness } from '../support/block-witness.ts'
import { seededFractions } from '../support/seeded-random.ts'
import {
  pageBlocks,
  reuseFaults,
  StoreMachine,
  stamped,
  stampsOf,
} from '../support/store-machine.ts'

const diskBlocks = 6 * pageBlocks - 40
const workers = 3
/** Each worker has its own blocks in every page, so that pages are shared and blocks are not. */
const shareBlocks = Math.floor(pageBlocks / workers)
/** Written atomically, always as a whole: the end of a page, a page, and the beginning of one. */
const atomicRange = { lba: pageBlocks - 40, blocks: 40 + pageBlocks + 30 }
const atomicPages = 3

/** Every stamp is of one write only: a block of another owner, or of a former one, stands out. */
class Workload {
  readonly witness = new BlockWitness(diskBlocks)
  readonly churned = new BlockWitness(4 * pageBlocks)
  readonly swapped = new BlockWitness(atomicPages * pageBlocks)
  readonly #random: () => number
  #stamp = 0

  constructor(random: () => number) {
    this.#random = random
  }

  async run(machine: StoreMachine): Promise<void> {
    // Tight, so that pages change their owners.
    machine.capacityPages = 16
    const store = await machine.open()
    await store.createReplica('disk', diskBlocks)
    const jobs = Array.from({ length: workers }, (_, index) => this.#worker(store, index))
    await Promise.all([...jobs, this.#churn(store), this.#swap(store), this.#clock(machine)])
    await store.close()
  }

  async #worker(store: PageStore, index: number): Promise<void> {
    const disk = store.replica('disk')!
    for (let step = 0; step < 5; step++) {
      const page = Math.floor(this.#random() * 5)
      const lba = page * pageBlocks + index * shareBlocks + Math.floor(this.#random() * 20)
      const blocks = 1 + Math.floor(this.#random() * 20)
      await this.#write(this.witness, lba, blocks, (stamp) =>
        disk.write(lba, [stamped(stamp, 1), stamped(stamp, blocks - 1)]),
      )
      if (this.#random() < 0.4) await this.#flush([this.witness, this.churned], disk)
    }
  }

  /** Fills and frees pages of another replica, so that pages change their owner. */
  async #churn(store: PageStore): Promise<void> {
    const blocks = this.churned.blocks
    await store.createReplica('churn', blocks)
    const churn = store.replica('churn')!
    for (let round = 0; round < 3; round++) {
      const pages = [0, 1, 2, 3].sort(() => this.#random() - 0.5)
      await Promise.all(
        pages.map((page) =>
          this.#write(this.churned, page * pageBlocks, pageBlocks, (stamp) =>
            churn.write(page * pageBlocks, [stamped(stamp, pageBlocks)]),
          ),
        ),
      )
      if (this.#random() < 0.6) await this.#flush([this.churned, this.witness], churn)
      for (const page of pages.slice(0, 3)) {
        const unmapped = this.churned.writing(page * pageBlocks, pageBlocks, 0)
        await churn.unmap(page * pageBlocks, pageBlocks)
        unmapped()
      }
    }
    await store.dropReplica('churn')
  }

  /** Atomic writes of one range, and plain and comparing ones beside it in the same pages. */
  async #swap(store: PageStore): Promise<void> {
    await store.createReplica('swap', this.swapped.blocks)
    const swap = store.replica('swap')!
    const { lba, blocks } = atomicRange
    for (let round = 0; round < 3; round++) {
      const end = this.swapped.blocks - 3
      await Promise.all([
        this.#write(this.swapped, 5, 9, (stamp) => swap.write(5, [stamped(stamp, 9)])),
        this.#write(this.swapped, lba, blocks, (stamp) =>
          swap.writeAtomic!(lba, [stamped(stamp, 7), stamped(stamp, blocks - 7)]),
        ),
        this.#write(this.swapped, end, 3, (stamp) =>
          swap.update(end, 3, () => [stamped(stamp, 3)]),
        ),
        mustSeeWhole(swap),
      ])
      if (this.#random() < 0.5) await this.#flush([this.swapped, this.witness], swap)
      if (round !== 1) continue
      const unmapped = this.swapped.writing(0, this.swapped.blocks, 0)
      await swap.unmap(0, this.swapped.blocks)
      unmapped()
    }
  }

  async #clock(machine: StoreMachine): Promise<void> {
    for (let step = 0; step < 2; step++) await machine.clock.advance(5_000)
  }

  async #write(
    witness: BlockWitness,
    lba: number,
    blocks: number,
    write: (stamp: number) => Promise<void>,
  ): Promise<void> {
    const stamp = ++this.#stamp
    const acknowledged = witness.writing(lba, blocks, stamp)
    await write(stamp)
    acknowledged()
  }

  /** A flush of one replica is a flush of the store. */
  async #flush(witnesses: BlockWitness[], disk: { flush(): Promise<void> }): Promise<void> {
    const acknowledgements = witnesses.map((witness) => witness.flushing())
    await disk.flush()
    for (const acknowledged of acknowledgements) acknowledged()
  }
}

/** The values in the range that is written atomically, where they are not all of one write. */
function tornBlocks(stamps: readonly number[]): number[] {
  const { lba, blocks } = atomicRange
  const seen = [...new Set(stamps.slice(lba, lba + blocks))]
  return seen.length > 1 ? seen : []
}

/** While it is being written: all of the former write, or all of the new one. */
async function mustSeeWhole(swap: ReplicaStore): Promise<void> {
  const torn = tornBlocks(stampsOf(await swap.read(0, atomicPages * pageBlocks)))
  if (torn.length > 0) throw new Error(`a reader saw ${torn} of an atomic write`)
}

/** How many operations the whole workload takes, with nothing going wrong. */
async function countOperations(seed: number): Promise<{ operations: number; flushes: number }> {
  const machine = new StoreMachine(seededFractions(seed))
  const workload = new Workload(seededFractions(seed))
  await workload.run(machine)
  return machine.plan
}

async function readAll(store: PageStore, id: string, witness: BlockWitness): Promise<number[]> {
  const replica = store.replica(id)
  return replica === undefined ? [] : stampsOf(await replica.read(0, witness.blocks))
}

async function stopAt(
  operation: number,
  seed: number,
  how: 'crash' | 'kill',
): Promise<{ faults: string[]; keepsIncarnation: boolean; kept: boolean }> {
  const machine = new StoreMachine(seededFractions(seed * 7919 + operation), { crashAt: operation })
  const workload = new Workload(seededFractions(seed))
  const ended = workload.run(machine)
  await Promise.race([ended, machine.plan.crashed])
  const state = await machine.metadata.get('state')
  const before: { incarnation?: string; clean?: boolean } = JSON.parse(state?.toString() ?? '{}')
  const created = (await machine.metadata.range('replica/')).length > 0
  await machine[how]()
  const store = await machine.open()
  const faults: string[] = []
  for (const [id, witness] of [
    ['disk', workload.witness],
    ['churn', workload.churned],
    ['swap', workload.swapped],
  ] as const) {
    const stamps = await readAll(store, id, witness)
    faults.push(...(how === 'crash' ? witness.afterCrash(stamps) : witness.afterKill(stamps)))
  }
  const torn = tornBlocks(await readAll(store, 'swap', workload.swapped))
  if (torn.length > 0) faults.push(`an atomic write is torn: ${torn}`)
  faults.push(...(await reuseFaults(store)))
  await store.close()
  const kept = before.incarnation === store.incarnation
  const mayKeep = how === 'kill' || before.clean === true
  // While the store was being made it had nothing to lose, and no incarnation to keep.
  return { faults, kept, keepsIncarnation: created ? mayKeep : kept }
}

for (const how of ['crash', 'kill'] as const) {
  t.test(`${how} at every operation`, { timeout: 120_000 }, async (t) => {
    for (const seed of how === 'crash' ? [1, 2] : [1]) {
      const { operations } = await countOperations(seed)
      t.ok(operations > 60, `${operations} operations with seed ${seed}`)
      const wrong: string[] = []
      for (let operation = 1; operation < operations; operation++) {
        const { faults, keepsIncarnation, kept } = await stopAt(operation, seed, how)
        if (faults.length > 0) wrong.push(`operation ${operation}: ${faults.slice(0, 3)}`)
        if (kept !== keepsIncarnation)
          wrong.push(`operation ${operation}: incarnation kept: ${kept}`)
      }
      t.same(wrong, [], `seed ${seed}`)
    }
  })
}

t.test('every sync failing: never good again, durable state under a new incarnation', async (t) => {
  const { flushes } = await countOperations(3)
  // The first ones belong to the creation of the store, which is simply refused.
  const creation = 3
  for (let flush = creation + 1; flush <= flushes; flush++) {
    const machine = new StoreMachine(seededFractions(flush), { failFlushAt: flush })
    const workload = new Workload(seededFractions(3))
    let failed: PageStore | undefined
    const opened = machine.open.bind(machine)
    machine.open = async (more) => {
      failed = await opened(more)
      return failed
    }
    const outcome = await workload.run(machine).then(
      () => undefined,
      (error: unknown) => error,
    )
    if (failed?.failure === undefined) {
      t.match(outcome, undefined, `flush ${flush}: nothing failed, nothing was told`)
      continue
    }
    t.ok(outcome instanceof StorageError && outcome.code === 'io-error', `flush ${flush} is told`)
    await t.rejects(failed.flush(), { code: 'io-error' }, 'the next flush is not answered GOOD')
    await t.rejects(failed.replica('disk')!.flush(), { code: 'io-error' })
    await t.rejects(failed.replica('disk')!.read(0, 1), { code: 'io-error' })
    await t.rejects(failed.replica('disk')!.write(0, [stamped(1, 1)]), { code: 'io-error' })
    const store = await failed.reopen()
    t.not(store.incarnation, failed.incarnation)
    const stamps = await readAll(store, 'disk', workload.witness)
    t.same(workload.witness.afterCrash(stamps), [], `flush ${flush}: what was flushed is there`)
    // The cache showed some of what the failed sync had lost: the disk must hold the same by now.
    await machine.crash()
    const after = await machine.open()
    t.same(await readAll(after, 'disk', workload.witness), stamps, 'what was read is durable')
    t.same(await reuseFaults(after), [])
    await after.close()
  }
})

/** Random histories on a page store against plain arrays, with kills, losses of power and restarts. */
import fc from 'fast-check'
import t from 'tap'
import { StorageError } from '../../src/base/errors.ts'
import type { PageStore } from '../../targets/store/page-store.ts'
import type { ReplicaStore } from '../../targets/store/replica-store.ts'
import { BlockWitness } from '../support/block-witness.ts'
import { seededFractions } from '../support/seeded-random.ts'
import { pageBlocks, StoreMachine, stamped, stampsOf } from '../support/store-machine.ts'

const ids = ['a', 'b', 'c'] as const
const largestBlocks = 5 * pageBlocks
const capacityPages = 9

const id = fc.constantFrom(...ids)
const lba = fc.oneof(
  fc.integer({ min: 0, max: largestBlocks - 1 }),
  fc.integer({ min: 0, max: 4 }).map((page) => page * pageBlocks),
)
const blocks = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 1, max: 5 }).map((pages) => pages * pageBlocks),
)
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('write' as const), id, lba, blocks }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('unmap' as const), id, lba, blocks }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('atomic' as const), id, lba, blocks }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('update' as const), id, lba, blocks }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('resize' as const), id, blocks }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('drop' as const), id }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'flush' as const,
        'time' as const,
        'kill' as const,
        'crash' as const,
        'restart' as const,
      ),
    }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

/** Runs a history; replicas come into being when first used. */
class History {
  readonly #machine: StoreMachine
  readonly #models = new Map<string, BlockWitness>()
  #store!: PageStore
  #stamp = 0

  constructor(seed: number) {
    this.#machine = new StoreMachine(seededFractions(seed))
    this.#machine.capacityPages = capacityPages
  }

  async run(steps: readonly Step[]): Promise<void> {
    this.#store = await this.#machine.open()
    for (const each of steps) {
      await this.#perform(each)
      await this.#compare()
    }
    await this.#store.close()
  }

  async #perform(each: Step): Promise<void> {
    switch (each.do) {
      case 'write':
        return this.#write(each, (replica, from, data) => replica.write(from, data))
      case 'atomic':
        return this.#write(each, (replica, from, data) => replica.writeAtomic!(from, data))
      case 'update':
        return this.#write(each, (replica, from, data) => this.#update(replica, from, data))
      case 'unmap':
        return this.#unmap(each)
      case 'resize':
        return this.#resize(each.id, each.blocks)
      case 'drop':
        return this.#drop(each.id)
      case 'flush': {
        const done = [...this.#models.values()].map((model) => model.flushing())
        await this.#store.flush()
        for (const acknowledged of done) acknowledged()
        return
      }
      case 'time':
        return this.#machine.clock.advance(6_000)
      default:
        return this.#restart(each.do)
    }
  }

  /** As COMPARE AND WRITE does it, in one step with what is there. */
  async #update(replica: ReplicaStore, from: number, data: readonly Buffer[]): Promise<void> {
    const blocks = data.reduce((sum, { length }) => sum + length, 0) / 512
    const there = await replica.read(from, blocks)
    await replica.update(from, blocks, (stored) => {
      if (!Buffer.concat(stored).equals(Buffer.concat(there))) throw new Error('it has changed')
      return data
    })
  }

  async #write(
    at: { id: string; lba: number; blocks: number },
    write: (replica: ReplicaStore, lba: number, data: readonly Buffer[]) => Promise<void>,
  ): Promise<void> {
    const { model, lba: from, count } = await this.#range(at)
    if (count <= 0) return
    const stamp = ++this.#stamp
    const acknowledged = model.writing(from, count, stamp)
    const head = Math.floor(count / 3)
    const data = [stamped(stamp, head), stamped(stamp, count - head)]
    try {
      await write(this.#store.replica(at.id)!, from, data)
      acknowledged()
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'no-space') throw error
      const needed = Math.ceil((from + count) / pageBlocks) - Math.floor(from / pageBlocks)
      const mapped = this.#store.replicas().reduce((sum, { mappedPages }) => sum + mappedPages, 0)
      // An atomic write needs as many pages again as it is to replace: `mapped` counts those too.
      if (mapped + needed <= capacityPages) throw error
      model.refuse()
    }
  }

  async #unmap(at: { id: string; lba: number; blocks: number }): Promise<void> {
    const { model, lba: from, count } = await this.#range(at)
    if (count <= 0) return
    const acknowledged = model.writing(from, count, 0)
    await this.#store.replica(at.id)!.unmap(from, count)
    acknowledged()
  }

  async #resize(name: string, size: number): Promise<void> {
    const model = await this.#model(name)
    // Shrinking flushes by itself; so that the model need not know how, everything is durable first.
    await this.#store.flush()
    model.settle(model.current())
    await this.#store.resizeReplica(name, size)
    model.resize(size)
  }

  async #drop(name: string): Promise<void> {
    if (!this.#models.delete(name)) return
    await this.#store.dropReplica(name)
  }

  async #restart(how: 'kill' | 'crash' | 'restart'): Promise<void> {
    const { incarnation, identity } = this.#store
    if (how === 'restart') await this.#store.close()
    // After a clean shutdown even a loss of power costs nothing.
    await (how === 'kill' ? this.#machine.kill() : this.#machine.crash())
    this.#store = await this.#machine.open()
    const kept = this.#store.incarnation === incarnation
    if (kept !== (how !== 'crash')) throw new Error(`${how}: incarnation kept: ${kept}`)
    if (this.#store.identity !== identity) throw new Error('another identity')
    for (const [name, model] of this.#models) {
      const stamps = await this.#read(name)
      const faults = how === 'crash' ? model.afterCrash(stamps) : model.afterKill(stamps)
      if (faults.length > 0) throw new Error(`${how}, replica ${name}: ${faults.slice(0, 3)}`)
      model.settle(stamps)
    }
  }

  async #compare(): Promise<void> {
    for (const [name, model] of this.#models) {
      const stamps = await this.#read(name)
      const expected = model.current()
      const wrong = stamps.findIndex((stamp, block) => stamp !== expected[block])
      if (wrong >= 0) {
        throw new Error(`${name}: block ${wrong} is ${stamps[wrong]}, not ${expected[wrong]}`)
      }
      this.#compareRuns(name, expected)
    }
  }

  /** What holds data is mapped, and what is not mapped reads as zeros. */
  #compareRuns(name: string, expected: readonly number[]): void {
    const replica = this.#store.replica(name)!
    for (let at = 0; at < replica.blocks; ) {
      const run = replica.run(at)
      const data = expected.slice(at, at + run.blocks).some((stamp) => stamp !== 0)
      if (data && !run.mapped) throw new Error(`${name}: data at ${at} in a hole`)
      if (run.blocks <= 0) throw new Error('an empty run')
      at += run.blocks
    }
  }

  async #read(name: string): Promise<number[]> {
    const replica = this.#store.replica(name)!
    return stampsOf(await replica.read(0, replica.blocks))
  }

  async #range(at: {
    id: string
    lba: number
    blocks: number
  }): Promise<{ model: BlockWitness; lba: number; count: number }> {
    const model = await this.#model(at.id)
    return { model, lba: at.lba, count: Math.min(at.blocks, model.blocks - at.lba) }
  }

  async #model(name: string): Promise<BlockWitness> {
    const known = this.#models.get(name)
    if (known !== undefined) return known
    const size = largestBlocks - name.charCodeAt(0)
    await this.#store.createReplica(name, size)
    const model = new BlockWitness(size)
    this.#models.set(name, model)
    return model
  }
}

t.test('a page store is an array that survives', async (t) => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 2 ** 31 }),
      fc.array(step, { minLength: 5, maxLength: 40 }),
      async (seed, steps) => {
        await new History(seed).run(steps)
      },
    ),
    { numRuns: 150 },
  )
  t.pass('150 histories')
})

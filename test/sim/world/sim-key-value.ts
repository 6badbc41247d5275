/**
 * The KeyValue port over a simulated store. A transaction is in force and durable when it is
 * answered; one that its process did not live to see is in force or not, and may come in force
 * late, while the next process is at work already (as a store behind a network does).
 */
import { StorageError } from '../../../src/base/errors.ts'
import type { KeyValue, KeyValueEntry, Transaction } from '../../../src/ports/key-value.ts'
import type { Chance } from './chance.ts'
import type { Machine } from './machine.ts'
import type { SimProcess } from './sim-process.ts'

export interface KeyValueFaults {
  slowMs: number
  /** Transactions fail with this probability; whether they came in force is open. */
  failing: number
  /** Those of a dead process come in force up to so much later. */
  lateMs: number
}

export class SimKeyValue {
  readonly faults: KeyValueFaults = { slowMs: 0, failing: 0, lateMs: 0 }
  readonly #machine: Machine
  readonly #chance: Chance
  #entries = new Map<string, Buffer>()
  readonly #underWay = new Map<SimProcess, Set<Transaction>>()
  readonly #watchers: (() => void)[] = []
  #busyUntilMs = 0

  constructor(machine: Machine, name: string) {
    this.#machine = machine
    this.#chance = machine.world.chance.fork(`store ${name}`)
  }

  /** Called after every transaction that came in force. */
  onChange(run: () => void): void {
    this.#watchers.push(run)
  }

  /** A copy of all that is in it now, to be put back later. */
  backUp(): ReadonlyMap<string, Buffer> {
    return new Map(this.#entries)
  }

  restore(entries: ReadonlyMap<string, Buffer>): void {
    this.#entries = new Map(entries)
  }

  /** What is in force now, for those who watch. */
  *under(prefix: string): Generator<Buffer> {
    for (const [key, value] of this.#entries) if (key.startsWith(prefix)) yield value
  }

  of(process: SimProcess): KeyValue {
    let closed = false
    const mustBeOpen = (): void => {
      if (closed) throw new StorageError('conflict', 'the store is closed')
    }
    return {
      get: async (key) => {
        mustBeOpen()
        const value = this.#entries.get(key)
        return value && Buffer.from(value)
      },
      range: async (prefix) => {
        mustBeOpen()
        return this.#range(prefix)
      },
      transact: async (transaction) => {
        mustBeOpen()
        return this.#transact(process, transaction)
      },
      close: async () => {
        closed = true
      },
    }
  }

  #range(prefix: string): KeyValueEntry[] {
    const keys = [...this.#entries.keys()].filter((key) => key.startsWith(prefix)).sort()
    return keys.map((key) => ({ key, value: Buffer.from(this.#entries.get(key)!) }))
  }

  /** In force in the order of the calls. */
  #transact(process: SimProcess, transaction: Transaction): Promise<boolean> {
    const { world } = this.#machine
    const ms = this.#chance.between(0.1, 0.5) + this.#chance.fraction() * this.faults.slowMs
    const atMs = Math.max(world.nowMs + ms, this.#busyUntilMs)
    this.#busyUntilMs = atMs
    const owned = copied(transaction)
    const underWay = this.#underWayOf(process)
    underWay.add(owned)
    return new Promise((resolve, reject) => {
      world.after(atMs - world.nowMs, () => {
        if (!underWay.delete(owned)) return
        if (this.faults.failing > 0 && this.#chance.happens(this.faults.failing)) {
          if (this.#chance.happens(0.5)) this.#apply(owned)
          process.enter(() => reject(new StorageError('io-error', 'the test lets a commit fail')))
          return
        }
        const applied = this.#apply(owned)
        process.enter(() => resolve(applied))
      })
    })
  }

  /** Of what a process did not live to see a first part came in force, or comes in force late. */
  #underWayOf(process: SimProcess): Set<Transaction> {
    const known = this.#underWay.get(process)
    if (known !== undefined) return known
    const underWay = new Set<Transaction>()
    this.#underWay.set(process, underWay)
    process.onDeath(() => {
      const left = [...underWay]
      underWay.clear()
      this.#underWay.delete(process)
      this.#busyUntilMs = 0
      for (const transaction of left) {
        if (this.#chance.happens(0.5)) return
        this.#land(transaction)
      }
    })
    return underWay
  }

  #land(transaction: Transaction): void {
    const { lateMs } = this.faults
    if (lateMs === 0) this.#apply(transaction)
    else this.#machine.world.after(this.#chance.between(0, lateMs), () => this.#apply(transaction))
  }

  #apply({ require = [], put = [], remove = [] }: Transaction): boolean {
    for (const { key, value } of require) {
      const held = this.#entries.get(key)
      const same = value === undefined ? held === undefined : held?.equals(value) === true
      if (!same) return false
    }
    for (const { key, value } of put) this.#entries.set(key, Buffer.from(value))
    for (const key of remove) this.#entries.delete(key)
    for (const run of this.#watchers) run()
    return true
  }
}

function copied({ require = [], put = [], remove = [] }: Transaction): Transaction {
  return {
    require: require.map(({ key, value }) => ({ key, value: value && Buffer.from(value) })),
    put: put.map(({ key, value }) => ({ key, value: Buffer.from(value) })),
    remove: [...remove],
  }
}
